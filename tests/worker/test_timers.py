"""Jobs for later: never early, and soon after their time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from asyncjobs import Client, JobContext, Registry, State, Worker
from tests.reaching import reaches
from tests.servers import Server
from tests.waiting import eventually
from tests.worker.conftest import StartWorker


@pytest.fixture
def no_backstop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle workers look by themselves only every half minute, so what happens sooner was called for."""
    monkeypatch.setattr("asyncjobs.worker.pump.BACKSTOP", 30.0)


async def settled(server: Server) -> None:
    """Wait until the worker has nothing to do and waits for a message."""
    await eventually(lambda: server.command("INFO", "clients")["blocked_clients"] >= 2)


@pytest.mark.usefixtures("no_backstop")
async def test_a_delayed_job_runs_at_its_time_and_never_before(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def nothing() -> None: ...

    await start_worker()
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1.5)
    times = [begin + timedelta(milliseconds=5 * n) for n in range(100)]
    jobs = await asyncio.gather(*(client.enqueue_at(when, nothing) for when in times))
    for job in jobs:
        await job.result(timeout=10)
    late = sorted(
        job.record.started_ms - round(when.timestamp() * 1000) for job, when in zip(jobs, times, strict=True)
    )
    assert late[0] >= 0
    assert late[50] < 1000


async def test_at_a_time_of_day(client: Client, registry: Registry, start_worker: StartWorker) -> None:
    @registry.job
    async def nothing() -> None: ...

    await start_worker()
    when = datetime.now(UTC) + timedelta(milliseconds=300)
    job = await client.enqueue_at(when, nothing)
    await job.result(timeout=10)
    assert job.started_at is not None
    assert when <= job.started_at < when + timedelta(seconds=2)


async def test_they_run_in_the_order_of_their_times(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    ran: list[int] = []

    @registry.job
    async def note(number: int) -> None:
        ran.append(number)

    delays = [0.30, 0.10, 0.25, 0.15, 0.20]
    jobs = [await client.enqueue_in(delay, note, int(delay * 100)) for delay in delays]
    await start_worker(concurrency=1)
    for job in jobs:
        await job.result(timeout=10)
    assert ran == [10, 15, 20, 25, 30]


@pytest.mark.usefixtures("no_backstop")
async def test_something_earlier_wakes_a_worker_that_waits_for_something_later(
    client: Client, registry: Registry, start_worker: StartWorker, server: Server
) -> None:
    @registry.job
    async def nothing() -> None: ...

    await client.enqueue_in(3600, nothing)
    await start_worker()
    await settled(server)
    began = time.monotonic()
    job = await client.enqueue_in(0.2, nothing)
    await job.result(timeout=10)
    assert 0.2 <= time.monotonic() - began < 5
    earlier = await client.enqueue_in(0.3, nothing)
    earliest = await client.enqueue_in(0.1, nothing)
    await asyncio.gather(earlier.result(timeout=10), earliest.result(timeout=10))
    assert earliest.started_at is not None
    assert earlier.started_at is not None
    assert earliest.started_at < earlier.started_at
    assert await client.count("scheduled") == 1


@pytest.mark.usefixtures("no_backstop")
async def test_a_job_for_now_wakes_an_idle_worker_at_once(
    client: Client, registry: Registry, start_worker: StartWorker, server: Server
) -> None:
    @registry.job
    async def nothing() -> None: ...

    await start_worker()
    for _ in range(5):
        await settled(server)
        began = time.monotonic()
        await (await client.enqueue(nothing)).result(timeout=10)
        assert time.monotonic() - began < 5


async def test_due_jobs_of_a_queue_that_nobody_serves_wait_in_it(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def nothing() -> None: ...

    await start_worker(queues=["default"])
    job = await client.enqueue_in(0.05, nothing.options(queue="other", priority=3))
    await reaches(job, State.ENQUEUED)
    assert (job.queue, job.priority, job.due_at) == ("other", 3, None)
    await start_worker(queues=["other"])
    await job.result(timeout=10)


async def test_many_that_are_due_at_once_all_run(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    ran = 0

    @registry.job
    async def count() -> None:
        nonlocal ran
        ran += 1

    when = datetime.now(UTC) + timedelta(milliseconds=300)
    await asyncio.gather(*(client.enqueue_at(when, count) for _ in range(1000)))
    await start_worker()
    await eventually(lambda: ran == 1000, because="all have run")
    assert (await client.stats()).totals["succeeded"] <= 1000


async def test_of_several_workers_each_job_has_one(
    client: Client, registry: Registry, redis_url: str
) -> None:
    runs: dict[str, int] = {}

    @registry.job(context=True)
    async def note(context: JobContext) -> None:
        runs[context.id] = runs.get(context.id, 0) + 1

    async with (
        Client(redis_url, registry=registry) as second,
        Worker(registry, client),
        Worker(registry, client),
        Worker(registry, second),
    ):
        jobs = [await client.enqueue_in(0.01 * n, note) for n in range(50)]
        for job in jobs:
            await job.result(timeout=10)
    assert runs == {job.id: 1 for job in jobs}


async def test_a_worker_that_starts_later_runs_what_was_due_before(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def nothing() -> None: ...

    job = await client.enqueue_in(0.02, nothing)
    due = (await job.refresh()).due_at
    assert due is not None
    await eventually(lambda: datetime.now(UTC) > due)
    assert (await job.refresh()).state is State.SCHEDULED
    await start_worker()
    await job.result(timeout=10)
