"""A client on a real server, a registry of its own for each test, and workers that end with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest

from asyncjobs import Client, Registry, Worker


class StartWorker(Protocol):
    async def __call__(self, **options: Any) -> Worker: ...


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
async def client(redis_url: str, registry: Registry) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry) as client:
        yield client


@pytest.fixture
async def start_worker(client: Client, registry: Registry) -> AsyncIterator[StartWorker]:
    """Start workers in this program: `worker = await start_worker(concurrency=1)`."""
    async with AsyncExitStack() as started:

        async def start(**options: Any) -> Worker:
            options.setdefault("grace", 0.5)
            return await started.enter_async_context(Worker(registry, client, **options))

        yield start
