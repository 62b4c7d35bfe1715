"""Unique jobs on a real server, run by workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncjobs import Client, Job, Limit, Registry, Retry, State, SyncClient, Unique
from asyncjobs.errors import (
    JobCancelled,
    JobStateError,
    OptionError,
    UniqueConflict,
    WrongDefinition,
)
from asyncjobs.ids import shard_for, shard_of
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker.conftest import StartWorker
from tests.worker.steps import Steps

ONE_SHARD = pytest.mark.parametrize("client", [1], indirect=True)
THREE_SHARDS = pytest.mark.parametrize("client", [3], indirect=True)


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


def unique(job: Any, **settings: Any) -> Any:
    """The same job, one of each label at a time."""
    return job.options(unique=Unique("step:{label}", **settings))


async def jobs_in_all(client: Client) -> int:
    return sum((await client.stats()).counts.values())


async def test_one_runs_for_all_that_were_enqueued_meanwhile(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    job = unique(steps.gated)
    first = await client.enqueue(job, "a")
    await start_worker()
    await reaches(first, State.PROCESSING)
    others = [await client.enqueue(job, "a"), *await client.enqueue_many([job.call("a"), job.call("a")])]
    assert {one.id for one in others} == {first.id}
    assert others[0].state is State.PROCESSING
    steps.gate.set()
    assert [await one.result(timeout=10) for one in others] == ["a", "a", "a"]
    assert steps.ran == ["a"]
    again = await client.enqueue(job, "a")
    assert again.id != first.id
    assert await again.result(timeout=10) == "a"


async def test_it_is_on_the_shard_of_its_key(client: Client, steps: Steps) -> None:
    shards = client.storage.shards
    for number in range(10):
        job = await client.enqueue(unique(steps.step), str(number))
        assert shard_of(job.id, shards) == shard_for(f"step:{number}", shards)


async def test_many_clients_at_once_create_one(
    client: Client, steps: Steps, registry: Registry, redis_url: str
) -> None:
    shards = client.storage.shards
    async with Client(redis_url, registry=registry, shards=shards) as other:
        created = await asyncio.gather(
            *(one.enqueue(unique(steps.step), "a") for _ in range(50) for one in (client, other))
        )
    assert len({job.id for job in created}) == 1
    assert await jobs_in_all(client) == 1


async def test_until_started_the_next_one_may_wait_while_it_runs(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    job = unique(steps.gated, until="started")
    first = await client.enqueue(job, "a")
    assert (await client.enqueue(job, "a")).id == first.id
    await start_worker()
    await reaches(first, State.PROCESSING)
    second = await client.enqueue(job, "a")
    assert second.id != first.id
    await reaches(second, State.PROCESSING)
    steps.gate.set()
    await asyncio.gather(first.result(timeout=10), second.result(timeout=10))


async def test_until_started_a_retry_holds_nothing(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    job = unique(steps.step, until="started").options(retry=Retry(max_retries=1, delay=3600))
    steps.failing.add("a")
    first = await client.enqueue(job, "a")
    await start_worker()
    await reaches(first, State.RETRYING)
    assert (await client.enqueue(job, "a")).id != first.id


async def test_until_finished_a_retry_holds_the_key(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    job = unique(steps.step).options(retry=Retry(max_retries=1, delay=3600))
    steps.failing.add("a")
    first = await client.enqueue(job, "a")
    await start_worker()
    await reaches(first, State.RETRYING)
    assert (await client.enqueue(job, "a")).id == first.id
    await first.run_now()
    await reaches(first, State.FAILED)
    assert (await client.enqueue(job, "a")).id != first.id


async def test_a_period_is_by_the_servers_clock(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    await start_worker()
    job = unique(steps.step, until=0.5)
    first = await client.enqueue(job, "a")
    await first.result(timeout=10)

    async def another() -> Job[str] | None:
        found: Job[str] = await client.enqueue(job, "a")
        return found if found.id != first.id else None

    second = await eventually(another)
    assert second is not None
    await second.result(timeout=10)
    assert first.created_at is not None
    assert second.created_at is not None
    assert (second.created_at - first.created_at).total_seconds() >= 0.5


async def test_debouncing_runs_the_last_call_alone(
    client: Client, steps: Steps, registry: Registry, start_worker: StartWorker
) -> None:
    saved: list[str] = []

    @registry.job(unique=Unique("save:{document}", on_conflict="replace"))
    async def save(document: int, text: str) -> str:
        saved.append(text)
        return text

    await start_worker()
    typed = [await client.enqueue_in(3600, save, 7, text) for text in ("H", "He", "Hel", "Hell")]
    typed.append(await client.enqueue_in(0.05, save, 7, "Hello"))
    assert await typed[-1].result(timeout=10) == "Hello"
    for job in typed[:-1]:
        with pytest.raises(JobCancelled, match=r"job \w+ of the same unique key took its place"):
            await job.result(timeout=10)
    assert saved == ["Hello"]


async def test_one_that_is_throttled_makes_room_as_well(client: Client, registry: Registry) -> None:
    @registry.job(unique=Unique("{key}", on_conflict="replace"), limits=[Limit("database", 1)])
    async def query(key: str, number: int) -> None: ...

    if client.storage.shards > 1:
        return
    # All of them in one step.
    jobs = await client.enqueue_many(query.call(key, number) for number in range(3) for key in "ab")
    (enqueued,) = await client.jobs("enqueued")
    (throttled,) = await client.jobs("throttled")
    assert {enqueued.id, throttled.id} == {job.id for job in jobs[-2:]}
    assert await client.count("cancelled") == 4
    assert await client.check(pause=0) == []


async def test_one_that_runs_goes_on_when_another_takes_its_key(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    job = unique(steps.gated, on_conflict="replace")
    first = await client.enqueue(job, "a")
    await start_worker()
    await reaches(first, State.PROCESSING)
    second = await client.enqueue(job, "a")
    third = await client.enqueue_in(3600, job, "a")
    await first.refresh()
    assert (first.state, first.cancel_requested) == (State.PROCESSING, False)
    steps.gate.set()
    assert await first.result(timeout=10) == "a"
    await reaches(second, State.SUCCEEDED, State.CANCELLED)
    # Its end hasn't let go of what another holds.
    assert (await client.enqueue(unique(steps.gated), "a")).id == third.id


async def test_raising_names_the_job(client: Client, steps: Steps) -> None:
    first = await client.enqueue(steps.step.options(unique="step:{label}"), "a")
    with pytest.raises(UniqueConflict) as told:
        await client.enqueue(unique(steps.step, on_conflict="raise"), "a")
    assert (told.value.job_id, told.value.key) == (first.id, "step:a")
    assert await jobs_in_all(client) == 1


async def test_a_key_that_another_definitions_job_holds(client: Client, steps: Steps) -> None:
    first = await client.enqueue(unique(steps.step), "a")
    with pytest.raises(WrongDefinition, match=f"job {first.id} is there instead, but is a step, not a gated"):
        await client.enqueue(unique(steps.gated), "a")
    assert await jobs_in_all(client) == 1


async def test_a_requeue_is_refused_while_another_holds_the_key(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    first = await client.enqueue(unique(steps.step), "a")
    await start_worker()
    await first.result(timeout=10)
    second = await client.enqueue(unique(steps.gated), "a")
    with pytest.raises(JobStateError, match="another job holds its unique key"):
        await first.requeue()
    assert (await first.refresh()).state is State.SUCCEEDED
    steps.gate.set()
    await second.result(timeout=10)
    await first.requeue()
    await first.result(timeout=10)


async def test_a_continuation_and_a_chain_may_be_there_already(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    parent = await client.enqueue(steps.gated, "parent")
    after = await client.continue_with(parent, unique(steps.step), "a")
    assert after.state is State.AWAITING
    assert (await client.continue_with(parent, unique(steps.step), "a")).id == after.id
    assert (await client.enqueue(unique(steps.step), "a")).id == after.id
    chained = await client.chain(steps.step.call("before"), unique(steps.step).call("a"))
    assert chained[1].id == after.id
    await start_worker()
    await chained[0].result(timeout=10)
    assert (await after.refresh()).state is State.AWAITING, "it waits for its own parent"
    steps.gate.set()
    assert await chained[1].result(timeout=10) == "a"
    assert sorted(steps.ran) == ["a", "before", "parent"]


async def test_what_comes_after_a_unique_job_in_a_chain_needs_it_there(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    for settings in ({}, {"on_conflict": "raise"}):
        with pytest.raises(OptionError, match="step is unique, so that another job may be there instead"):
            await client.chain(unique(steps.step, **settings).call("a"), steps.step.call("b"))
    assert await jobs_in_all(client) == 0
    waiting = await client.enqueue_in(3600, unique(steps.step), "a")
    replacing = unique(steps.step, on_conflict="replace").call("a")
    chained = await client.chain(replacing, steps.step.call("b"), steps.step.call("c"))
    assert (await waiting.refresh()).state is State.CANCELLED
    shards = client.storage.shards
    assert {shard_of(job.id, shards) for job in chained} == {shard_for("step:a", shards)}
    await start_worker()
    await chained[-1].result(timeout=10)
    assert steps.ran == ["a", "b", "c"]


@THREE_SHARDS
async def test_on_several_shards_a_chain_has_one_key_at_most(client: Client, steps: Steps) -> None:
    one, other = (unique(steps.step, on_conflict="replace").call(label) for label in "ab")
    with pytest.raises(OptionError, match="this chain can't be created in a namespace of 3 shards, where"):
        await client.chain(one, other)
    assert await jobs_in_all(client) == 0


class TestRecurring:
    async def test_a_trigger_is_refused_while_another_holds_the_key(
        self, client: Client, steps: Steps, start_worker: StartWorker
    ) -> None:
        call = unique(steps.gated).call("a")
        if client.storage.shards > 1:
            with pytest.raises(
                OptionError, match="recurring job nightly can't be created in a namespace of 3"
            ):
                await client.recurring.put("nightly", "@daily", call)
            return
        await client.recurring.put("nightly", "@daily", call)
        first = await client.recurring.trigger("nightly")
        with pytest.raises(JobStateError, match="nightly isn't run: another job holds its unique key"):
            await client.recurring.trigger("nightly")
        await start_worker()
        steps.gate.set()
        await first.result(timeout=10)
        assert (await client.recurring.trigger("nightly")).id != first.id

    @ONE_SHARD
    async def test_occurrences_that_find_the_key_held_make_no_job(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        gate = asyncio.Event()

        @registry.recurring(every=0.1, id="tick", unique="tick")
        async def tick() -> None:
            await asyncio.wait_for(gate.wait(), 30)

        await start_worker()

        async def given_up() -> bool:
            found = await client.recurring.get("tick")
            return found is not None and found.fired + found.skipped + found.refused >= 5

        await eventually(given_up)
        await client.recurring.pause("tick")
        assert await jobs_in_all(client) == 1
        (job,) = await client.jobs("processing")
        gate.set()
        await job.result(timeout=10)


def test_from_code_that_is_not_async(redis_url: str) -> None:
    registry = Registry()
    steps = Steps(registry)
    with SyncClient(redis_url, registry=registry) as client:
        first = client.enqueue(unique(steps.step), "a")
        assert client.enqueue(unique(steps.step), "a").id == first.id
        with pytest.raises(UniqueConflict):
            client.enqueue(unique(steps.step, on_conflict="raise"), "a")
        with pytest.raises(UniqueConflict), client.batch() as batch:
            batch.enqueue(unique(steps.step, on_conflict="raise"), "a")
        second = client.enqueue(unique(steps.step, on_conflict="replace"), "a")
        assert client.count("cancelled") == 1
        with client.batch() as batch:
            job = batch.enqueue(unique(steps.step), "a")
        assert job.id == second.id
