"""Jobs that aren't worth starting any more after a time, on a real server; most at a time that is moved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from asyncjobs import Client, Job, Registry, Retry, State
from asyncjobs.clock import to_datetime
from asyncjobs.definition import Definition
from asyncjobs.errors import JobCancelled
from asyncjobs.storage.base import Outcome
from asyncjobs.storage.conformance import MovableClock
from asyncjobs.storage.redis import RedisStorage
from tests.by_hand import HandWorker
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker.conftest import StartWorker

SECOND = 1_000

Brief = Definition[[], str]


@pytest.fixture
def registry() -> Registry:
    return Registry(retry=Retry(max_retries=0))


@pytest.fixture
def brief(registry: Registry) -> Brief:
    """Worth starting for a minute."""

    async def run() -> str:
        return "in time"

    job: Any = registry.job(name="brief", expires=60)(run)
    return job  # type: ignore[no-any-return]


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def moved(redis_url: str, registry: Registry, clock: MovableClock) -> AsyncIterator[Client]:
    """A client of a namespace whose time is moved by hand."""
    storage = RedisStorage(redis_url, namespace="moved", clock=clock)
    async with Client(storage, registry=registry) as client:
        yield client


@pytest.fixture
def hand(moved: Client) -> HandWorker:
    return HandWorker(moved)


async def expires_in(job: Job[str], clock: MovableClock) -> timedelta | None:
    """How long it is still worth starting."""
    await job.refresh()
    return None if job.expires_at is None else job.expires_at - to_datetime(clock())


async def test_one_that_is_taken_in_time_runs(
    moved: Client, hand: HandWorker, clock: MovableClock, brief: Brief
) -> None:
    job = await moved.enqueue(brief)
    assert await expires_in(job, clock) == timedelta(minutes=1)
    clock.advance(59_999)
    assert await hand.take() == [job.id]
    clock.advance(60 * SECOND)
    await hand.end()
    assert (await job.refresh()).state is State.SUCCEEDED
    assert await job.history() == []


async def test_one_that_is_not_is_cancelled_when_its_turn_comes(
    moved: Client, hand: HandWorker, clock: MovableClock, brief: Brief
) -> None:
    job = await moved.enqueue(brief)
    after = await moved.continue_with(job, brief.call(), on="finished")
    clock.advance(60 * SECOND)
    assert (await job.refresh()).state is State.ENQUEUED
    assert await hand.take() == []
    assert await hand.take() == [after.id]
    assert (await job.refresh()).state is State.CANCELLED
    assert [entry.event for entry in await job.history()] == ["expired"]
    with pytest.raises(
        JobCancelled, match=f"job {job.id} was cancelled: it wasn't started before it expired"
    ):
        await job.result(timeout=0)
    assert (await moved.stats()).totals["cancelled"] == 1


async def test_the_time_counts_from_when_it_can_first_run(
    moved: Client, hand: HandWorker, clock: MovableClock, brief: Brief
) -> None:
    later = await moved.enqueue_in(300, brief)
    parent = await moved.enqueue(brief.options(expires=None, queue="slow"))
    after = await moved.continue_with(parent, brief)
    async with moved.batch() as batch:
        member = batch.enqueue_in(300, brief)
    assert await expires_in(after, clock) is None
    assert await hand.take() == []
    clock.advance(300 * SECOND)
    assert await hand.take(0) == []
    assert [await expires_in(job, clock) for job in (later, member)] == [timedelta(minutes=1)] * 2
    assert await hand.run("slow") == [parent.id]
    assert await expires_in(after, clock) == timedelta(minutes=1)
    clock.advance(59 * SECOND)
    assert len(await hand.run()) == 3


async def test_a_retry_comes_too_late_as_well(
    moved: Client, hand: HandWorker, clock: MovableClock, brief: Brief
) -> None:
    job = await moved.enqueue(brief)
    clock.advance(50 * SECOND)
    await hand.run(outcome=Outcome.RETRY, delay_ms=5 * SECOND)
    clock.advance(5 * SECOND)
    await hand.run(outcome=Outcome.RETRY, delay_ms=5 * SECOND)
    clock.advance(5 * SECOND)
    assert await hand.run() == []
    assert (await job.refresh()).state is State.CANCELLED
    assert [entry.event for entry in await job.history()] == ["retrying", "retrying", "expired"]


async def test_one_that_is_requeued_does_not_expire(
    moved: Client, hand: HandWorker, clock: MovableClock, brief: Brief
) -> None:
    job = await moved.enqueue(brief)
    clock.advance(60 * SECOND)
    assert await hand.run() == []
    await job.requeue()
    assert await expires_in(job, clock) is None
    clock.advance(3600 * SECOND)
    assert await hand.run() == [job.id]


async def test_one_that_waits_for_a_limit_expires_and_lets_others_run(
    moved: Client, hand: HandWorker, clock: MovableClock, brief: Brief
) -> None:
    locked = brief.options(mutex="all", expires=None)
    first = await moved.enqueue(locked)
    second = await moved.enqueue(locked.options(expires=60))
    third = await moved.enqueue(locked)
    assert await hand.take() == [first.id]
    clock.advance(61 * SECOND)
    assert (await second.refresh()).state is State.THROTTLED
    await hand.end()
    assert await hand.take() == []
    assert (await second.refresh()).state is State.CANCELLED
    assert await hand.run() == [third.id]
    assert await moved.limits.list() == []


async def test_it_lets_go_of_its_unique_key(
    moved: Client, hand: HandWorker, clock: MovableClock, brief: Brief
) -> None:
    alone = brief.options(unique="brief")
    first = await moved.enqueue(alone)
    clock.advance(59 * SECOND)
    assert (await moved.enqueue(alone)).id == first.id
    clock.advance(2 * SECOND)
    # Its turn needn't have come: it isn't going to run, and what is asked for now is.
    second = await moved.enqueue(alone)
    assert second.id != first.id
    assert [entry.event for entry in await first.history()] == ["expired"]
    assert await hand.run() == [second.id]


async def test_by_a_worker(client: Client, registry: Registry, start_worker: StartWorker) -> None:
    ran: list[str] = []
    gate = asyncio.Event()

    @registry.job
    async def hold() -> None:
        await asyncio.wait_for(gate.wait(), 30)

    @registry.job
    async def run(label: str) -> str:
        ran.append(label)
        return label

    worker = await start_worker(concurrency=1)
    holder = await client.enqueue(hold)
    await reaches(holder, State.PROCESSING)
    late = await client.enqueue(run.options(expires=timedelta(milliseconds=1)), "late")
    early = await client.enqueue(run.options(expires=timedelta(hours=1)), "early")
    other = await client.enqueue(run, "other")
    await late.refresh()

    async def is_late() -> bool:
        return late.expires_at is not None and (await client.stats()).now >= late.expires_at

    await eventually(is_late)
    gate.set()
    assert await early.result(timeout=10) == "early"
    assert await other.result(timeout=10) == "other"
    with pytest.raises(JobCancelled, match="expired"):
        await late.result(timeout=10)
    assert ran == ["early", "other"]
    assert await worker.until_empty() == 0
