"""SAQ: a list per queue, BLMOVE by each of the worker's slots."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from redis.asyncio import Redis
from saq import Queue, Worker
from saq.queue.redis import RedisQueue

from benchmarks.drivers.protocol import AsyncDriver, mark_sample, mark_start, serve


async def noop(context: Any, *, argument: str | None = None) -> None:
    mark_start()


async def sample(context: Any, *, given: int) -> None:
    mark_sample(given)


def connect(url: str) -> Queue:
    # Each of the 100 slots blocks on a connection of its own, which redis-py's default pool (100) and its
    # default socket time-out (5 s) would break.
    redis: Any = Redis.from_url(url, max_connections=500, socket_timeout=None)
    return RedisQueue(redis)


class Saq(AsyncDriver):
    version = version("saq")
    settings = "concurrency=100, hiredis, results kept 10 min (default)"
    # Finishing a job takes it out of this sorted set and writes the result, in one transaction.
    probe = ["ZCARD", "saq:default:incomplete"]  # noqa: RUF012

    async def open(self, url: str) -> None:
        self.queue = connect(url)
        await self.queue.connect()

    async def close(self) -> None:
        await self.queue.disconnect()

    async def enqueue(self) -> None:
        await self.queue.enqueue("noop")

    async def enqueue_with(self, argument: str | None) -> None:
        await self.queue.enqueue("noop", **({"argument": argument} if argument else {}))

    async def enqueue_sample(self, given: int) -> None:
        await self.queue.enqueue("sample", given=given)

    async def enqueue_at(self, due_wall: int) -> None:
        # Declared as whole seconds; a fraction is kept and honoured, which is better for its lateness.
        due: Any = due_wall / 1e6
        await self.queue.enqueue("sample", given=due_wall, scheduled=due)

    async def work(self, url: str, measure: str) -> None:
        queue = connect(url)
        await queue.connect()
        await Worker(queue, [("noop", noop), ("sample", sample)], concurrency=100).start()


if __name__ == "__main__":
    serve(Saq())
