"""Memory: what a job costs in Redis, queued and finished, with no argument and with one of 200 bytes.

Bytes of data without the buffers of open connections, less what the server used when it was empty. What a
peer keeps for all jobs together, such as a bounded stream of events, is shared out among them.
"""

from __future__ import annotations

from benchmarks.driver import DriverError, DriverProcess
from benchmarks.measurements.plan import Plan, fill, wait_finished
from benchmarks.peers import Peer
from benchmarks.server import Probe, Server

WARM_UP = 50


def _fill_and_finish(peer: Peer, server: Server, plan: Plan, count: int, size: int) -> tuple[float, float]:
    """Bytes a job when all of them are queued, and when all are finished."""
    server.reset()
    empty = server.memory()
    hello = fill(peer, server, plan, count, size)
    queued = server.memory() - empty
    probe = Probe(server.url, hello["probe"], hello["probe_pattern"])
    base = probe.read()
    with DriverProcess(peer, "worker", server.url, "memory") as worker:
        worker.event("first", plan.patience)
        finish = wait_finished(worker, probe, base, count, plan.patience)
        if finish.jobs < count:
            raise DriverError(f"{peer.name}: only {finish.jobs} of {count} jobs were finished")
    probe.close()
    return queued / count, (server.memory() - empty) / count


def measure_memory(peer: Peer, server: Server, plan: Plan) -> dict[str, float]:
    # The server keeps a histogram for each command from its first call on, some 200 kB in all.
    _fill_and_finish(peer, server, plan, WARM_UP, 0)
    queued, finished = _fill_and_finish(peer, server, plan, plan.jobs, 0)
    queued_200, finished_200 = _fill_and_finish(peer, server, plan, plan.jobs, 200)
    return {
        "queued": queued,
        "finished": finished,
        "queued_200": queued_200,
        "finished_200": finished_200,
    }
