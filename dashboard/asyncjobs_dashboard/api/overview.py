"""`GET /api/overview`, and the description of all this."""

from __future__ import annotations

from aiohttp import web

from asyncjobs_dashboard.alerts import alerts
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked, description
from asyncjobs_dashboard.setup import SETUP


async def overview(request: web.Request, asked: Asked) -> web.Response:
    """Counts, queues, workers, the last hours and days, and what is worth a look."""
    snapshot = await request.app[SETUP].live.snapshot()
    return web.json_response(
        documents.stats_document(snapshot.stats)
        | {
            "workers": [documents.worker_document(worker) for worker in snapshot.workers],
            "hours": [documents.throughput_document(bucket) for bucket in snapshot.hours],
            "days": [documents.throughput_document(bucket) for bucket in snapshot.days],
            "alerts": [
                {"level": alert.level, "title": alert.title, "text": alert.text} for alert in alerts(snapshot)
            ],
        }
    )


async def openapi(request: web.Request, asked: Asked) -> web.Response:
    """The file, with the path that this dashboard is mounted at."""
    root = request.app[SETUP].root.rstrip("/")
    return web.json_response(description() | {"servers": [{"url": root or "/"}]})
