"""Cancelling jobs, above all those that are running."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from asyncjobs import Client, JobContext, Registry, Retry, State
from asyncjobs.errors import JobCancelled
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker.conftest import StartWorker


async def test_a_running_coroutine_is_cancelled_within_a_second(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    begun, cleaned = asyncio.Event(), asyncio.Event()

    @registry.job
    async def endless() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            cleaned.set()

    await start_worker()
    job = await client.enqueue(endless)
    await begun.wait()
    began = time.monotonic()
    assert await job.cancel()
    with pytest.raises(JobCancelled, match=job.id):
        await job.result(timeout=10)
    assert time.monotonic() - began < 1
    assert cleaned.is_set()
    assert (job.state, job.attempt, job.cancel_requested) == (State.CANCELLED, 1, False)
    assert [entry.event for entry in await job.history()] == ["cancelled"]
    assert await client.count("cancelled") == 1


async def test_until_its_code_lets_go_it_is_still_processing(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    begun, let_go = asyncio.Event(), asyncio.Event()

    @registry.job
    async def tidy() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.wait_for(let_go.wait(), 10)

    await start_worker()
    job = await client.enqueue(tidy)
    await begun.wait()
    await job.cancel()
    await job.refresh()
    assert (job.state, job.cancel_requested) == (State.PROCESSING, True)
    assert await job.cancel()
    let_go.set()
    await reaches(job, State.CANCELLED)


async def test_one_that_finishes_all_the_same_has_succeeded(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    begun = asyncio.Event()

    @registry.job
    async def determined() -> str:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return "done before"
        return "never"

    await start_worker()
    job = await client.enqueue(determined)
    await begun.wait()
    await job.cancel()
    assert await job.result(timeout=10) == "done before"
    assert job.state is State.SUCCEEDED


async def test_one_that_fails_at_it_is_not_retried(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    begun = asyncio.Event()

    @registry.job(retry=Retry(max_retries=5, delay=0))
    async def clumsy() -> None:
        begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            raise ValueError("while tidying up") from None

    await start_worker()
    job = await client.enqueue(clumsy)
    await begun.wait()
    await job.cancel()
    with pytest.raises(JobCancelled, match="while tidying up"):
        await job.result(timeout=10)
    assert (job.state, job.attempt) == (State.CANCELLED, 1)


async def test_a_thread_sees_it_in_its_context(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    begun, left = threading.Event(), threading.Event()

    @registry.job(context=True)
    def loop(context: JobContext) -> None:
        begun.set()
        while not context.cancelled:
            time.sleep(0.001)
        left.set()

    @registry.job
    async def well() -> str:
        return "well"

    await start_worker(concurrency=1)
    job = await client.enqueue(loop)
    await eventually(begun.is_set)
    began = time.monotonic()
    await job.cancel()
    with pytest.raises(JobCancelled):
        await job.result(timeout=10)
    assert time.monotonic() - began < 1
    assert left.wait(10)
    assert await (await client.enqueue(well)).result(timeout=10) == "well"


async def test_a_thread_that_does_not_look_keeps_its_slot_until_it_returns(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    begun, let_go = threading.Event(), threading.Event()

    @registry.job
    def deaf() -> None:
        begun.set()
        let_go.wait(10)

    worker = await start_worker()
    job = await client.enqueue(deaf)
    await eventually(begun.is_set)
    await job.cancel()
    await reaches(job, State.CANCELLED)
    assert worker.running == 1
    let_go.set()


async def test_a_cancelled_job_can_be_requeued(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    patient = False

    @registry.job
    async def endless() -> str:
        if patient:
            return "done"
        await asyncio.sleep(3600)
        return "never"

    await start_worker()
    job = await reaches(await client.enqueue(endless), State.PROCESSING)
    await job.cancel()
    await reaches(job, State.CANCELLED)
    patient = True
    await job.requeue()
    assert await job.result(timeout=10) == "done"
    assert [entry.event for entry in await job.history()] == ["cancelled", "requeued"]


async def test_of_many_running_only_the_one_that_was_meant_is_cancelled(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    release = asyncio.Event()

    @registry.job
    async def hold(number: int) -> int:
        await asyncio.wait_for(release.wait(), 10)
        return number

    await start_worker()
    jobs = await client.enqueue_many(hold.call(n) for n in range(20))
    for job in jobs:
        await reaches(job, State.PROCESSING)
    await jobs[7].cancel()
    with pytest.raises(JobCancelled):
        await jobs[7].result(timeout=10)
    release.set()
    for number, job in enumerate(jobs):
        if number != 7:
            assert await job.result(timeout=10) == number


async def test_a_job_may_cancel_another_and_itself(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(context=True)
    async def end_it(context: JobContext) -> None:
        await context.client.cancel(context.id)
        await asyncio.sleep(3600)

    await start_worker()
    job = await client.enqueue(end_it)
    with pytest.raises(JobCancelled):
        await job.result(timeout=10)


async def test_a_job_that_raises_the_error_by_itself_has_failed(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(retry=Retry(max_retries=0))
    async def confused() -> None:
        raise asyncio.CancelledError

    await start_worker()
    job = await reaches(await client.enqueue(confused), State.FAILED)
    assert (await job.history())[0].error_type == "asyncio.exceptions.CancelledError"


async def test_a_worker_that_is_stopping_still_heeds_it(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    runs = 0

    @registry.job
    async def endless() -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(3600)

    worker = await start_worker(grace=60)
    job = await client.enqueue(endless)
    await eventually(lambda: runs == 1)
    worker.stop()
    await job.cancel()
    await reaches(job, State.CANCELLED)
    await start_worker()
    assert runs == 1
