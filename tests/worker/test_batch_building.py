"""Building batches: they appear whole or not at all."""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from asyncjobs import Batch, BatchState, Client, Registry, Retry, State
from asyncjobs.errors import (
    JobCancelled,
    OptionError,
    ParentGone,
)
from asyncjobs.ids import shard_of
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


async def test_nothing_of_it_is_there_before_its_block_ends_and_then_all_of_it(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    async with client.batch("import") as batch:
        jobs = [batch.enqueue(steps.step, str(number)) for number in range(20)]
        await worker.until_empty()
        assert await jobs_in_all(client) == 0
        assert await client.get_batch(batch.id) is None
    done = await finished(client, batch.id)
    assert (done.name, done.state, done.progress) == ("import", BatchState.SUCCEEDED, 1.0)
    assert counters(done) == (20, 20, 0, 0)
    assert done.created_at is not None
    assert done.finished_at is not None
    assert done.created_at <= done.finished_at
    assert [job.id for job in await done.jobs()] == [job.id for job in jobs]
    assert all(job.batch == batch.id for job in await done.jobs())


async def test_nothing_of_it_ever_runs_if_its_block_raises(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what raises
        async with client.batch() as batch:
            batch.enqueue(steps.step, "never")
            raise ZeroDivisionError
    await worker.until_empty()
    assert steps.ran == []
    assert await client.get_batch(batch.id) is None
    assert await client.batches() == []


@pytest.mark.parametrize("client", [1], indirect=True)
async def test_nothing_of_it_ever_runs_if_it_cannot_be_sent_to_its_end(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    gone = await client.enqueue(steps.step.options(queue="unserved"), "gone")
    await gone.delete()
    batch = client.batch()
    batch.enqueue_many(steps.step.call(str(number)) for number in range(600))
    batch.continue_with(gone, steps.step, "after")
    with pytest.raises(ParentGone):
        await batch.commit()
    await worker.until_empty()
    assert steps.ran == []
    assert await jobs_in_all(client) == 0
    assert await client.batches() == []


@pytest.mark.parametrize("client", [3], indirect=True)
async def test_a_parent_on_another_shard_that_is_gone_is_found_out_later(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    await start_worker(queues=["default"])
    parents = await client.enqueue_many(steps.step.options(queue="unserved").call("x") for _ in range(3))
    for parent in parents:
        await parent.delete()
    async with client.batch() as batch:
        elsewhere = [
            batch.continue_with(parent, steps.step, "after")
            for parent in parents
            if shard_of(parent.id, 3) != shard_of(batch.id, 3)
        ]
    done = await finished(client, batch.id)
    assert (done.state, counters(done)) == ("failed", (2, 0, 0, 2))
    for job in elsewhere:
        with pytest.raises(JobCancelled, match="was removed"):
            await job.result(timeout=10)


async def test_nested_ones_are_members(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    async with client.batch("outer") as outer:
        outer.enqueue(steps.step, "outer")
        with outer.batch("middle") as middle:
            middle.enqueue_many(steps.step.call(f"middle {number}") for number in range(3))
            with middle.batch("inner") as inner:
                inner.enqueue(steps.gated, "inner")
        with outer.batch("empty") as empty:
            pass
    await start_worker()
    empties = await finished(client, empty.id)
    assert (empties.state, empties.total, empties.record.parent) == ("succeeded", 0, outer.id)

    async def one_is_left() -> bool:
        return (await client.batch_of(middle.id).refresh()).pending == 0 and len(steps.ran) == 4

    await eventually(one_is_left)
    states = [(await client.batch_of(batch.id).refresh()).state for batch in (outer, middle, inner, empty)]
    assert states == ["open", "open", "open", "succeeded"]
    assert await client.batch_of(outer.id).jobs() != []
    assert [batch.name for batch in await client.batch_of(outer.id).nested()] == ["middle", "empty"]
    steps.gate.set()
    done = await finished(client, outer.id)
    assert (done.state, done.total, done.record.nested, done.record.nested_succeeded) == (
        "succeeded",
        1,
        2,
        2,
    )
    assert done.progress == 1.0


async def test_one_whose_nested_block_raised_may_go_on_without_it(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch() as outer:
        outer.enqueue(steps.step, "before")
        with pytest.raises(ZeroDivisionError), outer.batch() as middle:  # noqa: PT012 - as above
            middle.enqueue(steps.step, "never")
            deepest = middle.batch()
            deepest.enqueue(steps.step, "never either")
            raise ZeroDivisionError
        outer.enqueue(steps.step, "after")
        for builder in (middle, deepest):
            with pytest.raises(OptionError, match="is built already"):
                builder.enqueue(steps.step, "too late")
        assert len(outer) == 2
    await start_worker()
    done = await finished(client, outer.id)
    assert (done.state, done.total, done.record.nested) == ("succeeded", 2, 0)
    assert sorted(steps.ran) == ["after", "before"]


async def test_each_knows_how_many_jobs_are_in_it(client: Client, steps: Steps) -> None:
    async with client.batch() as outer:
        outer.enqueue(steps.step, "outer")
        with outer.batch() as middle:
            assert len(middle) == 0
            middle.enqueue_many(steps.step.call("middle") for _ in range(2))
            with middle.batch() as inner:
                inner.enqueue(steps.step, "inner")
        with outer.batch() as empty:
            pass
        with pytest.raises(ZeroDivisionError), outer.batch() as left_out:  # noqa: PT012 - as above
            left_out.enqueue(steps.step, "never")
            raise ZeroDivisionError
        assert [len(batch) for batch in (outer, middle, inner, empty, left_out)] == [4, 3, 1, 0, 0]


async def test_one_nested_in_a_stored_one(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    async with client.batch() as outer:
        outer.enqueue(steps.gated, "outer")
    async with client.batch_of(outer.id).batch("late") as late:
        late.enqueue(steps.step, "late")
    await start_worker()
    assert (await finished(client, late.id)).record.parent == outer.id
    assert (await client.batch_of(outer.id).refresh()).record.nested == 1
    steps.gate.set()
    assert (await finished(client, outer.id)).record.nested_succeeded == 1


async def test_delayed_members(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    async with client.batch() as batch:
        batch.enqueue(steps.step, "now")
        batch.enqueue_in(0.2, steps.step, "soon")
        batch.enqueue_at(datetime.now(UTC) - timedelta(days=1), steps.step, "past")
        batch.enqueue_in(timedelta(hours=1), steps.step, "later")
        later = batch.enqueue_at(datetime.now(UTC) + timedelta(hours=1), steps.step.call("then"))
    await start_worker()
    stored = client.batch_of(batch.id)

    async def two_are_left() -> bool:
        return (await stored.refresh()).pending == 2

    await eventually(two_are_left)
    assert sorted(steps.ran) == ["now", "past", "soon"]
    await reaches(later, State.SCHEDULED)
    for job in await client.jobs("scheduled"):
        await job.run_now()
    assert (await finished(client, batch.id)).succeeded == 5


async def test_a_builder_is_of_no_use_after_its_block(client: Client, steps: Steps) -> None:
    async with client.batch() as batch:
        job = batch.enqueue(steps.step, "member")
        never_entered = batch.batch()
    for builder in (batch, never_entered):
        for add in (
            lambda builder=builder: builder.enqueue(steps.step, "late"),
            lambda builder=builder: builder.enqueue_in(1, steps.step, "late"),
            lambda builder=builder: builder.continue_with(job, steps.step, "late"),
            lambda builder=builder: builder.batch(),
        ):
            with pytest.raises(OptionError, match="is built already: await"):
                add()
    # Sent again, it changes nothing.
    await batch.commit()
    assert await client.count("enqueued") == 1


async def test_one_that_is_forgotten_with_jobs_in_it_tells(client: Client, steps: Steps) -> None:
    forgotten = client.batch("import")
    with forgotten.batch() as inner:
        inner.enqueue(steps.step, "never")
    about_it = f"batch {forgotten.id} 'import' was never committed, so its jobs \\(1\\) weren't sent"
    with pytest.warns(ResourceWarning, match=about_it):
        del forgotten, inner


async def test_one_that_was_committed_or_given_up_or_is_empty_has_nothing_to_tell(
    client: Client, steps: Steps, recwarn: pytest.WarningsRecorder
) -> None:
    warnings.simplefilter("always")
    client.batch("empty")
    with pytest.raises(OptionError, match="at most"):
        client.batch("x" * 201)
    discarded = client.batch("discarded")
    discarded.enqueue(steps.step, "never")
    discarded.discard()
    committed = client.batch("committed")
    committed.enqueue(steps.step, "job")
    await committed.commit()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what raises
        async with client.batch("raised") as raised:
            raised.enqueue(steps.step, "never")
            raise ZeroDivisionError
    del discarded, committed, raised
    gc.collect()
    assert [str(told.message) for told in recwarn if "was never committed" in str(told.message)] == []


async def test_what_a_builder_refuses(client: Client, steps: Steps) -> None:
    job = await client.enqueue(steps.step, "job")
    with pytest.raises(OptionError, match="at most 200 characters, not 201"):
        client.batch("x" * 201)
    async with client.batch("x" * 200) as batch:
        with pytest.raises(OptionError, match=f"takes the output of job {job.id}, not waiting"):
            batch.enqueue(steps.step, job.output)
        with pytest.raises(OptionError, match="isn't a job"):
            batch.enqueue(len, "x")  # type: ignore[call-overload]
        with pytest.raises(OptionError, match="isn't a call"):
            batch.enqueue_many([steps.step])  # type: ignore[list-item]  # pyright: ignore
        assert len(batch) == 0
