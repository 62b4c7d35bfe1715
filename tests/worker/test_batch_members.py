"""Batches that change after they have appeared: members are added, requeued, deleted; all are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from asyncjobs import BatchState, Client, JobContext, Registry, Retry, State, SyncClient
from asyncjobs.errors import BatchClosed, JobCancelled, OptionError
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


async def test_members_add_members(client: Client, registry: Registry, start_worker: StartWorker) -> None:
    @registry.job(context=True)
    async def split(context: JobContext, depth: int) -> None:
        if depth:
            batch = context.batch
            assert batch is not None
            await batch.enqueue(split, depth - 1)
            await batch.enqueue_many(split.call(depth - 1) for _ in range(2))

    @registry.job
    async def after() -> None: ...

    async with client.batch() as batch:
        batch.enqueue(split, 3)
    last = await client.continue_with(batch, after)
    await start_worker()
    await last.result(timeout=20)
    done = await client.batch_of(batch.id).refresh()
    assert (done.state, done.total, done.succeeded) == ("succeeded", 40, 40)
    # It was never finished in between: the continuation came once.
    assert (await last.refresh()).attempt == 1


async def test_members_in_threads_add_members(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(context=True)
    def split(context: JobContext, depth: int) -> None:
        assert isinstance(context.sync_client, SyncClient)
        if depth:
            batch = context.batch
            assert batch is not None
            context.sync_client.run(batch.enqueue(split, depth - 1))

    async with client.batch() as batch:
        batch.enqueue(split, 3)
    await start_worker()
    assert (await client.batch_of(batch.id).wait(timeout=20)).succeeded == 4


async def test_members_add_what_runs_later(
    client: Client, registry: Registry, steps: Steps, start_worker: StartWorker
) -> None:
    @registry.job(context=True)
    async def split(context: JobContext) -> list[str]:
        batch = context.batch
        assert batch is not None
        soon = await batch.enqueue_in(0.2, steps.step, "soon")
        past = await batch.enqueue_at(datetime.now(UTC) - timedelta(days=1), steps.step.call("past"))
        later = await batch.enqueue_at(datetime.now(UTC) + timedelta(hours=1), steps.step, "later")
        after = await batch.continue_with([soon, past], steps.step, soon.output)
        assert [job.state for job in (later, after)] == [State.SCHEDULED, State.AWAITING]
        return [job.id for job in (soon, past, later, after)]

    async with client.batch() as batch:
        first = batch.enqueue(split)
    last = await client.continue_with(batch, steps.step, "last")
    await start_worker()
    added = await first.result(timeout=10)
    stored = client.batch_of(batch.id)
    assert [job.id for job in await stored.jobs()] == [first.id, *added]

    async def one_is_left() -> bool:
        return (await stored.refresh()).pending == 1

    await eventually(one_is_left)
    assert sorted(steps.ran) == ["past", "soon", "soon"]
    await client.run_now(added[2])
    await last.result(timeout=10)
    assert ((await stored.refresh()).total, steps.ran[-2:]) == (5, ["later", "last"])


async def test_a_continuation_that_is_added_is_a_member(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    steps.failing.add("parent")
    # On other shards than the batch, too.
    parents = [await client.enqueue(steps.gated, name) for name in ("parent", "good", "good")]
    async with client.batch() as batch:
        batch.enqueue(steps.step, "member")
    stored = client.batch_of(batch.id)
    alert = await stored.continue_with(parents[0], steps.step.call("alert"), on="failed")
    never = await stored.continue_with(parents, steps.step.call("never"), on_parent_failed="cancel")
    after = await stored.continue_with([alert, *parents[1:]], steps.step, "after")
    assert {job.batch for job in (alert, never, after)} == {batch.id}
    await start_worker()

    async def three_are_left() -> bool:
        return (await stored.refresh()).pending == 3

    await eventually(three_are_left)
    steps.gate.set()
    await reaches(never, State.CANCELLED)
    assert await after.result(timeout=10) == "after"
    done = await stored.wait(timeout=10)
    assert (done.state, done.total, done.succeeded, done.cancelled) == ("failed", 4, 3, 1)


async def test_a_job_outside_has_no_batch(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(context=True)
    async def tell(context: JobContext) -> bool:
        return context.batch is None

    await start_worker()
    assert await (await client.enqueue(tell)).result(timeout=10)


async def test_adding_to_a_finished_one_opens_it_again_and_what_it_was_nested_in(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    async with client.batch() as outer:
        with outer.batch() as inner:
            inner.enqueue(steps.step, "first")
    stored = client.batch_of(inner.id)
    await client.batch_of(outer.id).wait(timeout=10)
    after = await client.continue_with(outer, steps.step, "after")
    await after.result(timeout=10)
    late = await stored.enqueue(steps.gated, "late")
    for batch_id in (inner.id, outer.id):
        assert (await client.batch_of(batch_id).refresh()).state is BatchState.OPEN
    steps.gate.set()
    await late.result(timeout=10)
    assert (await client.batch_of(outer.id).wait(timeout=10)).state is BatchState.SUCCEEDED
    assert (await stored.refresh()).total == 2
    await worker.until_empty()
    # What was met stays met.
    assert steps.ran == ["first", "after", "late"]


async def test_requeueing_a_member_opens_it_again(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    steps.failing.add("member")
    async with client.batch() as batch:
        member = batch.enqueue(steps.step, "member")
        batch.enqueue(steps.step, "other")
    after = await client.continue_with(batch, steps.step, "after")
    alert = await client.continue_with(batch, steps.step.call("alert"), on="failed")
    worker = await start_worker()
    assert (await client.batch_of(batch.id).wait(timeout=10)).state is BatchState.FAILED
    await alert.result(timeout=10)
    await worker.until_empty()
    assert (await after.refresh()).state is State.AWAITING
    steps.failing.clear()
    await member.requeue()
    await after.result(timeout=10)
    done = await client.batch_of(batch.id).wait(timeout=10)
    assert (done.state, done.succeeded, done.failed) == ("succeeded", 2, 0)
    assert steps.ran.count("alert") == 1


async def test_a_member_that_is_deleted_before_it_ends_counts_as_cancelled(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch() as batch:
        deleted = batch.enqueue(steps.step, "deleted")
        batch.enqueue(steps.step, "kept")
    await deleted.delete()
    await start_worker()
    done = await client.batch_of(batch.id).wait(timeout=10)
    assert (done.state, done.total, done.succeeded, done.cancelled) == ("failed", 2, 1, 1)
    assert len(await done.jobs()) < 2


async def test_cancelling_it_reaches_all_that_have_not_ended(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch() as outer:
        done = outer.enqueue(steps.step, "done")
        running = outer.enqueue(steps.gated, "running")
        after_it = outer.continue_with(running, steps.step, "after it")
        with outer.batch() as inner:
            waiting = inner.enqueue(steps.step.options(queue="unserved"), "waiting")
            later = inner.enqueue_in(3600, steps.step, "later")
            running_inside = inner.enqueue(steps.gated, "running inside")
    after = await client.continue_with(outer, steps.step.call("after"), on="finished")
    never = await client.continue_with(outer, steps.step.call("never"), on_parent_failed="cancel")
    worker = await start_worker(queues=["default"])
    await done.result(timeout=10)
    await reaches(running, State.PROCESSING)
    await reaches(running_inside, State.PROCESSING)
    stored = client.batch_of(outer.id)
    await stored.cancel()
    for job in (running, running_inside, after_it, waiting, later, never):
        await reaches(job, State.CANCELLED)
    assert (await stored.wait(timeout=10)).state is BatchState.CANCELLED
    assert (stored.total, stored.succeeded, stored.cancelled) == (3, 1, 2)
    nested = await client.batch_of(inner.id).refresh()
    assert (nested.state, nested.total, nested.cancelled) == ("cancelled", 3, 3)
    await after.result(timeout=10)
    await worker.until_empty()
    assert steps.ran == ["done", "after"]
    with pytest.raises(JobCancelled, match=f"parent, batch {outer.id}, ended as cancelled"):
        await never.result(timeout=10)


async def test_nothing_can_be_added_to_a_cancelled_one(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch() as outer:
        outer.enqueue(steps.gated, "member")
        with outer.batch() as inner:
            inner.enqueue(steps.gated, "inner")
    await start_worker()
    stored = client.batch_of(outer.id)
    await stored.cancel()
    await stored.wait(timeout=10)
    for batch_id in (outer.id, inner.id):
        with pytest.raises(BatchClosed, match="is cancelled: nothing can be added to it"):
            await client.batch_of(batch_id).enqueue(steps.step, "late")
    with pytest.raises(BatchClosed, match="is cancelled"):
        async with stored.batch() as late:
            late.enqueue(steps.step, "late")
    assert steps.ran == []
    assert await client.count("enqueued") == 0


async def test_cancelling_a_finished_one_changes_nothing(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch() as batch:
        batch.enqueue(steps.step, "member")
    await start_worker()
    stored = await client.batch_of(batch.id).wait(timeout=10)
    await stored.cancel()
    assert (await stored.refresh()).state is BatchState.SUCCEEDED
    await stored.enqueue(steps.step, "late")
    assert (await stored.wait(timeout=10)).succeeded == 2


async def test_cancelling_a_large_one(
    client: Client, registry: Registry, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch() as batch:
        for number in range(1_500):
            batch.enqueue(steps.gated, str(number))
    worker = await start_worker(concurrency=20)
    await eventually(lambda: worker.running == 20)
    stored = client.batch_of(batch.id)
    await stored.cancel()
    done = await stored.wait(timeout=60)
    assert (done.state, done.total, done.cancelled) == ("cancelled", 1_500, 1_500)
    assert await worker.until_empty() == 0
    assert steps.ran == []


@pytest.mark.parametrize("client", [1], indirect=True)
async def test_cancelling_a_small_one_leaves_to_workers_what_others_have_left_to_do(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch() as batch:
        member = batch.enqueue(steps.step, "member")
    parent = await client.enqueue(steps.step, "parent")
    await asyncio.gather(
        *(client.continue_with(parent, steps.step.call("after"), on="finished") for _ in range(1_500))
    )
    await parent.cancel()
    stored = client.batch_of(batch.id)
    await stored.cancel()
    assert await client.count("awaiting") >= 500
    worker = await start_worker(concurrency=50)
    await reaches(member, State.CANCELLED)
    assert (await stored.wait(timeout=10)).state is BatchState.CANCELLED
    assert await asyncio.wait_for(worker.until_empty(), 60) == 0
    assert steps.ran == ["after"] * 1_500


async def test_many_are_added_at_once_by_several_clients(
    client: Client, redis_url: str, registry: Registry, steps: Steps, start_worker: StartWorker
) -> None:
    async with client.batch() as batch:
        batch.enqueue(steps.step, "first")
    await start_worker(concurrency=50)
    await client.batch_of(batch.id).wait(timeout=10)
    async with (
        Client(redis_url, registry=registry, shards=client.storage.shards) as second,
        Client(redis_url, registry=registry, shards=client.storage.shards) as third,
    ):
        await asyncio.gather(
            *(
                one.batch_of(batch.id).enqueue_many(steps.step.call(f"{number}") for number in range(600))
                for one in (client, second, third)
            )
        )
    done = await client.batch_of(batch.id).wait(timeout=60)
    assert (done.total, done.succeeded) == (1_801, 1_801)


async def test_what_it_refuses(client: Client, steps: Steps) -> None:
    async with client.batch() as batch:
        job = batch.enqueue(steps.step, "member")
    stored = client.batch_of(batch.id)
    with pytest.raises(OptionError, match=f"takes the output of job {job.id}, not waiting"):
        await stored.enqueue(steps.step, job.output)
    with pytest.raises(OptionError, match="on is 'never'"):
        await stored.continue_with(job, steps.step.call("x"), on="never")  # type: ignore[call-overload]  # pyright: ignore
    with pytest.raises(OptionError, match="isn't a call"):
        await stored.enqueue_many([steps.step])  # type: ignore[list-item]  # pyright: ignore
    assert (await stored.refresh()).total == 1


class TestUntilEmpty:
    async def test_it_waits_for_what_follows(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        ran: list[int] = []

        @registry.job
        async def member(number: int) -> None:
            ran.append(number)

        first = await client.enqueue(member, -1)
        for number in range(700):
            await client.continue_with(first, member, number)
        async with client.batch() as batch:
            batch.enqueue_many(member.call(number) for number in range(700, 1_400))
        await client.continue_with(batch, member, 1_400)
        worker = await start_worker(concurrency=50)
        assert await asyncio.wait_for(worker.until_empty(), 60) == 0
        assert sorted(ran) == list(range(-1, 1_401))

    async def test_it_does_not_wait_for_what_waits_for_ever(
        self, client: Client, steps: Steps, start_worker: StartWorker
    ) -> None:
        steps.failing.add("parent")
        parent = await client.enqueue(steps.step, "parent")
        child = await client.continue_with(parent, steps.step, "child")
        worker = await start_worker()
        assert await asyncio.wait_for(worker.until_empty(), 10) == 0
        assert (await child.refresh()).state is State.AWAITING
