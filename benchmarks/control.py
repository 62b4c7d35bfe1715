"""`python -m benchmarks.control`: what limits and unique keys cost and keep to, beside plain jobs in one run.

One process, its own server; figures are to be compared within a run.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import click
import redis

from asyncjobs import Call, Client, Limit, Registry, Unique, Worker
from benchmarks.server import running_server

registry = Registry()
ended: list[float] = []
started: list[float] = []
waited: dict[str, list[float]] = {}
running = peak = 0


@registry.job(name="noop")
async def noop(n: int) -> None:
    ended.append(time.perf_counter())


@registry.job(name="sleep")
async def sleep(seconds: float) -> None:
    global running, peak
    running += 1
    peak = max(peak, running)
    started.append(time.perf_counter())
    await asyncio.sleep(seconds)
    running -= 1
    ended.append(time.perf_counter())


@registry.job(name="tenant", limits=[Limit("tenant", concurrency=5, key="{tenant}")])
async def of_tenant(tenant: str, made: float) -> None:
    waited.setdefault(tenant, []).append(time.perf_counter() - made)
    await asyncio.sleep(0.005)


@asynccontextmanager
async def fresh(url: str) -> AsyncIterator[Client]:
    global running, peak
    redis.Redis.from_url(url).flushall()
    ended.clear()
    started.clear()
    waited.clear()
    running = peak = 0
    async with Client(url, registry=registry) as client:
        yield client


async def drained(client: Client, jobs: int) -> float:
    """Jobs a second from the first one's end to the last one's."""
    while len(ended) < jobs:
        await asyncio.sleep(0.005)
    return (jobs - 1) / (ended[-1] - ended[0])


KINDS = {
    "plain": noop,
    "unique": noop.options(unique="noop:{n}"),
    "unique until started": noop.options(unique=Unique("noop:{n}", until="started")),
    "a limit for all, never full": noop.options(limits=[Limit("wide", concurrency=100_000)]),
    "a limit for all, full": noop.options(limits=[Limit("narrow", concurrency=100)]),
    "a limit for each of 50 keys": noop.options(
        limits=[Limit("keyed", concurrency=100, key=lambda n: n % 50)]
    ),
    "a rate, never reached": noop.options(limits=[Limit("high-rate", rate=100_000, per=60)]),
    "a mutex of its own for each": noop.options(mutex="{n}"),
    "expires": noop.options(expires=600),
}


async def drain_of(url: str, kind: str, jobs: int) -> tuple[float, float]:
    """Jobs enqueued, and drained, a second."""
    definition = KINDS[kind]
    async with fresh(url) as client:
        calls: list[Call[None]] = [definition.call(n) for n in range(jobs)]
        begun = time.perf_counter()
        await client.enqueue_many(calls)
        enqueued = jobs / (time.perf_counter() - begun)
        async with Worker(registry, client):
            return enqueued, await drained(client, jobs)


async def utilisation(url: str, jobs: int, concurrency: int, seconds: float) -> tuple[float, int]:
    """How busy the slots of one limit were kept by three workers, of 1; and the most that ran at once."""
    limited = sleep.options(limits=[Limit("slots", concurrency=concurrency)])
    async with fresh(url) as client, AsyncExitStack() as stack:
        await client.enqueue_many(limited.call(seconds) for _ in range(jobs))
        for _ in range(3):
            await stack.enter_async_context(Worker(registry, client))
        while len(ended) < jobs:
            await asyncio.sleep(0.01)
    return jobs * seconds / concurrency / (max(ended) - min(started)), peak


async def bare_sleeps(jobs: int, concurrency: int, seconds: float) -> float:
    """The same of this event loop alone: a semaphore instead of a queue."""
    slots = asyncio.Semaphore(concurrency)

    async def one() -> None:
        async with slots:
            await asyncio.sleep(seconds)

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(jobs)))
    return jobs * seconds / concurrency / (time.perf_counter() - begun)


async def rate_kept(url: str, rate: int, seconds: int) -> tuple[float, int]:
    """Starts within so many seconds from the first, of what is allowed; and the most within any 0.95 s.

    Jobs begin some ms after Redis lets them, so that two bursts can be less than a second apart here.
    """
    limited = sleep.options(limits=[Limit("rate", rate=rate, per=1)])
    async with fresh(url) as client, AsyncExitStack() as stack:
        await client.enqueue_many(limited.call(0) for _ in range(rate * (seconds + 2)))
        for _ in range(3):
            await stack.enter_async_context(Worker(registry, client))
        while not started or time.perf_counter() - started[0] < seconds:
            await asyncio.sleep(0.01)
        times = sorted(started)
    within = sum(at - times[0] < seconds for at in times)
    most = max(sum(at <= other < at + 0.95 for other in times) for at in times)
    return within / (rate * seconds), most


async def fairness(url: str, flood: int, rounds: int) -> tuple[float, float]:
    """Median and 95th percentile of the others' waiting, with one tenant's jobs there before, in ms."""
    async with fresh(url) as client:
        await client.enqueue_many(of_tenant.call("flood", time.perf_counter()) for _ in range(flood))
        async with Worker(registry, client):
            for _ in range(rounds):
                calls = [of_tenant.call(f"tenant {n}", time.perf_counter()) for n in range(49)]
                await client.enqueue_many(calls)
                await asyncio.sleep(0.05)
            while sum(len(times) for tenant, times in waited.items() if tenant != "flood") < 49 * rounds:
                await asyncio.sleep(0.01)
    others = [wait * 1000 for tenant, times in waited.items() if tenant != "flood" for wait in times]
    return statistics.median(others), statistics.quantiles(others, n=20)[-1]


async def measure(url: str, jobs: int, rounds: int) -> None:
    rates: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for kind in KINDS:
            rates.setdefault(kind, []).append(await drain_of(url, kind, jobs))
    plain = rates["plain"]
    print(f"{jobs:,} jobs, enqueued and then drained by one worker (medians of {rounds}):")
    for kind, pairs in rates.items():
        enqueued, drain = (statistics.median(values) for values in zip(*pairs, strict=True))
        cost = statistics.median(p[1] / k[1] for p, k in zip(plain, pairs, strict=True))
        making = statistics.median(p[0] / k[0] for p, k in zip(plain, pairs, strict=True))
        print(
            f"  {kind:30} enqueued {enqueued:8,.0f}/s, {making:.2f} x a plain one's time;"
            f" drained {drain:8,.0f}/s, {cost:.2f} x"
        )
    for seconds in (0.1, 0.02):
        ideal = await bare_sleeps(1000, 10, seconds)
        busy, most = await utilisation(url, 1000, 10, seconds)
        print(
            f"1,000 jobs of {seconds * 1000:g} ms, 10 at once, three workers: slots busy {busy:.3f} of the"
            f" time ({ideal:.3f} with a semaphore in this loop), {most} at most"
        )
    kept, most = await rate_kept(url, 100, 10)
    print(f"rate of 100/s over 10 s, three workers: {kept:.4f} of it; {most} at most within 0.95 s")
    alone = await fairness(url, 0, 20)
    beside = await fairness(url, 100_000, 20)
    print(
        f"49 tenants' waiting, ms (median, 95th percentile): alone {alone[0]:.2f}, {alone[1]:.2f};"
        f" beside one with 100,000 jobs {beside[0]:.2f}, {beside[1]:.2f}:"
        f" {beside[0] / alone[0]:.2f} and {beside[1] / alone[1]:.2f} times"
    )


@click.command()
@click.option("--jobs", default=20_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
def main(jobs: int, rounds: int) -> None:
    """Measure what limits and unique keys cost, and how well they are kept."""
    with running_server() as server:
        print(server.version)
        asyncio.run(measure(server.url, jobs, rounds))


if __name__ == "__main__":
    main()
