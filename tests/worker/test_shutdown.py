"""How a worker ends: what runs may finish, what doesn't goes back, and nothing is lost or counted."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from asyncjobs import Client, JobContext, Registry, Retry, State, Worker
from asyncjobs.errors import OptionError, StorageUnavailable
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker.conftest import StartWorker


async def test_running_jobs_have_the_grace_period_to_finish(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    @registry.job
    async def hold() -> str:
        begun.set()
        await asyncio.wait_for(release.wait(), 10)
        return "done"

    worker = Worker(registry, client, grace=30, concurrency=1)
    async with worker:
        job = await client.enqueue(hold)
        await begun.wait()
        next_one = await client.enqueue(hold)
        worker.stop()
        await eventually(worker.stopping.is_set)
        release.set()
    assert await job.result(timeout=0) == "done"
    await next_one.refresh()
    assert (next_one.state, next_one.attempt) == (State.ENQUEUED, 0)
    assert await client.workers() == []


async def test_then_they_are_cancelled_and_put_back_with_no_attempt_used(
    client: Client, registry: Registry
) -> None:
    begun, cleaned = asyncio.Event(), asyncio.Event()

    @registry.job(retry=Retry(max_retries=0), context=True)
    async def long(context: JobContext, number: int) -> list[int]:
        begun.set()
        if not cleaned.is_set():
            try:
                await asyncio.sleep(3600)
            finally:
                cleaned.set()
        return [number, context.attempt, context.failures]

    async with Worker(registry, client, grace=0.1, concurrency=1) as worker:
        interrupted = await client.enqueue(long, 1)
        await begun.wait()
        behind = await client.enqueue(long, 2)
        ended_by = worker.id
    assert cleaned.is_set()
    await interrupted.refresh()
    assert (interrupted.state, interrupted.attempt, interrupted.failures) == (State.ENQUEUED, 0, 0)
    (entry,) = await interrupted.history()
    assert (entry.event, entry.worker, entry.error_type) == ("released", ended_by, "")
    head = await client.jobs("enqueued", queue="default")
    assert [job.id for job in head] == [interrupted.id, behind.id]
    async with Worker(registry, client):
        assert await interrupted.result(timeout=10) == [1, 1, 0]
        assert await behind.result(timeout=10) == [2, 1, 0]


async def test_several_go_back_to_the_head_of_their_queues_before_what_waited(
    client: Client, registry: Registry
) -> None:
    @registry.job
    async def long(number: int) -> None:
        await asyncio.sleep(3600)

    async with Worker(registry, client, grace=0, concurrency=3):
        jobs = await client.enqueue_many(long.call(n) for n in range(6))
        urgent = await client.enqueue(long.options(priority=9), 9)
        for job in jobs[:3]:
            await reaches(job, State.PROCESSING)
    order = [job.id for job in await client.jobs("enqueued", queue="default")]
    assert order[0] == urgent.id
    assert set(order[1:4]) == {job.id for job in jobs[:3]}
    assert order[4:] == [job.id for job in jobs[3:]]


async def test_a_priority_job_keeps_its_priority(client: Client, registry: Registry) -> None:
    @registry.job
    async def long() -> None:
        await asyncio.sleep(3600)

    async with Worker(registry, client, grace=0):
        job = await reaches(await client.enqueue(long.options(queue="default", priority=7)), State.PROCESSING)
    assert ((await job.refresh()).state, job.priority) == (State.ENQUEUED, 7)
    plain = await client.enqueue(long)
    assert [job.id for job in await client.jobs("enqueued")] == [job.id, plain.id]


async def test_a_second_stop_ends_it_at_once(client: Client, registry: Registry) -> None:
    @registry.job
    async def long() -> None:
        await asyncio.sleep(3600)

    began = time.monotonic()
    async with Worker(registry, client, grace=60) as worker:
        job = await reaches(await client.enqueue(long), State.PROCESSING)
        worker.stop()
        worker.stop(now=True)
    assert time.monotonic() - began < 10
    assert (await job.refresh()).state is State.ENQUEUED


async def test_stopping_in_the_very_moment_in_which_jobs_arrive_leaves_nothing_behind(
    client: Client, registry: Registry
) -> None:
    @registry.job(context=True)
    async def long(context: JobContext) -> None:
        await asyncio.sleep(3600)

    jobs = await client.enqueue_many(long.call() for _ in range(30))
    for turn in range(30):
        async with Worker(registry, client, grace=0) as worker:
            for _ in range(turn):
                await asyncio.sleep(0)
        assert worker.running == 0
        assert await client.workers() == []
    for job in jobs:
        await job.refresh()
        assert (job.state, job.attempt, job.recoveries) == (State.ENQUEUED, 0, 0)


async def test_a_job_that_ends_by_itself_in_the_grace_period_is_not_run_again(
    client: Client, registry: Registry
) -> None:
    runs = 0

    @registry.job
    async def brief() -> str:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0.1)
        return "done"

    async with Worker(registry, client, grace=10):
        jobs = await client.enqueue_many(brief.call() for _ in range(20))
        await eventually(lambda: runs == 20)
    for job in jobs:
        assert (await job.refresh()).state is State.SUCCEEDED
    assert runs == 20


async def test_a_thread_is_told_and_its_job_goes_back(client: Client, registry: Registry) -> None:
    begun, left = threading.Event(), threading.Event()

    @registry.job(context=True)
    def loop(context: JobContext) -> None:
        begun.set()
        while not context.cancelled:
            time.sleep(0.001)
        left.set()

    async with Worker(registry, client, grace=0.1):
        job = await client.enqueue(loop)
        await eventually(begun.is_set)
    assert left.wait(10)
    await job.refresh()
    assert (job.state, job.attempt) == (State.ENQUEUED, 0)


async def test_code_that_does_not_stop_is_given_back_over_its_head(
    client: Client, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    @registry.job
    async def deaf() -> None:
        begun.set()
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue

    async with Worker(registry, client, grace=0) as worker:
        job = await client.enqueue(deaf)
        await begun.wait()
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert worker.running == 1
    assert (await job.refresh()).state is State.ENQUEUED
    assert "given back while it still runs" in caplog.text
    let_go.set()
    await eventually(lambda: worker.running == 0)


async def test_what_it_logged_last_is_kept(client: Client, registry: Registry) -> None:
    begun = asyncio.Event()

    @registry.job(context=True)
    async def long(context: JobContext) -> None:
        context.log("begun")
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            context.log("interrupted")

    async with Worker(registry, client, grace=0):
        job = await client.enqueue(long)
        await begun.wait()
    assert [line.text for line in await job.logs()] == ["begun", "interrupted"]


async def test_a_quiet_worker_finishes_what_it_has_and_takes_nothing_new(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    release = asyncio.Event()

    @registry.job
    async def hold() -> str:
        await asyncio.wait_for(release.wait(), 10)
        return "done"

    worker = await start_worker()
    running = await reaches(await client.enqueue(hold), State.PROCESSING)
    worker.quiet()
    waiting = await client.enqueue(hold)
    release.set()
    assert await running.result(timeout=10) == "done"
    assert (await waiting.refresh()).state is State.ENQUEUED
    await start_worker()
    assert await waiting.result(timeout=10) == "done"


async def test_it_can_be_told_from_elsewhere(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    await client.command(worker.id, "quiet")

    async def told() -> bool:
        (info,) = await client.workers()
        return info.quiet

    await eventually(told)
    await client.command(worker.id, "stop")
    await eventually(worker.stopping.is_set)
    with pytest.raises(OptionError, match="'quiet' or 'stop'"):
        await client.command(worker.id, "dance")


async def test_a_worker_is_listed_while_it_lives(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    release = asyncio.Event()

    @registry.job
    async def hold() -> None:
        await asyncio.wait_for(release.wait(), 10)

    worker = Worker(registry, client, queues=["default", "mail"], concurrency=7)
    async with worker:
        await reaches(await client.enqueue(hold), State.PROCESSING)
        (info,) = await client.workers()
        assert (info.id, info.queues, info.concurrency) == (worker.id, ("default", "mail"), 7)
        assert (info.running, info.quiet) == (1, False)
        assert (await client.stats()).workers == 1
        release.set()
    assert await client.workers() == []


async def test_a_worker_runs_once(client: Client, registry: Registry) -> None:
    worker = Worker(registry, client)
    async with worker:
        pass
    with pytest.raises(OptionError, match="make another one"):
        await worker.run()


async def test_if_it_cannot_start_it_says_why(registry: Registry) -> None:
    worker = Worker(registry, Client("redis://127.0.0.1:1/0", patience=0.1))
    with pytest.raises(StorageUnavailable):
        await worker.__aenter__()


async def test_until_empty_waits_for_all_there_is_and_tells_what_is_due_later(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    ran: list[int] = []

    @registry.job(context=True)
    async def spawn(context: JobContext, depth: int) -> None:
        ran.append(depth)
        if depth:
            await context.client.enqueue(spawn, depth - 1)

    await client.enqueue(spawn, 5)
    await client.enqueue_in(3600, spawn, 100)
    worker = await start_worker()
    assert await asyncio.wait_for(worker.until_empty(), 10) == 1
    assert ran == [5, 4, 3, 2, 1, 0]
