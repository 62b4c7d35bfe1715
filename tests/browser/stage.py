"""What the browser looks at: a dashboard with jobs of all kinds behind it, and a worker that runs them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from asyncjobs import Client, Exponential, Registry, State, Worker
from asyncjobs_dashboard import Dashboard
from asyncjobs_dashboard.actions import CANCEL
from asyncjobs_dashboard.bulk import BulkJob
from asyncjobs_dashboard.listing import Filter
from asyncjobs_dashboard.setup import SETUP
from tests.dashboard.scene import NAME, PAYLOAD, Scene, set_up
from tests.waiting import eventually

QUEUES = ["evil", "default"]


@dataclass
class Stage:
    """A dashboard at an address, and what can be seen there."""

    client: Client
    registry: Registry
    dashboard: Dashboard
    scene: Scene
    worker: str
    """Its id."""
    jobs: dict[str, Any]
    """The definitions of the scene."""
    bulk: str
    """The id of a bulk job that is over."""

    @property
    def url(self) -> str:
        """Where the dashboard is."""
        return self.dashboard.url


@asynccontextmanager
async def staged(redis_url: str) -> AsyncIterator[Stage]:
    """Set it up in an empty database."""
    registry = Registry()

    @registry.process(name="sweep", scope="cluster")
    async def sweep() -> None:
        await asyncio.sleep(3600)

    @registry.process(name="breaks", backoff=Exponential(base=3600))
    async def break_down() -> None:
        raise ValueError(PAYLOAD)

    @registry.recurring("0 3 * * *", id="declared", timezone="Europe/Berlin")
    async def back_up() -> None: ...

    async with (
        Client(redis_url, registry=registry) as client,
        Worker(registry, client, queues=QUEUES, grace=0.1),
        Dashboard(client, port=0, poll=0.2) as dashboard,
    ):
        scene = await set_up(client, registry)
        # By somebody who has died since.
        await client.storage.acquire_lock(PAYLOAD, "host-1-abc", 3_600_000)
        (worker,) = await client.workers()
        succeed = registry.get(NAME)
        await client.recurring.put("nightly", "30 2 * * *", succeed.call(PAYLOAD), timezone="Asia/Tokyo")
        await client.recurring.trigger("nightly")
        await client.recurring.put("<i>every</i>", timedelta(hours=6), succeed.call(PAYLOAD), jitter=60)
        await eventually(lambda: client.recurring.get("declared"), because="a worker has declared it")
        jobs = {job: registry.get(name) for job, name in (("fail", "fails"), ("hold", "holds"))}
        yield Stage(client, registry, dashboard, scene, worker.id, jobs, await _bulk(dashboard, scene))


async def _bulk(dashboard: Dashboard, scene: Scene) -> str:
    """Change what was changed already, so that the stage stays as it is."""
    ids = [scene.ids[State.CANCELLED], scene.ids[State.FAILED]]
    job = dashboard.app[SETUP].bulk.start(BulkJob(CANCEL, State.SCHEDULED, Filter(), ids=ids))
    await eventually(lambda: job.is_over)
    return job.id
