"""Jobs under limits on a real server, run by workers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from asyncjobs import Client, Job, Limit, LimitInfo, Registry, Retry, State, SyncClient
from asyncjobs.errors import OptionError
from asyncjobs.ids import shard_for, shard_of
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker.conftest import StartWorker
from tests.worker.desk import Desk

SHARDS = 3
FIRST, SECOND = "tenant", "database"
"""Names of limits that are on different ones of three shards."""


@pytest.fixture
def registry() -> Registry:
    return Registry(retry=Retry(max_retries=0))


@pytest.fixture(params=[1, SHARDS], ids=["one shard", "three shards"])
async def client(request: pytest.FixtureRequest, redis_url: str, registry: Registry) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry, shards=request.param) as client:
        yield client


@pytest.fixture
def desk(registry: Registry) -> Desk:
    return Desk(registry)


async def all_done(jobs: list[Job[Any]]) -> None:
    await asyncio.gather(*(job.result(timeout=30) for job in jobs))


async def one_limit(client: Client, name: str, key: str = "") -> LimitInfo | None:
    return next((info for info in await client.limits.list() if (info.name, info.key) == (name, key)), None)


async def test_so_many_run_at_once_and_no_more(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    running: list[int] = []
    most: list[int] = []

    @registry.job(limits=[Limit("database", 4)])
    async def query(number: int) -> int:
        running.append(number)
        most.append(len(running))
        await asyncio.sleep(0.005)
        running.remove(number)
        return number

    for _ in range(3):
        await start_worker(concurrency=20)
    jobs = await client.enqueue_many(query.call(number) for number in range(300))
    await all_done(list(jobs))
    assert max(most) == 4, "all slots are used"
    info = await one_limit(client, "database")
    assert info is None, "nothing is counted any more"


async def test_keys_take_turns_where_there_are_fewer_slots_than_jobs_that_may_run(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    order: list[str] = []

    @registry.job(limits=[Limit("tenant", 2, key="{tenant}")])
    async def serve(tenant: str) -> None:
        order.append(tenant)

    jobs = await client.enqueue_many(serve.call("first") for _ in range(40))
    jobs += await client.enqueue_many(serve.call("second") for _ in range(40))
    await start_worker(concurrency=2)
    await all_done(list(jobs))
    for at in range(0, 80, 20):
        assert 5 <= order[at : at + 20].count("first") <= 15, order


async def test_each_key_has_slots_of_its_own(client: Client, desk: Desk, start_worker: StartWorker) -> None:
    limited = desk.work.options(limits=[Limit("tenant", 2, key="{tenant}")])
    await start_worker(concurrency=50)
    # One tenant has very many, and the others come after it.
    jobs = await client.enqueue_many(limited.call(str(number), "big") for number in range(200))
    jobs += await client.enqueue_many(limited.call(tenant, tenant) for tenant in ("a", "b", "c"))
    await eventually(lambda: desk.running == {"big": 2, "a": 1, "b": 1, "c": 1, "": 5})
    assert await client.count("throttled") == 198
    assert await one_limit(client, "tenant", "big") == LimitInfo(
        "tenant", "big", 2, None, None, running=2, started=0, enqueued=0, throttled=198
    )
    desk.open.set()
    await all_done(list(jobs))
    assert desk.most["big"] == 2
    assert [label for label in desk.ran if label.isdigit()] == [str(number) for number in range(200)]


async def test_one_that_waits_takes_no_slot_of_a_worker(
    client: Client, desk: Desk, start_worker: StartWorker
) -> None:
    await start_worker(concurrency=1)
    limited = desk.quick.options(limits=[Limit("rare", rate=1, per=3600)])
    first, second = [await client.enqueue(limited, label) for label in ("first", "second")]
    others = await client.enqueue_many(desk.quick.call(str(number)) for number in range(20))
    await all_done([first, *others])
    assert (await second.refresh()).state is State.THROTTLED
    assert (second.throttled_by, second.attempt) == ("rare", 0)
    assert "second" not in desk.ran


async def test_a_rate_holds_in_any_span_of_its_time(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(limits=[Limit("api", rate=5, per=0.3)])
    async def call(number: int) -> None: ...

    for _ in range(2):
        await start_worker()
    jobs = await client.enqueue_many(call.call(number) for number in range(16))
    await all_done(list(jobs))
    started = sorted([(await job.refresh()).started_at for job in jobs])  # type: ignore[type-var]
    for first, sixth in zip(started, started[5:], strict=False):
        assert first is not None
        assert sixth is not None
        assert sixth - first >= timedelta(seconds=0.3)
    # Nobody looks again and again: a window's opening is a time that a worker wakes up at.
    assert started[-1] is not None
    assert started[0] is not None
    assert started[-1] - started[0] < timedelta(seconds=10)


async def test_with_a_mutex_one_runs_at_a_time(
    client: Client, desk: Desk, registry: Registry, start_worker: StartWorker
) -> None:
    other = registry.job(name="other", mutex="account:{tenant}")(desk.quick.fn)
    exclusive = desk.work.options(mutex="account:{tenant}")
    await start_worker()
    first = await client.enqueue(exclusive, "first", "ada")
    await reaches(first, State.PROCESSING)
    second = await client.enqueue(other, "second", "ada")
    elsewhere = await client.enqueue(other, "elsewhere", "bob")
    await elsewhere.result(timeout=10)
    assert (await second.refresh()).throttled_by == "mutex:account:ada"
    assert second.limits == ("mutex:account:ada",)
    desk.open.set()
    await all_done([first, second])
    assert desk.ran == ["first", "elsewhere", "second"]


@pytest.mark.parametrize("client", [1], indirect=True)
async def test_all_of_its_limits_or_none(client: Client, desk: Desk, start_worker: StartWorker) -> None:
    few, many = Limit("few", 1, key="{tenant}"), Limit("many", 3)
    both = desk.work.options(limits=[few, many])
    alone = desk.work.options(limits=[many])
    await start_worker()
    jobs = [await client.enqueue(both, f"a{number}", "a") for number in range(3)]
    await eventually(lambda: desk.ran == ["a0"])
    # Those that wait for the one hold nothing of the other.
    jobs += [await client.enqueue(alone, f"b{number}", "b") for number in range(2)]
    await eventually(lambda: desk.running[""] == 3)
    jobs.append(await client.enqueue(both, "c", "c"))
    last = await jobs[-1].refresh()
    assert (last.throttled_by, last.limits) == ("many", ("few:c", "many"))
    assert (await jobs[1].refresh()).throttled_by == "few:a"
    desk.open.set()
    await all_done(list(jobs))
    assert (desk.most["a"], desk.most[""]) == (1, 3)


async def test_they_wait_by_priority_and_in_order(
    client: Client, desk: Desk, start_worker: StartWorker
) -> None:
    limited = desk.work.options(mutex="all")
    holder = await client.enqueue(limited, "holder")
    await start_worker()
    await reaches(holder, State.PROCESSING)
    jobs = [
        await client.enqueue(limited.options(priority=priority), f"{priority}{place}")
        for place in "ab"
        for priority in (0, 5, -5)
    ]
    assert await client.count("throttled") == 6
    desk.open.set()
    await all_done([holder, *jobs])
    assert desk.ran == ["holder", "5a", "5b", "0a", "0b", "-5a", "-5b"]


async def test_over_several_queues_no_more_run_than_in_one(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    running: list[str] = []
    most: list[int] = []

    @registry.job(limits=[Limit("database", 2)])
    async def query(label: str) -> None:
        running.append(label)
        most.append(len(running))
        await asyncio.sleep(0.005)
        running.remove(label)

    queues = [f"queue{number}" for number in range(4)]
    jobs = await client.enqueue_many(
        query.options(queue=queue).call(f"{queue} {number}") for number in range(20) for queue in queues
    )
    assert await client.count("enqueued") == 8, "each queue has as many as may run"
    for _ in range(2):
        await start_worker(queues=queues)
    await all_done(list(jobs))
    assert max(most) == 2


async def test_a_paused_queue_holds_up_no_other(
    client: Client, desk: Desk, start_worker: StartWorker
) -> None:
    limited = desk.quick.options(mutex="all")
    await client.pause("slow")
    waiting = await client.enqueue(limited.options(queue="slow"), "slow")
    await start_worker(queues=["slow", "default"])
    assert await (await client.enqueue(limited, "other")).result(timeout=10) == "other"
    assert (await waiting.refresh()).state is State.ENQUEUED
    await client.resume("slow")
    assert await waiting.result(timeout=10) == "slow"


async def test_a_retry_and_a_snooze_hold_nothing_while_they_wait(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(mutex="all", retry=Retry(max_retries=1, delay=3600))
    async def fail() -> None:
        raise ValueError("no")

    @registry.job(mutex="all")
    async def quick() -> str:
        return "done"

    await start_worker()
    failing = await client.enqueue(fail)
    await reaches(failing, State.RETRYING)
    assert await (await client.enqueue(quick)).result(timeout=10) == "done"
    await failing.run_now()
    await reaches(failing, State.FAILED)
    assert await one_limit(client, "mutex", "all") is None


async def test_numbers_that_are_changed_count_at_once(
    client: Client, desk: Desk, start_worker: StartWorker
) -> None:
    limited = desk.work.options(limits=[Limit("database", 1)])
    await start_worker()
    jobs = await client.enqueue_many(limited.call(str(number)) for number in range(10))
    await eventually(lambda: desk.running[""] == 1)
    await client.limits.set("database", concurrency=4)
    await eventually(lambda: desk.running[""] == 4)
    info = await one_limit(client, "database")
    assert info is not None
    assert (info.concurrency, info.running, info.throttled) == (4, 4, 6)
    await client.limits.reset("database")
    assert desk.running[""] == 4, "none is stopped"
    desk.open.set()
    await all_done(list(jobs))
    assert desk.most[""] == 4
    assert desk.ran == [str(number) for number in range(10)]


async def test_cancelling_one_that_runs_lets_the_next_one_run(
    client: Client, desk: Desk, start_worker: StartWorker
) -> None:
    limited = desk.work.options(mutex="all")
    await start_worker()
    first, second, third, fourth = [await client.enqueue(limited, label) for label in "abcd"]
    await reaches(first, State.PROCESSING)
    assert await second.cancel()
    await third.delete()
    assert await first.cancel()
    await reaches(fourth, State.PROCESSING)
    assert (await second.refresh()).state is State.CANCELLED
    desk.open.set()
    await fourth.result(timeout=10)
    assert desk.ran == ["a", "d"]


async def test_delayed_ones_and_continuations_are_throttled_when_their_time_comes(
    client: Client, desk: Desk, start_worker: StartWorker
) -> None:
    limited = desk.work.options(mutex="all")
    await start_worker()
    holder = await client.enqueue(limited, "holder")
    await reaches(holder, State.PROCESSING)
    before = await client.enqueue(desk.quick, "before")
    later = await client.enqueue_in(0.05, limited, "later")
    after = await client.continue_with(before, limited, before.output)
    assert (later.state, after.state) == (State.SCHEDULED, State.AWAITING)
    await reaches(later, State.THROTTLED)
    await reaches(after, State.THROTTLED)
    desk.open.set()
    assert await later.result(timeout=10) == "later"
    assert await after.result(timeout=10) == "before"


async def test_a_worker_that_is_to_do_what_there_is_waits_for_them(
    client: Client, desk: Desk, start_worker: StartWorker
) -> None:
    limited = desk.quick.options(limits=[Limit("api", rate=2, per=0.3)])
    jobs = await client.enqueue_many(limited.call(str(number)) for number in range(5))
    worker = await start_worker()
    assert await worker.until_empty() == 0
    assert [(await job.refresh()).state for job in jobs] == [State.SUCCEEDED] * 5


@pytest.mark.parametrize("client", [1], indirect=True)
async def test_in_a_batch(client: Client, desk: Desk, start_worker: StartWorker) -> None:
    limited = desk.work.options(limits=[Limit("database", 2)])
    await start_worker()
    async with client.batch() as batch:
        jobs = batch.enqueue_many(limited.call(str(number)) for number in range(6))
    await eventually(lambda: desk.running[""] == 2)
    assert await client.count("throttled") == 4
    await client.batch_of(batch.id).cancel()
    done = await client.batch_of(batch.id).wait(timeout=10)
    assert (done.state, done.cancelled) == ("cancelled", 6)
    assert await client.count("throttled") == 0
    assert {(await job.refresh()).state for job in jobs} == {State.CANCELLED}


@pytest.mark.parametrize("client", [SHARDS], indirect=True)
async def test_what_cannot_be_on_one_shard_is_refused(client: Client, desk: Desk) -> None:
    assert shard_for(FIRST, SHARDS) != shard_for(SECOND, SHARDS)
    first, second = Limit(FIRST, 1), Limit(SECOND, 1)
    refused = [
        {"limits": [first, second]},
        {"limits": [first], "mutex": "a"},
        {"limits": [first], "unique": "a"},
        {"mutex": "a", "unique": "a"},
        {"mutex": "a", "job_id": "a"},
    ]
    for options in refused:
        with pytest.raises(
            OptionError, match=r"work can't be created in a namespace of 3 shards, where .* and "
        ):
            await client.enqueue(desk.work.options(**options), "x")  # type: ignore[arg-type]
    for _ in range(SHARDS):
        async with client.batch() as batch:
            with pytest.raises(
                OptionError, match=f"limit '{FIRST}' and its batch needn't be on the same one"
            ):
                batch.enqueue(desk.work.options(limits=[first]), "x")
    with pytest.raises(OptionError, match="this chain can't be created in a namespace of 3 shards"):
        await client.chain(*(desk.work.options(limits=[limit]).call("x") for limit in (first, second)))
    assert sum((await client.stats()).counts.values()) == 0


@pytest.mark.parametrize("client", [SHARDS], indirect=True)
async def test_what_is_on_one_shard_works(client: Client, desk: Desk, start_worker: StartWorker) -> None:
    names = [f"limit{number}" for number in range(20)]
    together = [name for name in names if shard_for(name, SHARDS) == shard_for(names[0], SHARDS)][:3]
    limited = desk.quick.options(limits=[Limit(name, 1) for name in together])
    jobs = await client.enqueue_many(limited.call(str(number)) for number in range(10))
    assert {shard_of(job.id, SHARDS) for job in jobs} == {shard_for(together[0], SHARDS)}
    jobs += await client.chain(limited.call("10"), desk.quick.call("11"), limited.call("12"))
    # A parent may be on another shard.
    parent = await client.enqueue(desk.quick.options(mutex="elsewhere"), "13")
    jobs += [parent, await client.continue_with(parent, limited, "14")]
    await start_worker()
    await all_done(list(jobs))
    assert desk.ran.index("10") < desk.ran.index("11") < desk.ran.index("12")
    assert desk.ran.index("13") < desk.ran.index("14")


def test_from_code_that_is_not_async(redis_url: str) -> None:
    registry = Registry()
    desk = Desk(registry)
    limited = desk.work.options(limits=[Limit("database", 1)])
    with SyncClient(redis_url, registry=registry) as client:
        assert client.limits.list() == []
        jobs = [client.enqueue(limited, label) for label in "abc"]
        assert client.count("throttled") == client.limits.list()[0].throttled == 2
        client.limits.set("database", concurrency=2)
        assert client.limits.numbers()[0].by_hand
        client.limits.reset("database")
        assert (client.limits.count(), client.limits.numbers()[0].concurrency) == (1, 1)
        with pytest.raises(OptionError, match="did you mean database"):
            client.limits.reset("databse")
        assert all(job.cancel() for job in jobs)
        assert client.limits.list() == []
