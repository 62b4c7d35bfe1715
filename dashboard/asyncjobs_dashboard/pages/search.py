"""Finding what an id belongs to."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs.monitoring import QueueInfo, WorkerInfo
from asyncjobs_dashboard.navigation import STATES
from asyncjobs_dashboard.pages.workers import matches
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP

LONGEST = 200
MOST = 10
"""Workers and queues that are shown; their own pages have the others."""


async def search(request: web.Request) -> web.Response:
    """To the job or batch, if it is the id of one; else a page with what was found."""
    setup = request.app[SETUP]
    asked = request.query.get("q", "").strip()[:LONGEST]
    word = asked.removeprefix("~")
    workers: list[WorkerInfo] = []
    queues: list[QueueInfo] = []
    if word and " " not in word:
        job, batch = await asyncio.gather(setup.client.get(word), setup.client.get_batch(word))
        if job is not None:
            raise see_other(request, "job", id=job.id)
        if batch is not None:
            raise see_other(request, "batch", id=batch.id)
    if word:
        snapshot = await setup.live.snapshot()
        workers = [worker for worker in snapshot.workers if matches(worker, word)]
        queues = [queue for queue in snapshot.stats.queues if word.lower() in queue.name.lower()]
    return await page(
        request,
        "search.html",
        asked=asked,
        workers=workers[:MOST],
        more_workers=max(0, len(workers) - MOST),
        queues=queues[:MOST],
        more_queues=max(0, len(queues) - MOST),
        listed=STATES,
    )
