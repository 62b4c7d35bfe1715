"""One job, with everything that is known of it, and what can be done with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiohttp import web

from asyncjobs import Client, State
from asyncjobs.clock import to_datetime
from asyncjobs.errors import SerializationError, UnknownJob
from asyncjobs.options import apply_overrides
from asyncjobs.storage.base import JobRecord
from asyncjobs_dashboard.actions import ACTIONS, actions_for, carry_out, check
from asyncjobs_dashboard.formatting import duration
from asyncjobs_dashboard.graph import NODE_HEIGHT, NODE_WIDTH, graph
from asyncjobs_dashboard.payloads import arguments, result
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP
from asyncjobs_dashboard.timeline import timeline
from asyncjobs_dashboard.tracebacks import coloured

MOST_LINES = 200
"""Log lines that are shown; the last ones."""


async def job(request: web.Request) -> web.Response:
    """The page."""
    setup = request.app[SETUP]
    client = setup.client
    record = await client.read(request.match_info["id"])
    storage = client.storage
    history, logs, drawing, batch = await asyncio.gather(
        storage.history(record.id), storage.logs(record.id), graph(client, record), _batch(client, record)
    )
    now = (await setup.live.snapshot()).stats.now
    done = request.query.get("done", "")
    return await page(
        request,
        "job.html",
        section=record.state.value,
        job=record,
        arguments=arguments(client, record),
        result=result(client, record) if record.state is State.SUCCEEDED else None,
        steps=timeline(record, history, int(now.timestamp() * 1000)),
        logs=logs[-MOST_LINES:],
        older_lines=max(0, len(logs) - MOST_LINES),
        graph=drawing,
        node_width=NODE_WIDTH,
        node_height=NODE_HEIGHT,
        batch=batch,
        options=_options(client, record),
        running_for=now - to_datetime(record.started_ms) if record.started_ms else None,
        took=timedelta(milliseconds=record.finished_ms - record.started_ms)
        if record.finished_ms and record.started_ms
        else None,
        actions=actions_for(record.state),
        said=ACTIONS[done].done if done in ACTIONS else "",
        coloured=coloured,
    )


async def act(request: web.Request) -> web.Response:
    """Do something with it, and go back to its page, or to the list if it is gone."""
    setup = request.app[SETUP]
    job_id = request.match_info["id"]
    form = await request.post()
    queue = form.get("queue", "")
    queue = queue.strip() if isinstance(queue, str) else ""
    action = check(request.match_info["action"], queue)
    record = await setup.client.read(job_id)
    await carry_out(setup.client, action, job_id, queue)
    if action.name == "delete":
        raise see_other(request, "jobs", state=record.state.value)
    raise see_other(request, "job", {"done": action.name}, id=job_id)


async def _batch(client: Client, record: JobRecord) -> Any:
    return await client.get_batch(record.batch) if record.batch else None


@dataclass(frozen=True, slots=True)
class _Option:
    name: str
    value: str


def _options(client: Client, record: JobRecord) -> list[_Option]:
    """The options that it runs with, as far as they are known here."""
    if client.registry is None:
        return []
    try:
        settings = apply_overrides(client.registry.get(record.name).defaults, record.options)
    except (UnknownJob, SerializationError):
        return []
    kept = "as its list says" if settings.retention_ms is None else duration(settings.retention_ms / 1000)
    limit = "none" if settings.timeout_ms is None else duration(settings.timeout_ms / 1000)
    most = settings.retry.max_retries
    return [
        _Option("retries", f"{min(record.failures, most)} of {most:,} used"),
        _Option("time-out", limit),
        _Option("kept when ended", kept),
        _Option("result", "kept" if settings.keep_result else "not kept"),
    ]
