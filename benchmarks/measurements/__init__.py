"""What is measured: one file a subject; each function measures one peer once and returns figures by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measurements.drain import measure_drain
from benchmarks.measurements.enqueue import measure_bulk, measure_enqueue
from benchmarks.measurements.latency import measure_delayed, measure_latency
from benchmarks.measurements.memory import measure_memory
from benchmarks.measurements.plan import Plan, UnsupportedError
from benchmarks.peers import Peer
from benchmarks.server import Server

__all__ = ["MEASUREMENTS", "Figure", "Measurement", "Plan", "UnsupportedError"]


@dataclass(frozen=True)
class Figure:
    """A column of a table."""

    key: str
    title: str
    decimals: int = 0
    compared: bool = False
    """Whether the ratio to asyncjobs is shown beside it."""


@dataclass(frozen=True)
class Measurement:
    name: str
    title: str
    run: Callable[[Peer, Server, Plan], dict[str, float]]
    figures: tuple[Figure, ...]
    costs: tuple[Figure, ...] = ()
    """What a job took of the machine, in a table of their own."""
    varies: bool = True
    """Whether another round could tell anything else."""


COSTS = (
    Figure("redis_us", "Redis CPU µs", 1),
    Figure("commands", "Redis commands", 2),
    Figure("reads", "socket reads", 3),
    Figure("scripts", "scripts run", 3),
    Figure("script_us", "µs in scripts", 1),
    Figure("bytes_in", "bytes in"),
    Figure("bytes_out", "bytes out"),
)

MEASUREMENTS = (
    Measurement(
        "drain",
        "Drain of queued no-op jobs, one worker process",
        measure_drain,
        (Figure("rate", "jobs/s", 0, compared=True),),
        (Figure("worker_us", "worker CPU µs", 1), *COSTS),
    ),
    Measurement(
        "enqueue",
        "Enqueue, one by one and from 100 concurrent tasks",
        measure_enqueue,
        (
            Figure("one_by_one", "one by one/s", 0, compared=True),
            Figure("concurrent", "100 tasks/s", 0, compared=True),
        ),
        (Figure("one_by_one_reads", "socket reads, one by one", 3), *COSTS),
    ),
    Measurement(
        "bulk",
        "Enqueue by the bulk API",
        measure_bulk,
        (Figure("bulk", "jobs/s", 0, compared=True),),
        COSTS,
    ),
    Measurement(
        "latency",
        "Enqueue-to-start on an idle worker; for redis-py, its round trip",
        measure_latency,
        (
            Figure("p50", "p50 ms", 2, compared=True),
            Figure("p99", "p99 ms", 2),
            Figure("tight_p50", "p50 ms without gaps", 3),
        ),
    ),
    Measurement(
        "delayed",
        "Delayed jobs: how late they start",
        measure_delayed,
        (
            Figure("p50", "p50 ms", 2, compared=True),
            Figure("p99", "p99 ms", 2),
            Figure("min", "min ms", 2),
            Figure("early", "% early", 1),
        ),
    ),
    Measurement(
        "memory",
        "Redis memory, bytes a job",
        measure_memory,
        (
            Figure("queued", "queued", 0, compared=True),
            Figure("finished", "finished", 0, compared=True),
            Figure("queued_200", "queued, 200 B argument", 0, compared=True),
            Figure("finished_200", "finished, 200 B argument", 0, compared=True),
        ),
        varies=False,
    ),
)
