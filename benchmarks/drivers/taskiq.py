"""taskiq with taskiq-redis: the stream broker, the one of its Redis brokers that acknowledges."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from taskiq import TaskiqScheduler
from taskiq.api import run_receiver_task, run_scheduler_task
from taskiq_redis import ListRedisScheduleSource, RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.drivers.protocol import AsyncDriver, mark_sample, mark_start, serve


class Taskiq(AsyncDriver):
    version = f"{version('taskiq')}, taskiq-redis {version('taskiq-redis')}"
    settings = (
        "RedisStreamBroker, max_async_tasks=100 (default), max_prefetch=100, Redis result backend, "
        "results kept for ever (default), hiredis; delayed jobs by its scheduler, looking every second"
    )
    # One key a result. The stream and a short-lived lock are there before, too.
    probe = ["DBSIZE"]  # noqa: RUF012

    def declare(self, url: str) -> None:
        results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(url)
        # "0": also what was sent before the first worker made the consumer group.
        self.broker = RedisStreamBroker(url, consumer_id="0").with_result_backend(results)
        self.source = ListRedisScheduleSource(url)

        @self.broker.task(task_name="noop")
        async def noop(argument: str | None = None) -> None:
            mark_start()

        @self.broker.task(task_name="sample")
        async def sample(given: int) -> None:
            mark_sample(given)

        self.noop, self.sample = noop, sample

    async def open(self, url: str) -> None:
        self.declare(url)
        await self.broker.startup()

    async def close(self) -> None:
        await self.broker.shutdown()

    async def enqueue(self) -> None:
        await self.noop.kiq()

    async def enqueue_with(self, argument: str | None) -> None:
        await self.noop.kiq(*([argument] if argument else []))

    async def enqueue_sample(self, given: int) -> None:
        await self.sample.kiq(given)

    async def enqueue_at(self, due_wall: int) -> None:
        due = datetime.fromtimestamp(due_wall / 1e6, UTC)
        await self.sample.schedule_by_time(self.source, due, due_wall)

    async def work(self, url: str, measure: str) -> None:
        self.declare(url)
        async with asyncio.TaskGroup() as group:
            if measure == "delayed":
                # A process of its own in production; here it shares an idle worker's loop.
                scheduler = TaskiqScheduler(self.broker, [self.source])
                second = timedelta(seconds=1)
                group.create_task(run_scheduler_task(scheduler, run_startup=True, interval=second))
            # Prefetch: the next messages are decoded while 100 run.
            group.create_task(
                run_receiver_task(self.broker, max_async_tasks=100, max_prefetch=100, run_startup=True)
            )


if __name__ == "__main__":
    serve(Taskiq())
