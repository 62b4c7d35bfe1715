"""Memory: what a job costs in Redis, queued and finished, with no argument and with one of 200 bytes.

Bytes of data without the buffers of open connections, less what the server used when it was empty.
"""

from __future__ import annotations

from benchmarks.driver import DriverError, DriverProcess
from benchmarks.measurements.plan import Plan, fill, wait_finished
from benchmarks.peers import Peer
from benchmarks.server import Probe, Server


def measure_memory(peer: Peer, server: Server, plan: Plan) -> dict[str, float]:
    figures: dict[str, float] = {}
    for size, suffix in ((0, ""), (200, "_200")):
        server.reset()
        empty = server.memory()
        hello = fill(peer, server, plan, plan.stored, size)
        figures[f"queued{suffix}"] = (server.memory() - empty) / plan.stored
        probe = Probe(server.url, hello["probe"], hello["probe_pattern"])
        base = probe.read()
        with DriverProcess(peer, "worker", server.url, "memory") as worker:
            worker.event("first", plan.patience)
            finish = wait_finished(worker, probe, base, plan.stored, plan.patience)
            if finish.jobs < plan.stored:
                raise DriverError(f"{peer.name}: only {finish.jobs} of {plan.stored} jobs were finished")
        probe.close()
        figures[f"finished{suffix}"] = (server.memory() - empty) / plan.stored
    return figures
