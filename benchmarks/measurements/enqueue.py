"""Enqueue: each call awaited before the next; the same from 100 concurrent tasks; and the bulk API.

Calls are counted from the client's side: a call is done when it returns, so the job is in Redis.
"""

from __future__ import annotations

from benchmarks.driver import DriverProcess
from benchmarks.measurements.plan import Plan, UnsupportedError, per_job
from benchmarks.peers import Peer
from benchmarks.server import Server

# First calls open connections, load scripts and import; they aren't what is measured.
WARM_UP = 50
TASKS = 100


def measure_enqueue(peer: Peer, server: Server, plan: Plan) -> dict[str, float]:
    figures: dict[str, float] = {}
    with DriverProcess(peer, "producer", server.url, "enqueue") as producer:
        producer.event("hello", plan.patience)
        producer.do(plan.patience, do="one_by_one", count=WARM_UP)
        before = server.snapshot()
        done = producer.do(plan.patience, do="one_by_one", count=plan.one_by_one)
        figures["one_by_one_reads"] = (server.snapshot() - before).reads / plan.one_by_one
        figures["one_by_one"] = plan.one_by_one * 1e6 / done["took"]
    server.reset()
    with DriverProcess(peer, "producer", server.url, "enqueue") as producer:
        producer.event("hello", plan.patience)
        # Twice the tasks, so that each of them has a connection in those that use one a call.
        producer.do(plan.patience, do="concurrent", count=2 * TASKS, tasks=TASKS)
        before = server.snapshot()
        done = producer.do(plan.patience, do="concurrent", count=plan.concurrent, tasks=TASKS)
        figures |= per_job(server.snapshot() - before, plan.concurrent)
        figures["concurrent"] = plan.concurrent * 1e6 / done["took"]
    return figures


def measure_bulk(peer: Peer, server: Server, plan: Plan) -> dict[str, float]:
    with DriverProcess(peer, "producer", server.url, "bulk") as producer:
        if not producer.event("hello", plan.patience)["has_bulk"]:
            raise UnsupportedError("no bulk API")
        producer.do(plan.patience, do="bulk", count=WARM_UP, size=0)
        before = server.snapshot()
        done = producer.do(plan.patience, do="bulk", count=plan.jobs, size=0)
        return {
            "bulk": plan.jobs * 1e6 / done["took"],
            **per_job(server.snapshot() - before, plan.jobs),
        }
