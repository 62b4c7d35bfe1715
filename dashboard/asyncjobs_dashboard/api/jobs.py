"""Lists of jobs, one job, and what can be done with it."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs import State
from asyncjobs.errors import OptionError
from asyncjobs_dashboard.actions import MOVE, Action, carry_out, check
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.listing import Filter, find
from asyncjobs_dashboard.setup import SETUP


async def jobs(request: web.Request, asked: Asked) -> web.Response:
    """A page of a list; `next` is where to go on."""
    client = request.app[SETUP].client
    state = State(request.match_info["state"])
    listing = await find(
        client,
        state,
        Filter.of(asked),
        offset=asked["from"],
        limit=asked["size"],
        newest_first=asked.get("order", "newest" if state.is_final else "oldest") == "newest",
    )
    return web.json_response(
        {
            "jobs": [documents.job_document(client, record) for record in listing.jobs],
            "total": listing.total,
            "looked_at": listing.looked,
            "next": listing.end if listing.more else None,
        }
    )


async def job(request: web.Request, asked: Asked) -> web.Response:
    """One job, with its history and log."""
    client = request.app[SETUP].client
    record = await client.read(request.match_info["id"])
    history, logs = await asyncio.gather(client.storage.history(record.id), client.storage.logs(record.id))
    return web.json_response(documents.whole_job_document(client, record, history, logs))


async def act(request: web.Request, asked: Asked) -> web.Response:
    """Do something with a job: requeue, run, move (`?queue=NAME`), cancel, delete."""
    client = request.app[SETUP].client
    job_id, queue = request.match_info["id"], asked.get("queue", "")
    await carry_out(client, action_of(request.match_info["action"], queue), job_id, queue)
    record = await client.storage.get(job_id)
    return web.json_response({"id": job_id, "state": None if record is None else record.state.value})


def action_of(name: str, queue: str) -> Action:
    """An action by its name, with what it needs and nothing else. Raises `OptionError`."""
    action = check(name, queue)
    if queue and action is not MOVE:
        raise OptionError(f"a queue is for move, not for {name}")
    return action
