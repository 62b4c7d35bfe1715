"""`POST /api/…`: what can be done with a job. The header `X-Asyncjobs: 1` takes the token's place."""

from __future__ import annotations

from aiohttp import web

from asyncjobs_dashboard.actions import carry_out, check
from asyncjobs_dashboard.setup import SETUP


async def act(request: web.Request) -> web.Response:
    """Do something with a job: requeue, run, move (`?queue=NAME`), cancel, delete."""
    client = request.app[SETUP].client
    job_id = request.match_info["id"]
    queue = request.query.get("queue", "")
    action = check(request.match_info["action"], queue)
    await carry_out(client, action, job_id, queue)
    record = await client.storage.get(job_id)
    return web.json_response({"id": job_id, "state": None if record is None else record.state.value})
