"""Batches: they count how their members end, and can be continued and waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from asyncjobs import Batch, BatchState, Client, Registry, Retry, State
from asyncjobs.errors import (
    BatchNotFound,
    JobCancelled,
    ParentGone,
    ResultTimeout,
)
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker.conftest import StartWorker
from tests.worker.steps import Steps


@pytest.fixture
def registry() -> Registry:
    return Registry(retry=Retry(max_retries=0))


@pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
async def client(request: pytest.FixtureRequest, redis_url: str, registry: Registry) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry, shards=request.param) as client:
        yield client


@pytest.fixture
def steps(registry: Registry) -> Steps:
    return Steps(registry)


async def finished(client: Client, batch_id: str) -> Batch:
    """The batch once it has finished."""
    return await client.batch_of(batch_id).wait(timeout=30)


def counters(batch: Batch) -> tuple[int, int, int, int]:
    return batch.total, batch.succeeded, batch.failed, batch.cancelled


async def jobs_in_all(client: Client) -> int:
    return sum((await client.stats()).counts.values())


async def test_the_ends_of_its_members_are_counted(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    steps.failing |= {"1", "4"}
    async with client.batch() as batch:
        for number in range(6):
            batch.enqueue(steps.step, str(number))
        held = batch.enqueue(steps.gated, "held")
        doomed = batch.enqueue(steps.gated, "doomed")
    stored = await client.get_batch(batch.id)
    assert stored is not None
    assert (stored.state, stored.pending, stored.progress) == (BatchState.OPEN, 8, 0.0)
    await start_worker()

    async def two_are_left() -> bool:
        return (await stored.refresh()).pending == 2

    await eventually(two_are_left)
    assert stored.progress == 6 / 8
    assert counters(stored) == (8, 4, 2, 0)
    await doomed.cancel()
    await reaches(doomed, State.CANCELLED)
    steps.gate.set()
    await held.result(timeout=10)
    assert (await stored.wait(timeout=10)).state is BatchState.FAILED
    assert counters(stored) == (8, 5, 2, 1)
    assert stored.pending == 0


async def test_one_fails_if_one_nested_in_it_does(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    steps.failing.add("inner")
    async with client.batch() as outer:
        outer.enqueue(steps.step, "outer")
        with outer.batch() as inner:
            bad = inner.enqueue(steps.step, "inner")
    after = await client.continue_with(outer, steps.step, "after")
    await start_worker()
    done = await finished(client, outer.id)
    assert (done.state, counters(done), done.record.nested_failed) == ("failed", (1, 1, 0, 0), 1)
    assert (await after.refresh()).state is State.AWAITING
    steps.failing.clear()
    await bad.requeue()
    assert await after.result(timeout=10) == "after"
    assert [(await finished(client, batch.id)).state for batch in (inner, outer)] == ["succeeded"] * 2


async def test_continuations_inside_it(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    outside = await client.enqueue(steps.gated, "outside")
    async with client.batch() as batch:
        first = batch.enqueue(steps.step, "first")
        second = batch.continue_with(first, steps.step, first.output)
        with batch.batch() as inner:
            inner.enqueue(steps.step, "inner")
        last = batch.continue_with([second, inner, outside], steps.step.call("last"))
    assert [parent.batch for parent in last.parents] == [False, True, False]
    await start_worker()
    await second.result(timeout=10)
    assert (await client.batch_of(batch.id).refresh()).state is BatchState.OPEN
    steps.gate.set()
    assert await last.result(timeout=10) == "last"
    assert (await finished(client, batch.id)).total == 3
    assert steps.ran.count("first") == 2
    assert steps.ran[-1] == "last"


@pytest.mark.parametrize(
    ("on", "failing", "becomes"),
    [
        ("succeeded", False, "succeeded"),
        ("succeeded", True, "awaiting"),
        ("failed", False, "cancelled"),
        ("failed", True, "succeeded"),
        ("finished", False, "succeeded"),
        ("finished", True, "succeeded"),
    ],
)
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_continuations_of_it(
    client: Client,
    steps: Steps,
    start_worker: StartWorker,
    on: Any,
    failing: bool,
    becomes: str,
    moment: str,
) -> None:
    worker = await start_worker()
    if failing:
        steps.failing.add("3")
    async with client.batch() as batch:
        for number in range(5):
            batch.enqueue(steps.gated, str(number))
    if moment == "after":
        steps.gate.set()
        await finished(client, batch.id)
    child = await client.continue_with(batch, steps.step.call("child"), on=on)
    steps.gate.set()
    await reaches(child, State(becomes))
    await worker.until_empty()
    assert (await child.refresh()).state == becomes
    if becomes == "cancelled":
        with pytest.raises(JobCancelled, match=f"parent, batch {batch.id}, ended as succeeded"):
            await child.result(timeout=10)
    if becomes == "succeeded":
        assert steps.ran[-1] == "child"
        assert len(steps.ran) == 6


async def test_a_stored_one_can_be_continued_too(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch() as batch:
        job = batch.enqueue(steps.step, "member")
    stored = await client.get_batch(batch.id)
    assert stored is not None
    child = await client.continue_with([stored, job], steps.step, job.output)
    await start_worker()
    assert await child.result(timeout=10) == "member"


async def test_an_empty_one_has_succeeded_at_once(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch("nothing to do") as batch:
        assert len(batch) == 0
        assert batch
    stored = await finished(client, batch.id)
    assert (stored.state, stored.total, stored.progress) == (BatchState.SUCCEEDED, 0, 1.0)
    child = await client.continue_with(batch, steps.step, "child")
    await start_worker()
    assert await child.result(timeout=10) == "child"


async def test_waiting_for_it(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    async with client.batch() as batch:
        batch.enqueue(steps.gated, "member")
    stored = client.batch_of(batch.id)
    with pytest.raises(ResultTimeout, match=r"has not finished within 0\.05 s"):
        await stored.wait(timeout=0.05)
    with pytest.raises(ResultTimeout):
        await stored.wait(timeout=0)
    await start_worker()
    waiting = [asyncio.create_task(client.batch_of(batch.id).wait(timeout=30)) for _ in range(3)]
    steps.gate.set()
    assert [done.state for done in await asyncio.gather(*waiting)] == ["succeeded"] * 3
    assert (await stored.wait(timeout=timedelta(0))).succeeded == 1
    with pytest.raises(BatchNotFound, match="there is no batch nobody: it was never committed"):
        await client.batch_of("nobody").wait(timeout=5)


async def test_a_large_one(client: Client, registry: Registry, start_worker: StartWorker) -> None:
    ran: list[int] = []

    @registry.job
    async def member(number: int) -> None:
        ran.append(number)

    @registry.job
    async def publish() -> int:
        return len(ran)

    async with client.batch() as batch:
        jobs = batch.enqueue_many(member.call(number) for number in range(1_500))
    after = await client.continue_with(batch, publish)
    worker = await start_worker(concurrency=100)
    assert await after.result(timeout=60) == 1_500
    assert sorted(ran) == list(range(1_500))
    done = await finished(client, batch.id)
    assert counters(done) == (1_500, 1_500, 0, 0)
    page = await done.jobs(offset=1_495, limit=10)
    assert [job.id for job in page] == [job.id for job in jobs[1_495:]]
    assert await worker.until_empty() == 0


async def test_the_list_of_them(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    names = [f"batch {number}" for number in range(5)]
    for name in names:
        async with client.batch(name) as batch:
            batch.enqueue(steps.step, name)
    async with client.batch("held") as held:
        held.enqueue(steps.gated, "held")
    assert {batch.name for batch in await client.batches()} == {*names, "held"}
    await start_worker()

    async def all_but_one() -> bool:
        listed = await client.batches()
        return [batch.state.is_finished for batch in listed] == [False] + [True] * 5

    await eventually(all_but_one, because="the open one comes first")
    assert [batch.name for batch in await client.batches(limit=1)] == ["held"]
    assert {batch.name for batch in await client.batches(offset=1, limit=10)} == set(names)


async def test_what_is_not_there(client: Client, steps: Steps) -> None:
    unknown = client.batch_of("nobody")
    assert await client.get_batch("nobody") is None
    for verb in (unknown.refresh(), unknown.cancel(), unknown.enqueue(steps.step, "x")):
        with pytest.raises(BatchNotFound):
            await verb
    with pytest.raises(BatchNotFound, match="nobody, which it is to be nested in, isn't there any more"):
        async with unknown.batch() as batch:
            batch.enqueue(steps.step, "x")
    with pytest.raises(ParentGone, match="batch nobody"):
        await client.continue_with(unknown, steps.step, "x")
    assert await jobs_in_all(client) == 0
