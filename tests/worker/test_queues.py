"""In which order jobs run: queues strictly or by weight, priorities, pausing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest

from asyncjobs import Client, Registry, State
from asyncjobs.errors import OptionError
from asyncjobs.registry import Definition
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker.conftest import StartWorker

ran: list[str] = []


@pytest.fixture
def note(registry: Registry) -> Definition[[str], None]:
    """A job that writes its label down."""
    ran.clear()

    @registry.job
    async def note(label: str) -> None:
        ran.append(label)

    return note


@pytest.fixture
def drained(client: Client) -> Callable[[], object]:
    async def drained() -> bool:
        return await client.count("enqueued") == await client.count("processing") == 0

    return drained


async def all_run(client: Client, expected: int) -> None:
    await eventually(lambda: len(ran) == expected, because=f"{expected} jobs have run")


async def test_a_queue_is_first_in_first_out(
    client: Client, note: Definition[[str], None], start_worker: StartWorker
) -> None:
    await client.enqueue_many(note.call(str(n)) for n in range(100))
    await start_worker(concurrency=1)
    await all_run(client, 100)
    assert ran == [str(n) for n in range(100)]


async def test_a_list_of_queues_is_emptied_in_its_order(
    client: Client, note: Definition[[str], None], start_worker: StartWorker
) -> None:
    for queue in ("low", "critical", "default"):
        for n in range(5):
            await client.enqueue(note.options(queue=queue), f"{queue} {n}")
    await start_worker(queues=["critical", "default", "low"], concurrency=2)
    await all_run(client, 15)
    assert ran == [f"{queue} {n}" for queue in ("critical", "default", "low") for n in range(5)]


async def test_what_is_more_urgent_goes_first_even_if_it_comes_later(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    order: list[str] = []
    go = asyncio.Event()

    @registry.job
    async def step(label: str) -> None:
        order.append(label)
        if label == "first":
            await asyncio.wait_for(go.wait(), 10)

    await client.enqueue(step.options(queue="low"), "first")
    await client.enqueue(step.options(queue="low"), "last")
    await start_worker(queues=["critical", "low"], concurrency=1)
    await eventually(lambda: order == ["first"])
    urgent = await client.enqueue(step.options(queue="critical"), "urgent")
    go.set()
    await urgent.result(timeout=10)
    await eventually(lambda: order == ["first", "urgent", "last"])


async def test_by_weight_each_queue_has_its_share_and_none_starves(
    client: Client, note: Definition[[str], None], start_worker: StartWorker
) -> None:
    for queue in ("heavy", "light"):
        await client.enqueue_many(note.options(queue=queue).call(queue) for _ in range(400))
    await start_worker(queues={"heavy": 4, "light": 1}, concurrency=1)
    await eventually(lambda: len(ran) >= 300)
    shares = Counter(ran[:300])
    # 240 and 60 on average; these bounds are more than six standard deviations away.
    assert 195 < shares["heavy"] < 285
    await all_run(client, 800)


async def test_higher_priorities_run_first_and_equal_ones_in_order(
    client: Client, note: Definition[[str], None], start_worker: StartWorker
) -> None:
    for priority in (0, -5, 10, 0, 500, 10, -500, 1):
        await client.enqueue(note.options(priority=priority), f"{priority}")
    await client.enqueue(note.options(priority=10), "10 again")
    await start_worker(concurrency=1)
    await all_run(client, 9)
    assert ran == ["500", "10", "10", "10 again", "1", "0", "0", "-5", "-500"]


async def test_a_priority_counts_inside_its_queue_only(
    client: Client, note: Definition[[str], None], start_worker: StartWorker
) -> None:
    await client.enqueue(note.options(queue="second", priority=500), "second")
    await client.enqueue(note.options(queue="first", priority=-500), "first")
    await start_worker(queues=["first", "second"], concurrency=1)
    await all_run(client, 2)
    assert ran == ["first", "second"]


async def test_only_the_queues_it_was_given_are_served(
    client: Client, note: Definition[[str], None], start_worker: StartWorker
) -> None:
    other = await client.enqueue(note.options(queue="other"), "other")
    mine = await client.enqueue(note.options(queue="mine"), "mine")
    worker = await start_worker(queues=["mine"])
    assert worker.queues == ("mine",)
    await mine.result(timeout=10)
    assert (await other.refresh()).state is State.ENQUEUED


async def test_without_any_it_serves_those_of_its_definitions(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(queue="mail")
    async def send() -> None: ...

    @registry.job(queue="bulk")
    async def resize() -> None: ...

    worker = await start_worker()
    assert worker.queues == ("bulk", "default", "mail")
    await (await client.enqueue(send)).result(timeout=10)
    await (await client.enqueue(resize)).result(timeout=10)


class TestPausing:
    async def test_nothing_of_a_paused_queue_starts_until_it_is_resumed(
        self, client: Client, note: Definition[[str], None], start_worker: StartWorker
    ) -> None:
        await start_worker(queues=["default", "other"])
        await client.pause("default")
        held = [await client.enqueue(note, "held"), await client.enqueue_in(0.05, note, "held and due")]
        other = await client.enqueue(note.options(queue="other"), "other")
        await other.result(timeout=10)
        await reaches(held[1], State.ENQUEUED)
        assert ran == ["other"]
        paused = {queue.name: (queue.paused, queue.length) for queue in await client.queues()}
        assert paused == {"default": (True, 2), "other": (False, 0)}
        await client.resume("default")
        for job in held:
            await job.result(timeout=10)
        assert [queue.paused for queue in await client.queues()] == [False, False]

    async def test_what_runs_goes_on(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        release = asyncio.Event()

        @registry.job
        async def hold() -> str:
            await asyncio.wait_for(release.wait(), 10)
            return "done"

        await start_worker()
        job = await reaches(await client.enqueue(hold), State.PROCESSING)
        await client.pause("default")
        release.set()
        assert await job.result(timeout=10) == "done"

    async def test_it_holds_for_workers_that_start_later(
        self, client: Client, note: Definition[[str], None], start_worker: StartWorker
    ) -> None:
        await client.pause("default")
        job = await client.enqueue(note, "held")
        await start_worker(queues=["default", "other"])
        await (await client.enqueue(note.options(queue="other"), "other")).result(timeout=10)
        assert (await job.refresh()).state is State.ENQUEUED
        await client.resume("default")
        await job.result(timeout=10)

    async def test_names_that_no_queue_can_have_are_refused(self, client: Client) -> None:
        with pytest.raises(OptionError, match="queue name"):
            await client.pause("two words")
        with pytest.raises(OptionError, match="queue name"):
            await client.resume("")


async def test_latency_is_the_age_of_the_oldest_job(
    client: Client, note: Definition[[str], None], start_worker: StartWorker
) -> None:
    await client.enqueue(note, "old")

    async def aged() -> bool:
        (queue,) = await client.queues()
        assert queue.latency is not None
        return queue.latency >= timedelta(milliseconds=50)

    await eventually(aged)
    await start_worker()
    await all_run(client, 1)
    (queue,) = await client.queues()
    assert queue.latency is None
