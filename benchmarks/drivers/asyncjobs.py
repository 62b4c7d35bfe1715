"""asyncjobs: what all the others are compared with."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.metadata import version

from asyncjobs import Client, Registry, Worker
from benchmarks.drivers.protocol import AsyncDriver, mark_sample, mark_start, serve

registry = Registry()


@registry.job(name="noop")
async def noop(argument: str | None = None) -> None:
    mark_start()


@registry.job(name="sample")
async def sample(given: int) -> None:
    mark_sample(given)


class Asyncjobs(AsyncDriver):
    version = version("asyncjobs-redis")
    # Everything else at its default: retries, results, history, statistics and retention are on.
    settings = "concurrency=100, results and history kept 24 h (default)"
    # The script that ends a job adds it here, together with its result and statistics.
    probe = ["ZCARD", "{asyncjobs}:succeeded"]  # noqa: RUF012
    has_bulk = True

    async def open(self, url: str) -> None:
        self.client = Client(url, registry=registry)
        await self.client.__aenter__()

    async def close(self) -> None:
        await self.client.__aexit__(None, None, None)

    async def enqueue(self) -> None:
        await self.client.enqueue(noop)

    async def enqueue_bulk(self, count: int, argument: str | None) -> None:
        if argument is None:
            await self.client.enqueue_many(noop.call() for _ in range(count))
        else:
            await self.client.enqueue_many(noop.call(argument) for _ in range(count))

    async def enqueue_sample(self, given: int) -> None:
        await self.client.enqueue(sample, given)

    async def enqueue_at(self, due_wall: int) -> None:
        await self.client.enqueue_at(datetime.fromtimestamp(due_wall / 1e6, UTC), sample, due_wall)

    async def work(self, url: str, measure: str) -> None:
        async with (
            Client(url, registry=registry) as client,
            Worker(registry, client, queues=["default"], concurrency=100),
        ):
            await asyncio.Event().wait()


if __name__ == "__main__":
    serve(Asyncjobs())
