"""`GET /api/…`: the overview, lists of jobs, one job."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs import State
from asyncjobs_dashboard.alerts import alerts
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.listing import MOST, PAGE, Filter, find
from asyncjobs_dashboard.pages.jobs import state_of, whole_number
from asyncjobs_dashboard.payloads import result
from asyncjobs_dashboard.setup import SETUP


async def overview(request: web.Request) -> web.Response:
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


async def jobs(request: web.Request) -> web.Response:
    """A page of a list: `?from=0&size=50`, and the filters of the page; `next` is where to go on."""
    setup = request.app[SETUP]
    state = state_of(request)
    wanted = Filter.of(request.query)
    offset = whole_number(request.query.get("from", ""), 0, 10**9)
    size = whole_number(request.query.get("size", ""), PAGE, MOST) or PAGE
    newest_first = request.query.get("order", "newest" if state.is_final else "oldest") == "newest"
    listing = await find(setup.client, state, wanted, offset=offset, limit=size, newest_first=newest_first)
    return web.json_response(
        {
            "jobs": [documents.job_document(setup.client, record) for record in listing.jobs],
            "total": listing.total,
            "looked_at": listing.looked,
            "next": listing.end if listing.more else None,
        }
    )


async def job(request: web.Request) -> web.Response:
    """One job, with its history and log."""
    client = request.app[SETUP].client
    record = await client.read(request.match_info["id"])
    history, logs = await asyncio.gather(client.storage.history(record.id), client.storage.logs(record.id))
    document = documents.job_document(client, record)
    document["history"] = documents.history_documents(history)
    document["logs"] = documents.log_documents(logs)
    ended_well = record.state is State.SUCCEEDED and record.result_kept
    document["result"] = result(client, record).text if ended_well else None
    return web.json_response(document)
