"""Workers, what runs in them, and telling them to be quiet or to stop."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs.errors import JobNotFound
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.setup import SETUP


async def workers(request: web.Request, asked: Asked) -> web.Response:
    """All of them, as they are now."""
    found = await request.app[SETUP].client.workers()
    return web.json_response({"workers": [documents.worker_document(worker) for worker in found]})


async def worker(request: web.Request, asked: Asked) -> web.Response:
    """One, with its background processes and the jobs that it runs."""
    client = request.app[SETUP].client
    worker_id = request.match_info["id"]
    known, held = await asyncio.gather(client.workers(), client.held(worker_id))
    found = next((each for each in known if each.id == worker_id), None)
    if found is None:
        raise JobNotFound(f"there is no worker {worker_id}: it has ended, or its lease was taken back")
    return web.json_response(
        documents.worker_document(found)
        | {
            "processes": [documents.process_document(found, process) for process in found.processes],
            "jobs": [documents.job_document(client, record) for record in held],
        }
    )


async def act(request: web.Request, asked: Asked) -> web.Response:
    """Tell it. It does so when it hears of it, within a second or so."""
    worker_id, command = request.match_info["id"], request.match_info["action"]
    await request.app[SETUP].client.command(worker_id, command)
    return web.json_response({"id": worker_id, "told": command}, status=202)


async def processes(request: web.Request, asked: Asked) -> web.Response:
    """The background processes of all workers."""
    found = [
        documents.process_document(each, process)
        for each in await request.app[SETUP].client.workers()
        for process in each.processes
    ]
    return web.json_response({"processes": found})
