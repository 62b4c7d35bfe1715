"""arq: a sorted set polled by the worker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import arq.version
from arq.connections import RedisSettings, create_pool
from arq.worker import Worker

from benchmarks.drivers.protocol import AsyncDriver, mark_sample, mark_start, serve


async def noop(context: dict[Any, Any], argument: str | None = None) -> None:
    mark_start()


async def sample(context: dict[Any, Any], given: int) -> None:
    mark_sample(given)


class Arq(AsyncDriver):
    version = arq.version.VERSION
    # `poll_delay` stays at its default: a lower one trades load on an idle Redis for latency.
    settings = "max_jobs=100, results kept 1 h (default), poll_delay 0.5 s (default)"
    # Finishing a job takes it out of the queue's sorted set and writes the result, in one transaction.
    probe = ["ZCARD", "arq:queue"]  # noqa: RUF012

    async def open(self, url: str) -> None:
        self.pool = await create_pool(RedisSettings.from_dsn(url))

    async def close(self) -> None:
        await self.pool.aclose()

    async def enqueue(self) -> None:
        await self.pool.enqueue_job("noop")

    async def enqueue_with(self, argument: str | None) -> None:
        await self.pool.enqueue_job("noop", *([argument] if argument else []))

    async def enqueue_sample(self, given: int) -> None:
        await self.pool.enqueue_job("sample", given)

    async def enqueue_at(self, due_wall: int) -> None:
        due = datetime.fromtimestamp(due_wall / 1e6, UTC)
        await self.pool.enqueue_job("sample", due_wall, _defer_until=due)

    async def work(self, url: str, measure: str) -> None:
        worker = Worker(
            [noop, sample],
            redis_settings=RedisSettings.from_dsn(url),
            max_jobs=100,
            handle_signals=False,
        )
        await worker.async_run()


if __name__ == "__main__":
    serve(Arq())
