"""Finding what an id belongs to."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs_dashboard.navigation import STATES
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP

LONGEST = 200


async def search(request: web.Request) -> web.Response:
    """To the job or batch, if it is the id of one; else a page with what was found."""
    setup = request.app[SETUP]
    asked = request.query.get("q", "").strip()[:LONGEST]
    word = asked.removeprefix("~")
    workers = []
    if word and " " not in word:
        job, batch = await asyncio.gather(setup.client.get(word), setup.client.get_batch(word))
        if job is not None:
            raise see_other(request, "job", id=job.id)
        if batch is not None:
            raise see_other(request, "batch", id=batch.id)
    if word:
        snapshot = await setup.live.snapshot()
        workers = [
            worker
            for worker in snapshot.workers
            if word in worker.id or word == worker.host or word == f"{worker.host}:{worker.pid}"
        ]
    return await page(request, "search.html", asked=asked, workers=workers, listed=STATES)
