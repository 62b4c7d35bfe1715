"""Queues: pausing, resuming and emptying them."""

from __future__ import annotations

import time

from aiohttp import web

from asyncjobs import Client
from asyncjobs.control import SWEEP
from asyncjobs.options import check_queue_name
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.setup import SETUP

PURGE_SECONDS = 5.0
"""For which one request deletes jobs."""


async def queues(request: web.Request, asked: Asked) -> web.Response:
    """All of them, as they are now."""
    found = await request.app[SETUP].client.queues()
    return web.json_response({"queues": [documents.queue_document(queue) for queue in found]})


async def act(request: web.Request, asked: Asked) -> web.Response:
    """Pause, resume, purge. A purge deletes as many as the time allows, and tells whether there are more."""
    client = request.app[SETUP].client
    queue = check_queue_name(request.match_info["queue"])
    purged, more = None, False
    match request.match_info["action"]:
        case "pause":
            await client.pause(queue)
        case "resume":
            await client.resume(queue)
        case _:
            purged, more = await _purge(client, queue)
    found = {each.name: documents.queue_document(each) for each in await client.queues()}
    return web.json_response({"queue": found.get(queue), "purged": purged, "more": more})


async def _purge(client: Client, queue: str) -> tuple[int, bool]:
    """Delete jobs that are enqueued now, but not for ever if others add as fast as they are deleted."""
    ends = time.monotonic() + PURGE_SECONDS
    total = next((each.length for each in await client.queues() if each.name == queue), 0)
    purged = 0
    for shard in range(client.storage.shards):
        more = True
        while more and purged < total:
            if time.monotonic() > ends:
                return purged, True
            some, more = await client.storage.purge(shard, queue, min(SWEEP, total - purged))
            purged += some
    return purged, False
