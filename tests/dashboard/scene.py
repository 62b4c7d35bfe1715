"""Jobs in every state, with a text in all places where a job can bring one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from asyncjobs import Client, JobContext, Limit, Registry, Retry, State, Unique
from tests.waiting import eventually

PAYLOAD = "\"'><script>alert(1)</script>&<img src=x onerror=alert(2)>{{7*7}}"
"""Must never be on a page as it is."""
NAME = "evil\"'><script>alert(3)</script>"


@dataclass
class Scene:
    """Ids of jobs, by state."""

    ids: dict[State, str] = field(default_factory=dict[State, str])
    batch: str = ""


def declare(registry: Registry) -> dict[str, Any]:
    """The definitions. `holds` runs until its worker is stopped."""

    @registry.job(name=NAME, queue="evil")
    async def succeed(text: str) -> str:
        return text

    @registry.job(name="fails", retry=Retry(max_retries=0))
    async def fail(text: str) -> None:
        raise ValueError(text)

    @registry.job(name="retries", retry=Retry(max_retries=3, delay=3600))
    async def again(text: str) -> None:
        raise ValueError(text)

    @registry.job(name="holds", context=True, limits=[Limit("one", concurrency=1)])
    async def hold(context: JobContext, text: str) -> None:
        context.log(text)
        context.progress(0.25, text)
        await asyncio.sleep(3600)

    @registry.job(name="waits", queue="unserved", unique=Unique("evil:{text}", on_conflict="return"))
    async def wait(text: str) -> None: ...

    return {"succeed": succeed, "fail": fail, "again": again, "hold": hold, "wait": wait}


async def set_up(client: Client, registry: Registry) -> Scene:
    """Create them, and wait until each is in its state. The worker serves `evil` and `default`."""
    jobs = declare(registry)
    scene = Scene()

    async def reach(job: Any, state: State) -> None:
        scene.ids[state] = job.id
        await eventually(lambda: _is(client, job.id, state), because=f"{job.name} is {state}")

    first = await client.enqueue(jobs["hold"], PAYLOAD)
    await reach(first, State.PROCESSING)
    await reach(await client.enqueue(jobs["hold"], PAYLOAD), State.THROTTLED)
    await reach(await client.enqueue(jobs["succeed"], PAYLOAD), State.SUCCEEDED)
    await reach(await client.enqueue(jobs["fail"], PAYLOAD), State.FAILED)
    await reach(await client.enqueue(jobs["again"], PAYLOAD), State.RETRYING)
    await reach(await client.enqueue(jobs["wait"], PAYLOAD), State.ENQUEUED)
    await reach(await client.enqueue_in(timedelta(hours=1), jobs["succeed"], PAYLOAD), State.SCHEDULED)
    await reach(await client.continue_with(first, jobs["succeed"], PAYLOAD), State.AWAITING)
    cancelled = await client.enqueue_in(timedelta(hours=1), jobs["succeed"], PAYLOAD)
    await client.cancel(cancelled.id)
    await reach(cancelled, State.CANCELLED)
    async with client.batch(PAYLOAD) as batch:
        batch.enqueue(jobs["wait"], f"in a batch {PAYLOAD}")
    scene.batch = batch.id
    logged = scene.ids[State.PROCESSING]
    await eventually(lambda: client.storage.logs(logged), because="the log has come")
    return scene


async def _is(client: Client, job_id: str, state: State) -> bool:
    return (await client.read(job_id)).state is state
