"""Queues: pausing, resuming and emptying them."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs.options import check_queue_name
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.bulk import purging
from asyncjobs_dashboard.setup import SETUP

PATIENCE = 5.0
"""Seconds for which a purge is waited for; then it goes on as any bulk job does."""


async def queues(request: web.Request, asked: Asked) -> web.Response:
    """All of them, as they are now."""
    found = await request.app[SETUP].client.queues()
    return web.json_response({"queues": [documents.queue_document(queue) for queue in found]})


async def act(request: web.Request, asked: Asked) -> web.Response:
    """Pause, resume, purge. A purge is a bulk job, which may have more to do when this is answered."""
    setup = request.app[SETUP]
    queue = check_queue_name(request.match_info["queue"])
    bulk = None
    match request.match_info["action"]:
        case "pause":
            await setup.client.pause(queue)
        case "resume":
            await setup.client.resume(queue)
        case _:
            bulk = setup.bulk.start(purging(queue))
            if bulk.task is not None:
                await asyncio.wait({bulk.task}, timeout=PATIENCE)
    found = {each.name: documents.queue_document(each) for each in await setup.client.queues()}
    return web.json_response(
        {"queue": found.get(queue), "bulk": None if bulk is None else documents.bulk_document(bulk)}
    )
