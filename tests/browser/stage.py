"""What the browser looks at: a dashboard with jobs of all kinds behind it, and a worker that runs them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from asyncjobs import Client, Registry, State, Worker
from asyncjobs_dashboard import Dashboard
from asyncjobs_dashboard.actions import CANCEL
from asyncjobs_dashboard.bulk import BulkJob
from asyncjobs_dashboard.listing import Filter
from asyncjobs_dashboard.setup import SETUP
from tests.dashboard.scene import Scene, set_up
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
    async with (
        Client(redis_url, registry=registry) as client,
        Worker(registry, client, queues=QUEUES, grace=0.1),
        Dashboard(client, port=0, poll=0.2) as dashboard,
    ):
        scene = await set_up(client, registry)
        (worker,) = await client.workers()
        yield Stage(client, registry, dashboard, scene, worker.id, await _bulk(dashboard, scene))


async def _bulk(dashboard: Dashboard, scene: Scene) -> str:
    """Change what was changed already, so that the stage stays as it is."""
    ids = [scene.ids[State.CANCELLED], scene.ids[State.FAILED]]
    job = dashboard.app[SETUP].bulk.start(BulkJob(CANCEL, State.SCHEDULED, Filter(), ids=ids))
    await eventually(lambda: job.is_over)
    return job.id
