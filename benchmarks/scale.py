"""`python -m benchmarks.scale`: what one enqueue and one exchange cost Redis when very much is stored.

Measured by Redis' own command statistics, at 1,000 jobs and at a million, in one run; and the longest
scripts, by its slow log.

While Redis moves its keys to a larger table (when their number passes a power of two), every command that
looks one up costs more, whoever sends it. A million enqueued and a million scheduled are just below 2²¹.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import click
import redis

from asyncjobs import Client, Registry
from asyncjobs.storage.base import ExchangeRequest, Finish, Outcome
from asyncjobs.storage.redis.scripts import all_scripts
from benchmarks.server import running_server

registry = Registry()
SAMPLES = 300
SLOW_US = 10_000


@registry.job(name="noop")
async def noop() -> None:
    pass


class Probe:
    """One way of measuring, on whatever is stored."""

    def __init__(self, url: str, client: Client) -> None:
        self.redis = redis.Redis.from_url(url)
        self.client = client
        self.number = 0
        self.finishes: list[Finish] = []

    async def exchange(self) -> None:
        self.number += 1
        reply = await self.client.storage.exchange(
            0, ExchangeRequest("bench", self.number, 1, ("default",), (), self.finishes)
        )
        self.finishes = [Finish(one.id, one.exchange, Outcome.SUCCEEDED) for one in reply.grants]

    async def enqueue(self) -> None:
        await self.client.enqueue(noop)

    async def cost(self, what: Callable[[], Coroutine[Any, Any, None]]) -> float:
        """Microseconds of Redis a call: the least of nine rounds, for whatever else runs only adds to it."""
        costs: list[float] = []
        for _ in range(9):
            self.redis.config_resetstat()
            for _ in range(SAMPLES):
                await what()
            costs.append(self.redis.info("commandstats")["cmdstat_evalsha"]["usec_per_call"])
        return min(costs)

    async def costs(self) -> dict[str, float]:
        return {
            "one enqueue": await self.cost(self.enqueue),
            "one exchange (a finish and a grant)": await self.cost(self.exchange),
        }


async def measure(url: str, jobs: int) -> None:
    async with Client(url, registry=registry) as client:
        probe = Probe(url, client)
        await client.storage.register(0, "bench", {}, 600_000)
        await client.enqueue_many(noop.call() for _ in range(1_000))
        await client.enqueue_many(noop.call() for _ in range(SAMPLES * 10))
        few = await probe.costs()
        async with client.batch() as small:
            small.enqueue(noop)
        probe.redis.config_set("slowlog-log-slower-than", SLOW_US)
        probe.redis.slowlog_reset()

        began = time.perf_counter()
        await client.enqueue_many(noop.call() for _ in range(jobs))
        for at in range(0, jobs, 500):
            del at
            await asyncio.gather(*(client.enqueue_in(86_400, noop) for _ in range(500)))
        print(f"{jobs:,} enqueued and {jobs:,} scheduled in {time.perf_counter() - began:.0f} s")
        many = await probe.costs()
        began = time.perf_counter()
        async with client.batch("bench") as batch:
            batch.enqueue_many(noop.call() for _ in range(jobs // 10))
        print(f"a batch of {jobs // 10:,} committed in {time.perf_counter() - began:.1f} s")
        await client.batch_of(batch.id).cancel()
        for what, cost in few.items():
            print(f"{what}: {cost:.1f} µs at 1,000, {many[what]:.1f} at {jobs:,}: {many[what] / cost:.2f}")
        names = {script.sha: script.name for script in all_scripts()}
        slow = probe.redis.slowlog_get(100)
        print(f"scripts over {SLOW_US / 1000:g} ms: {len(slow)}")
        for entry in slow[:10]:
            called = entry["command"].split()[1].decode()
            name = names.get(called, "a script sent whole")
            print(f"  {entry['duration'] / 1000:.1f} ms: {name}")


@click.command()
@click.option("--jobs", default=1_000_000, show_default=True)
def main(jobs: int) -> None:
    """Measure what doesn't depend on how much is stored."""
    with running_server() as server:
        print(server.version)
        asyncio.run(measure(server.url, jobs))


if __name__ == "__main__":
    main()
