"""streaQ: a Redis stream and a function library, on coredis and anyio."""

from __future__ import annotations

from datetime import UTC, datetime

import streaq
from streaq import Worker

from benchmarks.drivers.protocol import AsyncDriver, mark_sample, mark_start, serve

# Calls in one `enqueue_many`, which starts a task and buffers a pipeline entry for each.
CHUNK = 1000


class Streaq(AsyncDriver):
    version = streaq.VERSION
    settings = "concurrency=100, prefetch=concurrency (default), results kept 5 min (default)"
    # Finishing a job adds it to this index together with its result, in one transaction.
    probe = ["ZCARD", "streaq:default:index:results"]  # noqa: RUF012
    has_bulk = True

    def declare(self, url: str) -> None:
        # Signals are the harness's business; the rest is as its documentation's "getting started" has it.
        self.worker: Worker[None] = Worker(redis_url=url, concurrency=100, handle_signals=False)

        @self.worker.task(name="noop")
        async def noop(argument: str | None = None) -> None:
            mark_start()

        @self.worker.task(name="sample")
        async def sample(given: int) -> None:
            mark_sample(given)

        self.noop, self.sample = noop, sample

    async def open(self, url: str) -> None:
        self.declare(url)
        await self.worker.__aenter__()

    async def close(self) -> None:
        await self.worker.__aexit__(None, None, None)

    async def enqueue(self) -> None:
        await self.noop.enqueue()

    async def enqueue_bulk(self, count: int, argument: str | None) -> None:
        given = (argument,) if argument else ()
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            await self.worker.enqueue_many([self.noop.enqueue(*given) for _ in range(size)])

    async def enqueue_sample(self, given: int) -> None:
        await self.sample.enqueue(given)

    async def enqueue_at(self, due_wall: int) -> None:
        due = datetime.fromtimestamp(due_wall / 1e6, UTC)
        await self.sample.enqueue(due_wall).start(schedule=due)

    async def work(self, url: str, measure: str) -> None:
        self.declare(url)
        await self.worker.run_async()


if __name__ == "__main__":
    serve(Streaq())
