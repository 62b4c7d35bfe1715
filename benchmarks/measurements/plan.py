"""How much is measured, and how a queue is filled and a worker awaited: what the measurements share."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.driver import DriverError, DriverProcess, Event
from benchmarks.peers import Peer
from benchmarks.server import Probe, Server, Snapshot


class UnsupportedError(Exception):
    """The peer has nothing that could be measured here; the message says what is missing."""


@dataclass(frozen=True)
class Plan:
    jobs: int = 20_000
    """Jobs of a drain and of a bulk enqueue; other counts follow from it."""
    samples: int = 300
    """Jobs of the latency measurement, and of the delayed one."""
    gap: int = 10_000
    """Microseconds between two samples, and between two delayed jobs."""
    limit: float = 20.0
    """Seconds after which a drain is cut off, and its rate taken from what was finished by then."""
    patience: float = 180.0
    """Seconds until a silent driver counts as broken."""

    @property
    def one_by_one(self) -> int:
        return max(100, self.jobs // 10)

    @property
    def concurrent(self) -> int:
        return max(100, self.jobs // 2)


QUICK = Plan(jobs=200, samples=20, gap=5_000, limit=10.0, patience=30.0)


def fill(peer: Peer, server: Server, plan: Plan, count: int, size: int = 0) -> Event:
    """Enqueues no-op jobs from a process that has ended when this returns; returns the driver's hello."""
    with DriverProcess(peer, "producer", server.url, "fill") as producer:
        hello = producer.event("hello", plan.patience)
        producer.do(plan.patience, do="bulk", count=count, size=size)
    return hello


@dataclass(frozen=True)
class Finish:
    """How far a worker came, and when."""

    jobs: int
    mono: int
    """Microseconds of CLOCK_MONOTONIC when the last of them was seen in Redis."""


def wait_finished(worker: DriverProcess, probe: Probe, base: int, count: int, limit: float) -> Finish:
    """Watches Redis until the end of `count` jobs has been recorded there, or until the limit.

    Two milliseconds between two looks: a fraction of a percent of the fastest drain, and no load to speak of.
    """
    deadline = time.monotonic() + limit
    while True:
        value = probe.read()
        now = time.monotonic_ns() // 1000
        finished = abs(value - base)
        if finished >= count or time.monotonic() > deadline:
            return Finish(min(finished, count), now)
        if not worker.is_running:
            raise DriverError(f"{worker.peer.name}: the worker ended after {finished} of {count} jobs")
        time.sleep(0.002)


def per_job(cost: Snapshot, jobs: int) -> dict[str, float]:
    """The server's own cost of a job."""
    return {
        "redis_us": cost.cpu * 1e6 / jobs,
        "commands": cost.commands / jobs,
        "reads": cost.reads / jobs,
        "scripts": cost.scripts / jobs,
        "script_us": cost.script_us / jobs,
        "bytes_in": cost.bytes_in / jobs,
        "bytes_out": cost.bytes_out / jobs,
    }
