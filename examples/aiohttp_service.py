"""An aiohttp service that enqueues jobs and shows how far they are. A worker in another process runs them.

    python examples/aiohttp_service.py

    curl -X POST localhost:8080/calendars/2026     {"job": "…", "state": "enqueued"}
    curl localhost:8080/jobs/…                     {"job": "…", "state": "processing", "progress": 0.25, …}

It uses the Redis that ASYNCJOBS_REDIS names, else an embedded server; PORT says where it listens.
"""

import asyncio
import calendar
import os
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web

from asyncjobs import Client, JobContext, Registry, State
from asyncjobs.embedded import EmbeddedServer

registry = Registry()


@registry.job(name="calendar", context=True, timeout=60)
def make_calendar(context: JobContext, year: int) -> dict[str, int]:
    """A plain function: the worker runs it in a thread. It counts the Sundays of each month."""
    sundays: dict[str, int] = {}
    for month in range(1, 13):
        context.progress((month - 1) / 12, calendar.month_name[month])
        time.sleep(0.1)  # stands for real work
        days = calendar.Calendar().itermonthdays2(year, month)
        sundays[calendar.month_name[month]] = sum(1 for day, weekday in days if day and weekday == 6)
    return sundays


CLIENT = web.AppKey("client", Client)
routes = web.RouteTableDef()


@routes.post("/calendars/{year:[0-9]{4}}")
async def order_calendar(request: web.Request) -> web.Response:
    job = await request.app[CLIENT].enqueue(make_calendar, int(request.match_info["year"]))
    return web.json_response({"job": job.id, "state": job.state}, status=202)


@routes.get("/jobs/{id}")
async def show_job(request: web.Request) -> web.Response:
    job = await request.app[CLIENT].get(request.match_info["id"], make_calendar)
    if job is None:
        raise web.HTTPNotFound
    answer: dict[str, object] = {"job": job.id, "state": job.state, "progress": job.progress}
    if job.state is State.SUCCEEDED:
        answer["result"] = await job.result()
    elif job.state in (State.RETRYING, State.FAILED):
        answer["error"] = (await job.history())[-1].error_message
    return web.json_response(answer)


@routes.delete("/jobs/{id}")
async def cancel_job(request: web.Request) -> web.Response:
    job = await request.app[CLIENT].get(request.match_info["id"], make_calendar)
    if job is None:
        raise web.HTTPNotFound
    return web.json_response({"cancelled": await job.cancel()})


@contextmanager
def redis_url() -> Generator[str]:
    if url := os.environ.get("ASYNCJOBS_REDIS"):
        yield url
    else:
        with EmbeddedServer() as server:
            yield server.url


def make_app(url: str) -> web.Application:
    async def client(app: web.Application) -> AsyncGenerator[None]:
        async with Client(url, registry=registry) as opened:
            app[CLIENT] = opened
            yield

    async def worker(app: web.Application) -> AsyncGenerator[None]:
        # In production, systemd or Kubernetes would start the workers: asyncjobs worker module:registry
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "asyncjobs", "worker", "aiohttp_service:registry", "--redis", url),
            cwd=Path(__file__).parent,
            start_new_session=True,  # Ctrl-C in a terminal is for this process, which then stops its worker
        )
        yield
        if process.returncode is None:
            process.terminate()
        await process.wait()

    app = web.Application()
    app.cleanup_ctx.extend((client, worker))
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    with redis_url() as url:
        web.run_app(make_app(url), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
