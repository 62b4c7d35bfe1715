"""`python -m benchmarks.workflows`: what batches and continuations cost, beside plain jobs in one run.

One process, one worker, one server of its own; figures are to be compared within a run.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
import redis

from asyncjobs import Client, Registry, Worker
from benchmarks.server import running_server

registry = Registry()
ended: list[float] = []


@registry.job(name="noop")
async def noop() -> None:
    ended.append(time.perf_counter())


@registry.job(name="last")
async def last() -> float:
    return time.perf_counter()


@registry.job(name="step")
async def step() -> None:
    pass


@asynccontextmanager
async def fresh(url: str) -> AsyncIterator[Client]:
    redis.Redis.from_url(url).flushall()
    ended.clear()
    async with Client(url, registry=registry) as client:
        yield client


async def drained(client: Client, jobs: int) -> float:
    """Jobs a second from the first one's end to the last one's."""
    while len(ended) < jobs:
        await asyncio.sleep(0.005)
    return (jobs - 1) / (ended[-1] - ended[0])


async def plain(url: str, jobs: int) -> float:
    async with fresh(url) as client:
        await client.enqueue_many(noop.call() for _ in range(jobs))
        async with Worker(registry, client):
            return await drained(client, jobs)


async def batch(url: str, jobs: int) -> tuple[float, float]:
    """Its rate, and ms from its last member's end to its continuation's start."""
    async with fresh(url) as client:
        async with client.batch("bench") as building:
            building.enqueue_many(noop.call() for _ in range(jobs))
        after = await client.continue_with(building, last)
        async with Worker(registry, client):
            rate = await drained(client, jobs)
            return rate, (await after.result(timeout=30) - ended[-1]) * 1000


async def chain(url: str, steps: int) -> tuple[float, float]:
    """Ms a step of a chain, and ms of a bare round trip beside it."""
    async with fresh(url) as client:
        jobs = await client.chain(*(step.call() for _ in range(steps)))
        began = time.perf_counter()
        async with Worker(registry, client):
            await jobs[-1].result(timeout=120)
        took = (time.perf_counter() - began) / steps * 1000
    bare = redis.asyncio.Redis.from_url(url)
    began = time.perf_counter()
    for _ in range(1000):
        await bare.execute_command("EVAL", "return 1", 0)
    round_trip = time.perf_counter() - began
    await bare.aclose()
    return took, round_trip


async def measure(url: str, rounds: int, jobs: int, steps: int) -> None:
    rates: list[float] = []
    ratios: list[float] = []
    gaps: list[float] = []
    chains: list[tuple[float, float]] = []
    for _ in range(rounds):
        rates.append(await plain(url, jobs))
        rate, gap = await batch(url, jobs)
        ratios.append(rate / rates[-1])
        gaps.append(gap)
        chains.append(await chain(url, steps))
    took, bare = (statistics.median(figures) for figures in zip(*chains, strict=True))
    print(f"plain jobs: {statistics.median(rates):,.0f}/s")
    print(f"a batch of {jobs:,}: {statistics.median(ratios):.2f} of that; each round {_shown(ratios)}")
    print(f"its continuation starts {statistics.median(gaps):.2f} ms after the last member's end")
    print(f"a chain of {steps:,}: {took:.2f} ms a step; a bare round trip {bare:.2f} ms")


def _shown(figures: list[float]) -> str:
    return ", ".join(f"{figure:.2f}" for figure in figures)


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--jobs", default=10_000, show_default=True)
@click.option("--steps", default=1_000, show_default=True)
def main(rounds: int, jobs: int, steps: int) -> None:
    """Measure batches and chains beside plain jobs."""
    with running_server() as server:
        print(server.version)
        asyncio.run(measure(server.url, rounds, jobs, steps))


if __name__ == "__main__":
    main()
