"""Bulk jobs: starting, watching and stopping them."""

from __future__ import annotations

from aiohttp import web

from asyncjobs import State
from asyncjobs.errors import OptionError
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.api.jobs import action_of
from asyncjobs_dashboard.bulk import BulkJob
from asyncjobs_dashboard.listing import Filter
from asyncjobs_dashboard.pages.bulk import known
from asyncjobs_dashboard.setup import SETUP


async def start(request: web.Request, asked: Asked) -> web.Response:
    """Begin: `{"action": "requeue", "filter": {"name": "mail"}}`, or with `ids` instead of a filter."""
    state = State(request.match_info["state"])
    queue = asked.get("queue", "")
    action = action_of(asked["action"], queue)
    if state not in action.states:
        raise OptionError(f"{action.name} isn't for jobs that are {state}")
    if ("ids" in asked) == ("filter" in asked):
        raise OptionError("give either ids or a filter; an empty one, {}, stands for all jobs in the state")
    wanted = Filter.of(asked.get("filter", {}))
    job = request.app[SETUP].bulk.start(BulkJob(action, state, wanted, queue, asked.get("ids")))
    return documents.begun(request, job)


async def bulk_jobs(request: web.Request, asked: Asked) -> web.Response:
    """All that this process knows of, latest first."""
    found = request.app[SETUP].bulk.all()
    return web.json_response({"bulk": [documents.bulk_document(job) for job in found]})


async def bulk_job(request: web.Request, asked: Asked) -> web.Response:
    """One, and how far it is."""
    return web.json_response(documents.bulk_document(known(request)))


async def stop(request: web.Request, asked: Asked) -> web.Response:
    """End one; nothing happens to one that is over."""
    job = known(request)
    await request.app[SETUP].bulk.stop(job)
    return web.json_response(documents.bulk_document(job))
