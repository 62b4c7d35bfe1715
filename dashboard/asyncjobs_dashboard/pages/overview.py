"""The first page: what is going on, and whether anything is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from asyncjobs.timings import merged, percentile
from asyncjobs_dashboard.alerts import alerts
from asyncjobs_dashboard.charts import bar_chart
from asyncjobs_dashboard.live import Snapshot
from asyncjobs_dashboard.rendering import fragment
from asyncjobs_dashboard.setup import SETUP

SHARES = (0.5, 0.95, 0.99)
MOST_QUEUES = 50
"""Queues that are listed; those with the oldest jobs come first."""
MOST_WORKERS = 20


@dataclass(frozen=True, slots=True)
class Timing:
    """Percentiles of waiting or running times, in seconds."""

    name: str
    count: int
    values: tuple[float | None, ...]


async def overview(request: web.Request) -> web.Response:
    """The page."""
    snapshot = await request.app[SETUP].live.snapshot()
    return fragment(request, "overview.html", section="overview", **contents(request, snapshot))


async def overview_parts(request: web.Request) -> web.Response:
    """What changes on it, from the numbers that all pages share."""
    snapshot = await request.app[SETUP].live.snapshot()
    return fragment(request, "overview_parts.html", **contents(request, snapshot))


def contents(request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
    """What the templates of the overview are given."""
    unit = "day" if request.query.get("history") == "day" else "hour"
    if unit == "day":
        history = bar_chart(snapshot.days, "%-d %b", 7)
    else:
        history = bar_chart(snapshot.hours, "%H:%M", 4)
    queues = sorted(
        snapshot.stats.queues,
        key=lambda queue: (-(queue.latency.total_seconds() if queue.latency else -1), queue.name),
    )
    workers = snapshot.workers
    return {
        "numbers": snapshot,
        "points": [
            [round(point.at, 2), _rounded(point.succeeded), _rounded(point.failed)]
            for point in snapshot.points
        ],
        "history": history,
        "history_unit": unit,
        "alerts": alerts(snapshot),
        "queues": queues[:MOST_QUEUES],
        "more_queues": len(queues) - MOST_QUEUES,
        "longest": max((queue.length for queue in queues), default=0),
        "served": {queue for worker in workers if not worker.quiet for queue in worker.queues},
        "workers": sorted(workers, key=lambda worker: -worker.running)[:MOST_WORKERS],
        "more_workers": len(workers) - MOST_WORKERS,
        "running": sum(worker.running for worker in workers),
        "slots": sum(worker.concurrency for worker in workers),
        "timings": [
            timing("waiting", merged(worker.waits for worker in workers)),
            timing("running", merged(worker.runs for worker in workers)),
        ],
        "shares": SHARES,
        "empty": not any(snapshot.stats.counts.values()) and not snapshot.stats.totals.get("succeeded"),
    }


def _rounded(rate: float | None) -> float | None:
    return None if rate is None else round(rate, 2)


def timing(name: str, histogram: Mapping[int, int]) -> Timing:
    """What the table of percentiles says of a histogram."""
    return Timing(name, sum(histogram.values()), tuple(percentile(histogram, share) for share in SHARES))
