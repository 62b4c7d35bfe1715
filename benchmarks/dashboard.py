"""`python -m benchmarks.dashboard`: how long the dashboard's pages take when a million jobs are stored.

Each page is asked for as a browser does it, over a connection that stays open, with a query of its own each
time, so that nothing is answered from what was read for somebody else. What is told is the time until the
whole page is there; the longest scripts are those of Redis' own slow log.
"""

from __future__ import annotations

import asyncio
import http.client
import statistics
import time
from urllib.parse import urlsplit

import click
import redis
from rich.console import Console
from rich.table import Table

from asyncjobs import Client, Limit, Registry, Retry, State, Worker
from asyncjobs.monitoring import WorkerInfo
from asyncjobs.storage.redis.scripts import all_scripts
from asyncjobs_dashboard import Dashboard
from asyncjobs_dashboard.thread import in_thread
from benchmarks.server import running_server

registry = Registry()
QUEUES = ("default", "mail", "images", "reports", "webhooks")
SLOW_US = 5_000


@registry.job(name="work")
async def work(number: int) -> int:
    return number


@registry.job(name="fail", retry=Retry(max_retries=0))
async def fail(number: int) -> None:
    raise ValueError(f"{number} is no good")


@registry.job(name="hold", queue="held")
async def hold() -> None:
    await asyncio.Event().wait()


@registry.job(name="limited", limits=[Limit("smtp", concurrency=1)], queue="held")
async def limited() -> None:
    await asyncio.Event().wait()


async def fill(url: str, shards: int, jobs: int) -> dict[str, str]:
    """Store them: ids for the paths."""
    async with Client(url, registry=registry, shards=shards) as client:
        for definition, count in ((work, jobs // 10), (fail, jobs // 10)):
            await client.enqueue_many(definition.call(number) for number in range(count))
            async with Worker(registry, client, concurrency=100) as worker:
                await worker.until_empty()
        async with client.batch("many") as batch:
            for number in range(min(jobs // 10, 50_000)):
                batch.enqueue(work.options(queue="mail"), number)
        each = jobs * 4 // 10 // len(QUEUES)
        for queue in QUEUES:
            await client.enqueue_many(work.options(queue=queue).call(number) for number in range(each))
        rest = jobs * 3 // 10 // 100
        for _ in range(100):
            await asyncio.gather(*(client.enqueue_in(36_000 + n, work, n) for n in range(rest)))
        await client.recurring.put("nightly", "0 3 * * *", work.call(1))
        (failed,) = await client.jobs(State.FAILED, limit=1)
        return {"FAILED": failed.id, "BATCH": batch.id}


def pages(ids: dict[str, str], worker: WorkerInfo, jobs: int) -> list[str]:
    """Paths of all kinds of pages, the far ends of lists among them."""
    return [
        "/",
        "/?history=day",
        *(f"/jobs/{state}" for state in ("enqueued", "scheduled", "processing", "throttled", "awaiting")),
        *("/jobs/succeeded", "/jobs/failed", "/jobs/retrying", "/jobs/cancelled"),
        "/jobs/enqueued?queue=mail",
        f"/jobs/enqueued?from={jobs * 3 // 10}",
        f"/jobs/scheduled?from={jobs // 4}&order=newest",
        # This one looks at 5,000 jobs, one by one.
        "/jobs/succeeded?text=nothing",
        "/jobs/succeeded?since=2026-01-01T00:00&order=oldest",
        f"/job/{ids['FAILED']}",
        *("/queues", "/workers", f"/worker/{worker.id}", "/processes"),
        *("/batches", f"/batch/{ids['BATCH']}", "/recurring", "/recurring/job?id=nightly"),
        *("/limits", "/locks", "/bulk", f"/search?q={ids['FAILED'][:6]}", "/metrics"),
        *("/api/overview", "/api/jobs/failed"),
    ]


def measure(address: str, path: str, rounds: int) -> list[float]:
    """Milliseconds of each request."""
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port)
    took: list[float] = []
    for number in range(rounds + 2):
        unique = f"{path}{'&' if '?' in path else '?'}_={number}" if "/api/" not in path else path
        began = time.perf_counter()
        connection.request("GET", unique)
        response = connection.getresponse()
        response.read()
        took.append((time.perf_counter() - began) * 1000)
        if response.status >= 400:
            raise click.ClickException(f"{path}: {response.status}")
    return took[2:]


async def run(url: str, shards: int, jobs: int, rounds: int) -> None:
    """Fill, ask, tell."""
    console = Console(width=110)
    ids = await fill(url, shards, jobs)
    server = redis.Redis.from_url(url)
    async with (
        Client(url, registry=registry, shards=shards) as client,
        Worker(registry, client, queues=["held"], concurrency=20, grace=0.1),
    ):
        await client.enqueue_many(hold.call() for _ in range(15))
        await client.enqueue_many(limited.call() for _ in range(100))
        while await client.count(State.PROCESSING) < 16:
            await asyncio.sleep(0.05)
        (worker,) = await client.workers()
        stored = sum((await client.stats()).counts.values())
        server.config_set("slowlog-log-slower-than", SLOW_US)
        server.slowlog_reset()

        def make() -> Dashboard:
            return Dashboard(Client(url, registry=registry, shards=shards), port=0, poll=0.1)

        title = f"{stored:,} jobs, {shards} {'shard' if shards == 1 else 'shards'}"
        table = Table("page", "median ms", "slowest ms", title=title)
        with in_thread(make) as address:
            for path in pages(ids, worker, jobs):
                took = await asyncio.to_thread(measure, address, path, rounds)
                table.add_row(path, f"{statistics.median(took):.1f}", f"{max(took):.1f}")
        console.print(table)
        names = {script.sha.encode(): script.name for script in all_scripts()}
        slow = list(server.slowlog_get(20))
        console.print(f"commands over {SLOW_US // 1000} ms: {len(slow)}")
        for entry in slow:
            name = next((names[part] for part in entry["command"].split()[:2] if part in names), "?")
            console.print(f"  {entry['duration'] / 1000:.1f} ms {name}")


@click.command()
@click.option("--jobs", default=1_000_000, show_default=True)
@click.option("--rounds", default=31, show_default=True)
@click.option("--shards", default=1, show_default=True)
def main(jobs: int, rounds: int, shards: int) -> None:
    """How long the dashboard's pages take when very much is stored."""
    with running_server() as server:
        asyncio.run(run(server.url, shards, jobs, rounds))


if __name__ == "__main__":
    main()
