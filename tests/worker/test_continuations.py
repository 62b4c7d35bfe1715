"""Jobs that run when others have ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncjobs import Client, Job, Registry, Retry, State
from asyncjobs.continuations import OnEnd
from asyncjobs.errors import JobCancelled, OptionError, ParentGone
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


async def test_it_runs_after_its_parent(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    first = await client.enqueue(steps.gated, "first")
    second = await client.continue_with(first, steps.step, "second")
    third = await client.continue_with(second, steps.step.call("third"))
    assert [job.state for job in (second, third)] == [State.AWAITING] * 2
    assert (await second.refresh()).state is State.AWAITING
    assert [parent.id for parent in second.parents] == [first.id]
    assert second.record.unmet == 1
    await start_worker()
    await reaches(first, State.PROCESSING)
    assert await client.count("awaiting") == 2
    steps.gate.set()
    assert await third.result(timeout=10) == "third"
    assert steps.ran == ["first", "second", "third"]
    assert await client.count("awaiting") == 0


async def test_it_runs_after_the_last_of_several_parents(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    quick = [await client.enqueue(steps.step, f"quick {number}") for number in range(5)]
    slow = await client.enqueue(steps.gated, "slow")
    last = await client.continue_with([*quick, slow, slow], steps.step, "last")
    await start_worker()
    for job in quick:
        await job.result(timeout=10)

    async def one_is_left() -> bool:
        return (await last.refresh()).record.unmet == 1

    await eventually(one_is_left)
    assert last.state is State.AWAITING
    steps.gate.set()
    await last.result(timeout=10)
    assert steps.ran[-1] == "last"
    assert len(steps.ran) == 7


async def test_a_diamond(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    top = await client.enqueue(steps.step, "top")
    sides = [await client.continue_with(top, steps.step, f"side {number}") for number in range(4)]
    bottom = await client.continue_with(sides, steps.step, "bottom")
    await start_worker()
    await bottom.result(timeout=10)
    assert (steps.ran[0], steps.ran[-1], len(steps.ran)) == ("top", "bottom", 6)


@pytest.mark.parametrize(
    ("on", "ending", "becomes"),
    [
        ("succeeded", "succeeded", "succeeded"),
        ("succeeded", "failed", "awaiting"),
        ("succeeded", "cancelled", "awaiting"),
        ("failed", "succeeded", "cancelled"),
        ("failed", "failed", "succeeded"),
        ("failed", "cancelled", "cancelled"),
        ("finished", "succeeded", "succeeded"),
        ("finished", "failed", "succeeded"),
        ("finished", "cancelled", "succeeded"),
    ],
)
@pytest.mark.parametrize("first", ["parent ends first", "child is created first"])
async def test_which_end_lets_it_run(
    client: Client,
    steps: Steps,
    start_worker: StartWorker,
    on: OnEnd,
    ending: str,
    becomes: str,
    first: str,
) -> None:
    worker = await start_worker()
    if ending == "failed":
        steps.failing.add("parent")
    parent = await client.enqueue(steps.gated, "parent")

    async def end() -> None:
        if ending == "cancelled":
            await parent.cancel()
        else:
            steps.gate.set()
        await reaches(parent, State(ending))

    if first == "parent ends first":
        await end()
    child = await client.continue_with(parent, steps.step.call("child"), on=on)
    if first == "child is created first":
        await end()
    await reaches(child, State(becomes))
    await worker.until_empty()
    assert (await child.refresh()).state == becomes
    if becomes == "cancelled":
        with pytest.raises(JobCancelled, match=f"parent, job {parent.id}, ended as {ending}"):
            await child.result(timeout=10)


async def test_one_that_waits_for_a_failed_parent_runs_when_that_is_requeued(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    steps.failing.add("parent")
    parent = await client.enqueue(steps.step, "parent")
    child = await client.continue_with(parent, steps.step, "child")
    await reaches(parent, State.FAILED)
    await worker.until_empty()
    assert (await child.refresh()).state is State.AWAITING
    steps.failing.clear()
    await parent.requeue()
    assert await child.result(timeout=10) == "child"


async def test_one_can_be_cancelled_at_once_if_its_parent_fails_and_what_follows_it_too(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    steps.failing.add("parent")
    parent = await client.enqueue(steps.step, "parent")
    child = await client.continue_with(parent, steps.step.call("child"), on_parent_failed="cancel")
    grandchild = await client.continue_with(child, steps.step.call("grandchild"), on_parent_failed="cancel")
    regardless = await client.continue_with(child, steps.step.call("regardless"), on="finished")
    await start_worker()
    await reaches(grandchild, State.CANCELLED)
    await reaches(child, State.CANCELLED)
    assert await regardless.result(timeout=10) == "regardless"
    (entry,) = await child.history()
    assert (entry.event, entry.error_type) == ("cancelled", "ParentUnmet")


async def test_with_several_parents_one_that_ends_otherwise_is_enough_to_cancel_it(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    steps.failing.add("failing")
    slow = await client.enqueue(steps.gated, "slow")
    failing = await client.enqueue(steps.step, "failing")
    child = await client.continue_with([slow, failing], steps.step.call("child"), on_parent_failed="cancel")
    alert = await client.continue_with([slow, failing], steps.step.call("alert"), on="failed")
    await start_worker()
    await reaches(child, State.CANCELLED)
    steps.gate.set()
    await reaches(alert, State.CANCELLED)
    assert "child" not in steps.ran
    assert "alert" not in steps.ran


async def test_a_retry_is_no_end(client: Client, registry: Registry, start_worker: StartWorker) -> None:
    attempts: list[int] = []

    @registry.job(retry=Retry(max_retries=2, delay=0.01))
    async def flaky() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError("not yet")
        return len(attempts)

    @registry.job
    async def after() -> int:
        return len(attempts)

    parent = await client.enqueue(flaky)
    alert = await client.continue_with(parent, after.call(), on="failed")
    child = await client.continue_with(parent, after)
    await start_worker()
    assert await child.result(timeout=10) == 3
    await reaches(alert, State.CANCELLED)


async def test_one_whose_parent_is_deleted_is_cancelled(client: Client, steps: Steps) -> None:
    parent = await client.enqueue(steps.step, "parent")
    children = [
        await client.continue_with(parent, steps.step.call("child"), on=on)
        for on in ("succeeded", "failed", "finished")
    ]
    await parent.delete()
    for child in children:
        await reaches(child, State.CANCELLED)
        with pytest.raises(JobCancelled, match=f"parent, job {parent.id}, was removed"):
            await child.result(timeout=10)


async def test_a_parent_that_is_not_there_cannot_be_continued(client: Client, steps: Steps) -> None:
    parent = await client.enqueue(steps.step, "parent")
    await parent.delete()
    with pytest.raises(ParentGone, match=f"job {parent.id}: it was never created, was deleted"):
        await client.continue_with(parent, steps.step, "child")
    assert await client.count("awaiting") == 0


async def test_it_can_be_cancelled_requeued_and_deleted_while_it_waits(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    parent = await client.enqueue(steps.gated, "parent")
    cancelled = await client.continue_with(parent, steps.step, "cancelled")
    deleted = await client.continue_with(parent, steps.step, "deleted")
    requeued = await client.continue_with(parent, steps.step, "requeued")
    assert await cancelled.cancel()
    await deleted.delete()
    await requeued.cancel()
    # By hand, it runs without its parent.
    await requeued.requeue()
    worker = await start_worker()
    assert await requeued.result(timeout=10) == "requeued"
    steps.gate.set()
    await parent.result(timeout=10)
    await worker.until_empty()
    assert (await cancelled.refresh()).state is State.CANCELLED
    assert await client.get(deleted.id) is None
    assert steps.ran == ["requeued", "parent"]


async def test_what_is_met_stays_met(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    worker = await start_worker()
    first = await client.enqueue(steps.step, "first")
    slow = await client.enqueue(steps.gated, "slow")
    child = await client.continue_with([first, slow], steps.step, "child")
    await first.result(timeout=10)

    async def one_is_left() -> bool:
        return (await child.refresh()).record.unmet == 1

    await eventually(one_is_left)
    steps.failing.add("first")
    await first.requeue()
    await reaches(first, State.FAILED)
    steps.gate.set()
    assert await child.result(timeout=10) == "child"
    await worker.until_empty()
    assert steps.ran.count("child") == 1


async def test_options_of_the_call_are_its_own(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    parent = await client.enqueue(steps.step, "parent")
    child = await client.continue_with(parent, steps.step.options(queue="other", priority=7), "child")
    await start_worker(queues=["default"])
    await reaches(child, State.ENQUEUED)
    assert (child.queue, child.priority) == ("other", 7)
    assert [queue.name for queue in await client.queues() if queue.length] == ["other"]


async def test_very_many_children_of_one_job(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    ran: list[int] = []

    @registry.job
    async def parent() -> None: ...

    @registry.job
    async def child(number: int) -> None:
        ran.append(number)

    first = await client.enqueue(parent)
    jobs = await asyncio.gather(*(client.continue_with(first, child, number) for number in range(1_500)))
    worker = await start_worker(concurrency=100)
    await asyncio.wait_for(worker.until_empty(), 60)
    assert sorted(ran) == list(range(1_500))
    assert (await jobs[-1].refresh()).state is State.SUCCEEDED


async def test_very_many_parents_of_one_job(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    parents = await client.enqueue_many(steps.step.call(f"{number}") for number in range(1_200))
    last = await client.continue_with(parents, steps.step, "last")
    await start_worker(concurrency=100)
    assert await last.result(timeout=60) == "last"
    assert (len(steps.ran), steps.ran[-1]) == (1_201, "last")


async def test_more_parents_than_one_job_may_have(client: Client, steps: Steps) -> None:
    parents = await client.enqueue_many(steps.step.call("parent") for _ in range(10_001))
    with pytest.raises(OptionError, match="at most 10,000 parents, not 10,001: create them in a batch"):
        await client.continue_with(parents, steps.step, "last")
    async with client.batch() as batch:
        with pytest.raises(OptionError, match="at most 10,000 parents"):
            batch.continue_with(parents, steps.step, "last")
        last = batch.continue_with([*parents[1:], parents[1]], steps.step, "last")
    assert (await last.refresh()).record.unmet == 10_000


async def test_what_cannot_be_continued(client: Client, steps: Steps) -> None:
    job = await client.enqueue(steps.step, "job")
    call = steps.step.call("child")
    wrong: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
        (([], call), {}, "at least one parent"),
        ((job.id, call), {}, "can't be continued"),
        ((7, call), {}, "can't be continued"),
        (([job, None], call), {}, "can't be continued"),
        ((job, call), {"on": "deleted"}, "'succeeded', 'failed' or 'finished'"),
        ((job, call), {"on_parent_failed": "run"}, "'wait' or 'cancel'"),
        ((job, call), {"on": "failed", "on_parent_failed": "cancel"}, "is for on='succeeded'"),
        ((job, call), {"after": 5}, "no option after"),
        ((job, call, "more"), {}, "has its arguments already"),
        ((job, len), {}, "isn't a job"),
    ]
    for args, kwargs, message in wrong:
        with pytest.raises(OptionError, match=message):
            await client.continue_with(*args, **kwargs)
    assert await client.count("awaiting") == 0


async def test_a_job_may_have_parameters_that_are_named_like_ours(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def named(on: str, on_parent_failed: int) -> list[object]:
        return [on, on_parent_failed]

    first: Job[list[object]] = await client.enqueue(named, on="x", on_parent_failed=1)
    second = await client.continue_with(first, named, on="y", on_parent_failed=2)
    await start_worker()
    assert await second.result(timeout=10) == ["y", 2]
