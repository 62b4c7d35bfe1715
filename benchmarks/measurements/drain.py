"""Drain: how fast one worker process gets through jobs that are already queued.

One definition for all: from the moment the first job's function begins (the worker says so) to the moment
Redis holds the recorded end of the last one (the harness looks). So the start of interpreters and imports
isn't in it, and writing down results is.
"""

from __future__ import annotations

from benchmarks.driver import DriverError, DriverProcess
from benchmarks.measurements.plan import Plan, fill, per_job, wait_finished
from benchmarks.peers import Peer
from benchmarks.server import Probe, Server


def measure_drain(peer: Peer, server: Server, plan: Plan) -> dict[str, float]:
    hello = fill(peer, server, plan, plan.jobs)
    probe = Probe(server.url, hello["probe"], hello["probe_pattern"])
    base, looked, before = probe.read(), probe.cost, server.snapshot()
    with DriverProcess(peer, "worker", server.url, "drain") as worker:
        first = worker.event("first", plan.patience)
        finish = wait_finished(worker, probe, base, plan.jobs, plan.limit)
        # Its own count at the first job, so that imports and start-up aren't in it.
        worker_cpu = worker.cpu() - first["cpu"]
        used = (server.snapshot() - before) - (probe.cost - looked)
    probe.close()
    if finish.jobs == 0:
        raise DriverError(f"{peer.name}: nothing was finished within {plan.limit:g} s")
    return {
        "rate": finish.jobs * 1e6 / (finish.mono - first["mono"]),
        "worker_us": worker_cpu * 1e6 / finish.jobs,
        "counted": finish.jobs,
        **per_job(used, finish.jobs),
    }
