"""Unique jobs in batches: left out where another job is there, or the whole batch is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from asyncjobs import Client, Job, Registry, Retry, State
from asyncjobs.errors import OptionError, ParentGone, UniqueConflict, WrongDefinition
from tests.worker.conftest import StartWorker
from tests.worker.steps import Steps
from tests.worker.test_unique import jobs_in_all, unique


@pytest.fixture
def registry() -> Registry:
    return Registry(retry=Retry(max_retries=0))


@pytest.fixture
def shards() -> int:
    return 1


@pytest.fixture
async def client(redis_url: str, registry: Registry, shards: int) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry, shards=shards) as client:
        yield client


@pytest.fixture
def steps(registry: Registry) -> Steps:
    return Steps(registry)


@pytest.mark.parametrize("shards", [3])
async def test_on_several_shards_it_cannot_be_in_a_batch(client: Client, steps: Steps) -> None:
    for _ in range(3):
        async with client.batch() as batch:
            batch.enqueue(steps.step, "member")
            with pytest.raises(
                OptionError, match=r"unique key 'step:a' and its batch needn't be on the same"
            ):
                batch.enqueue(unique(steps.step), "a")
        with pytest.raises(OptionError, match="and its batch needn't be on the same"):
            await client.batch_of(batch.id).enqueue(unique(steps.step), "a")


async def test_one_that_is_there_already_is_left_out_and_stood_for(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    there = await client.enqueue_in(3600, unique(steps.step), "a")
    async with client.batch() as batch:
        plain = batch.enqueue(steps.step, "plain")
        old = batch.enqueue(unique(steps.step), "a")
        new, twice = (batch.enqueue(unique(steps.step), "b") for _ in range(2))
        assert len(batch) == 4
        assert old.id != there.id
    assert (old.id, old.state, old.batch) == (there.id, State.SCHEDULED, None)
    assert twice.id == new.id
    assert len(batch) == 2
    stored = client.batch_of(batch.id)
    assert [job.id for job in await stored.jobs()] == [plain.id, new.id]
    await start_worker()
    done = await stored.wait(timeout=10)
    assert (done.state, done.total, sorted(steps.ran)) == ("succeeded", 2, ["b", "plain"])


async def test_if_one_raises_nothing_appears_and_its_keys_are_free(client: Client, steps: Steps) -> None:
    there = await client.enqueue_in(3600, unique(steps.step), "z")
    raising = unique(steps.step, on_conflict="raise")
    batch = client.batch()
    for number in range(300):
        batch.enqueue(raising, str(number))
    batch.enqueue(raising, "z")
    with pytest.raises(UniqueConflict) as told:
        await batch.commit()
    assert (told.value.job_id, told.value.key) == (there.id, "step:z")
    assert await client.batches() == []
    assert await jobs_in_all(client) == 1
    await client.enqueue_many(raising.call(str(number)) for number in range(300))
    await there.delete()
    with pytest.raises(UniqueConflict):
        await batch.commit()
    assert await jobs_in_all(client) == 300
    assert not batch.is_committed


async def test_its_keys_are_free_too_if_something_else_is_refused(client: Client, steps: Steps) -> None:
    gone = await client.enqueue(steps.step, "gone")
    await gone.delete()
    other = await client.enqueue_in(3600, unique(steps.gated), "held")
    for refused, error in (("gone", ParentGone), ("held", WrongDefinition)):
        batch = client.batch()
        batch.enqueue(unique(steps.step), "a")
        if refused == "gone":
            batch.continue_with(gone, steps.step, "after")
        else:
            batch.enqueue(unique(steps.step), "held")
        for _ in range(2):
            with pytest.raises(error):
                await batch.commit()
        job = await client.enqueue(unique(steps.step), "a")
        assert (await job.refresh()).state is State.ENQUEUED
        await job.delete()
    assert [job.id for job in await client.jobs("scheduled")] == [other.id]


async def test_what_may_be_left_out_cannot_be_continued_in_its_batch(client: Client, steps: Steps) -> None:
    async with client.batch() as batch:
        for settings in ({}, {"on_conflict": "raise"}):
            job = batch.enqueue(unique(steps.step, **settings), f"a{settings}")
            with pytest.raises(OptionError, match="step can't continue step in the batch that creates it"):
                batch.continue_with(job, steps.step, "after")
            with batch.batch() as inner, pytest.raises(OptionError, match="can't continue step in the"):
                inner.continue_with([job], steps.step.call("after"), on="finished")
        last = batch.enqueue(unique(steps.step, on_conflict="replace"), "b")
        after = batch.continue_with(last, steps.step, "after")
    assert (await after.refresh()).parents[0].id == last.id
    # Once it is committed, it is known which job it is.
    assert (await client.continue_with(job, steps.step, "x")).parents[0].id == job.id


async def test_one_added_to_a_stored_batch(client: Client, steps: Steps) -> None:
    async with client.batch() as batch:
        member = batch.enqueue(unique(steps.step), "a")
    stored = client.batch_of(batch.id)
    assert (await stored.enqueue(unique(steps.step), "a")).id == member.id
    jobs: list[Job[str]] = await stored.enqueue_many(unique(steps.step).call(label) for label in "abb")
    assert [job.id for job in jobs] == [member.id, jobs[1].id, jobs[1].id]
    with pytest.raises(UniqueConflict):
        await stored.enqueue_in(5, unique(steps.step, on_conflict="raise"), "b")
    assert (await stored.refresh()).total == 2
