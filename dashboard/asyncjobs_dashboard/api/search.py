"""`GET /api/search?q=`: what an id, a host or a queue's name belongs to."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs.errors import OptionError
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.listing import MOST
from asyncjobs_dashboard.pages.workers import matches
from asyncjobs_dashboard.setup import SETUP


async def search(request: web.Request, asked: Asked) -> web.Response:
    """The job, batch and recurring job of an id; workers by id or host:pid, and queues, by parts of these."""
    client = request.app[SETUP].client
    word = asked["q"].strip().removeprefix("~")
    if not word:
        raise OptionError("q is empty: give an id, a host or a queue")
    record, batch, recurring, workers, queues = await asyncio.gather(
        client.storage.get(word),
        client.get_batch(word),
        client.recurring.get(word),
        client.workers(),
        client.queues(),
    )
    return web.json_response(
        {
            "job": None if record is None else documents.job_document(client, record),
            "batch": None if batch is None else documents.batch_document(batch),
            "recurring": None if recurring is None else documents.recurring_document(recurring),
            "workers": [documents.worker_document(each) for each in workers if matches(each, word)][:MOST],
            "queues": [
                documents.queue_document(each) for each in queues if word.lower() in each.name.lower()
            ][:MOST],
        }
    )
