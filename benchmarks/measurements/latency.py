"""Latency: from the call that enqueues a job to the first line of its function in another process, idle;
and how late delayed jobs start.

Both processes read CLOCK_MONOTONIC, one clock for the machine; due times are compared with the wall clock.
"""

from __future__ import annotations

import statistics

from benchmarks.driver import DriverProcess
from benchmarks.measurements.plan import Plan, UnsupportedError
from benchmarks.peers import Peer
from benchmarks.server import Server

WARM_UP = 20
# All delayed jobs are in Redis before the first is due.
LEAD = 2_000_000


def _quantiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p99": cuts[98]}


def _measure_round_trips(peer: Peer, server: Server, plan: Plan) -> dict[str, float]:
    """A bare client's round trips: with the same gaps as the jobs have, and one right after the other."""
    with DriverProcess(peer, "producer", server.url, "latency") as client:
        client.event("hello", plan.patience)
        client.do(plan.patience, do="round_trips", count=WARM_UP, gap=0)
        spaced = client.do(plan.patience, do="round_trips", count=plan.samples, gap=plan.gap)["times"]
        tight = client.do(plan.patience, do="round_trips", count=plan.samples, gap=0)["times"]
    return {**_quantiles([one / 1e3 for one in spaced]), "tight_p50": statistics.median(tight) / 1e3}


def measure_latency(peer: Peer, server: Server, plan: Plan) -> dict[str, float]:
    if peer.driver == "baseline":
        return _measure_round_trips(peer, server, plan)
    with (
        DriverProcess(peer, "producer", server.url, "latency") as producer,
        DriverProcess(peer, "worker", server.url, "latency") as worker,
    ):
        producer.event("hello", plan.patience)
        producer.do(plan.patience, do="samples", count=WARM_UP, gap=plan.gap)
        for _ in range(WARM_UP):
            worker.event("start", plan.patience)
        producer.do(plan.patience, do="samples", count=plan.samples, gap=plan.gap)
        events = [worker.event("start", plan.patience) for _ in range(plan.samples)]
    return _quantiles([(one["mono"] - one["given"]) / 1e3 for one in events])


def measure_delayed(peer: Peer, server: Server, plan: Plan) -> dict[str, float]:
    with (
        DriverProcess(peer, "producer", server.url, "delayed") as producer,
        DriverProcess(peer, "worker", server.url, "delayed") as worker,
    ):
        if not producer.event("hello", plan.patience)["has_delayed"]:
            raise UnsupportedError("no delayed jobs")
        # A job that is answered says that the worker is up.
        producer.do(plan.patience, do="samples", count=1, gap=0)
        worker.event("start", plan.patience)
        producer.do(plan.patience, do="delayed", count=plan.samples, lead=LEAD, step=plan.gap)
        events = [worker.event("start", plan.patience) for _ in range(plan.samples)]
    late = [(one["wall"] - one["given"]) / 1e3 for one in events]
    return {
        **_quantiles(late),
        "min": min(late),
        "early": 100 * sum(1 for one in late if one < 0) / len(late),
    }
