"""`GET /api/search?q=`: what an id or a host belongs to."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.setup import SETUP


async def search(request: web.Request, asked: Asked) -> web.Response:
    """The job, batch and recurring job of an id, and workers by id, host or host:pid."""
    client = request.app[SETUP].client
    word = asked["q"].strip().removeprefix("~")
    if not word:
        return web.json_response({"job": None, "batch": None, "recurring": None, "workers": []})
    record, batch, recurring, workers = await asyncio.gather(
        client.storage.get(word), client.get_batch(word), client.recurring.get(word), client.workers()
    )
    return web.json_response(
        {
            "job": None if record is None else documents.job_document(client, record),
            "batch": None if batch is None else documents.batch_document(batch),
            "recurring": None if recurring is None else documents.recurring_document(recurring),
            "workers": [
                documents.worker_document(worker)
                for worker in workers
                if word in worker.id or word in (worker.host, f"{worker.host}:{worker.pid}")
            ],
        }
    )
