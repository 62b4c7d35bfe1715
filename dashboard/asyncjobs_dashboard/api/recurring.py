"""Recurring jobs: running them now, pausing, resuming, rescheduling and removing them."""

from __future__ import annotations

from aiohttp import web

from asyncjobs.errors import RecurringNotFound
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.schedule_text import schedule_of
from asyncjobs_dashboard.setup import SETUP


async def recurring_jobs(request: web.Request, asked: Asked) -> web.Response:
    """A page of them, by their next time."""
    client = request.app[SETUP].client
    offset, size = asked["from"], asked["size"]
    found = await client.recurring.list(offset=offset, limit=size)
    total = await client.recurring.count()
    return web.json_response(
        {
            "recurring": [documents.recurring_document(each) for each in found],
            "total": total,
            "next": offset + size if offset + size < total else None,
        }
    )


async def recurring(request: web.Request, asked: Asked) -> web.Response:
    """One."""
    recurring_id = request.match_info["id"]
    found = await request.app[SETUP].client.recurring.get(recurring_id)
    if found is None:
        raise RecurringNotFound(f"there is no recurring job {recurring_id}: it was never put, or was removed")
    return web.json_response(documents.recurring_document(found))


async def preview(request: web.Request, asked: Asked) -> web.Response:
    """When it occurs next, or would by another schedule."""
    typed = asked.get("schedule")
    times = await request.app[SETUP].client.recurring.preview(
        request.match_info["id"],
        None if typed is None else schedule_of(typed),
        timezone=asked.get("timezone"),
        count=asked["count"],
    )
    return web.json_response({"times": [documents.moment(at) for at in times]})


async def reschedule(request: web.Request, asked: Asked) -> web.Response:
    """Give it another schedule."""
    job = await request.app[SETUP].client.recurring.reschedule(
        request.match_info["id"], schedule_of(asked["schedule"]), timezone=asked.get("timezone")
    )
    return web.json_response(documents.recurring_document(job))


async def act(request: web.Request, asked: Asked) -> web.Response:
    """Do something with one."""
    verbs = request.app[SETUP].client.recurring
    recurring_id = request.match_info["id"]
    job = None
    match request.match_info["action"]:
        case "trigger":
            job = await verbs.trigger(recurring_id)
        case "pause":
            await verbs.pause(recurring_id)
        case "resume":
            await verbs.resume(recurring_id)
        case "reset":
            await verbs.reset(recurring_id)
        case _:
            await verbs.remove(recurring_id)
    found = await verbs.get(recurring_id)
    return web.json_response(
        {
            "recurring": None if found is None else documents.recurring_document(found),
            "job": None if job is None else job.id,
        }
    )
