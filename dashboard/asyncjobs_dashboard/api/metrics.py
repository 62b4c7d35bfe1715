"""`GET /metrics`: the numbers in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from asyncjobs_dashboard.live import Snapshot
from asyncjobs_dashboard.setup import SETUP

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
TOTALS = {
    "succeeded": "Jobs that have succeeded.",
    "failed": "Jobs that have failed for good.",
    "cancelled": "Jobs that were cancelled.",
    "retried": "Attempts that failed and are tried again.",
    "recovered": "Jobs that were taken back from workers that died.",
}

Sample = tuple[dict[str, str], float]


async def metrics(request: web.Request) -> web.Response:
    """All of them; they come from the numbers that pages share, so they cost nothing while somebody looks."""
    snapshot = await request.app[SETUP].live.snapshot()
    return web.Response(body=text(snapshot).encode(), headers={"Content-Type": CONTENT_TYPE})


def text(snapshot: Snapshot) -> str:
    """The document."""
    stats, workers, server = snapshot.stats, snapshot.workers, snapshot.server
    lines: list[str] = []

    def add(name: str, kind: str, about: str, samples: Iterable[Sample]) -> None:
        lines.extend((f"# HELP asyncjobs_{name} {about}", f"# TYPE asyncjobs_{name} {kind}"))
        for labels, value in samples:
            told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
            lines.append(
                f"asyncjobs_{name}{{{told}}} {value:.15g}" if told else f"asyncjobs_{name} {value:.15g}"
            )

    def whole(value: float) -> list[Sample]:
        return [({}, value)]

    add("jobs", "gauge", "Jobs in each state.", [({"state": s.value}, n) for s, n in stats.counts.items()])
    for name, about in TOTALS.items():
        add(f"{name}_total", "counter", about, whole(stats.totals.get(name, 0)))
    queues = stats.queues
    add("queue_length", "gauge", "Jobs enqueued.", [({"queue": q.name}, q.length) for q in queues])
    waits = [({"queue": q.name}, q.latency.total_seconds() if q.latency else 0.0) for q in queues]
    add("queue_latency_seconds", "gauge", "How long the first job of a queue has been waiting.", waits)
    add(
        "queue_paused",
        "gauge",
        "1 if a queue is paused.",
        [({"queue": q.name}, int(q.paused)) for q in queues],
    )
    add("workers", "gauge", "Workers that are known.", whole(len(workers)))
    add(
        "worker_slots", "gauge", "Jobs that they can run at once.", whole(sum(w.concurrency for w in workers))
    )
    add("worker_running", "gauge", "Jobs that they run.", whole(sum(w.running for w in workers)))
    lag = max((worker.loop_lag.total_seconds() for worker in workers), default=0.0)
    add("worker_loop_lag_seconds", "gauge", "How late the latest event loop is.", whole(lag))
    add("server_memory_bytes", "gauge", "Memory that the server uses.", whole(server.memory))
    add(
        "server_max_memory_bytes",
        "gauge",
        "Memory that it may use; 0 for no limit.",
        whole(server.max_memory),
    )
    return "\n".join((*lines, ""))


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
