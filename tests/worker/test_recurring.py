"""Recurring jobs fired on a real server: by whole workers, and step by step at a time that is moved."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from asyncjobs import Client, Registry
from asyncjobs.ids import occurrence_id
from asyncjobs.recurring import RecurringJob
from asyncjobs.storage.base import ORPHAN_MS, NewRecurring, State, Storage
from asyncjobs.storage.conformance import MovableClock
from asyncjobs.storage.redis import RedisStorage
from asyncjobs.worker.recurring import BACKSTOP, DUE_LIMIT, Recurring
from tests.servers import Server
from tests.waiting import eventually
from tests.worker.conftest import StartWorker

MINUTE = 60_000
STEP = 250
"""Milliseconds between two occurrences of what recurs while a test waits for it."""


async def one(client: Client, recurring_id: str) -> RecurringJob:
    found = await client.recurring.get(recurring_id)
    assert found is not None
    return found


async def fired(client: Client, recurring_id: str, count: int) -> RecurringJob:
    """Wait until it was fired so many times."""

    async def enough() -> RecurringJob | None:
        found = await client.recurring.get(recurring_id)
        return found if found is not None and found.fired >= count else None

    found = await eventually(enough, 20, because=f"{recurring_id} was fired {count} times")
    assert found is not None
    return found


# -- whole workers --


async def test_a_declared_job_runs_at_each_of_its_times(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    # A machine that is too busy to fire in time has it made up for all.
    @registry.recurring(every=STEP / 1000, id="tick", misfire="all")
    async def tick() -> str:
        return "tock"

    for _ in range(3):
        await start_worker()
    await fired(client, "tick", 8)
    await client.recurring.pause("tick")
    last = await one(client, "tick")
    assert (last.declared, last.last_at is not None, last.missed, last.skipped) == (True, True, 0, 0)

    await eventually(lambda: _all_succeeded(client, last.fired))

    jobs = await client.jobs("succeeded")
    assert last.last_at is not None
    end = round(last.last_at.timestamp() * 1000)
    expected = [occurrence_id("tick", end - back * STEP) for back in range(last.fired)]
    assert {job.id for job in jobs} == set(expected)
    assert all(job.attempt == 1 for job in jobs)
    assert (await one(client, "tick")).last_state is State.SUCCEEDED


async def _all_succeeded(client: Client, count: int) -> bool:
    return await client.count("succeeded") == count


async def test_one_that_a_client_puts_is_fired_by_workers_that_run_already(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def add(a: int, *, b: int) -> int:
        return a + b

    await start_worker()
    await client.recurring.put("sum", timedelta(milliseconds=STEP), add.call(2, b=3))

    found = await fired(client, "sum", 2)

    assert found.last_job is not None
    job = await client.get(found.last_job, add)
    assert job is not None
    assert await job.result(10) == 5
    await client.recurring.remove("sum")


async def test_with_overlap_queued_one_runs_at_a_time_and_none_too_many(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    running: list[int] = []
    most: list[int] = []
    gate = asyncio.Event()

    @registry.job
    async def slow() -> None:
        running.append(1)
        most.append(len(running))
        await gate.wait()
        running.pop()

    await start_worker()
    await start_worker()
    await client.recurring.put("slow", timedelta(milliseconds=STEP), slow.call(), overlap="queue")
    first = await fired(client, "slow", 1)
    await eventually(lambda: _waits(client, "slow"))
    assert (await one(client, "slow")).fired == 1

    gate.set()

    second = await fired(client, "slow", 2)
    assert second.last_at is not None
    assert first.last_at is not None
    await client.recurring.pause("slow")
    await eventually(lambda: not running)
    assert max(most) == 1


async def _waits(client: Client, recurring_id: str) -> bool:
    return (await one(client, recurring_id)).waiting


async def test_a_storage_that_refuses_is_asked_again(
    client: Client,
    registry: Registry,
    server: Server,
    start_worker: StartWorker,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @registry.recurring(every=STEP / 1000, id="tick")
    async def tick() -> None: ...

    server.command("SET", "{asyncjobs}:recurring:next", "something else")
    await start_worker()
    await eventually(lambda: "recurring jobs: " in caplog.text)

    server.command("DEL", "{asyncjobs}:recurring:next", "{asyncjobs}:recurring", "{asyncjobs}:r:tick")

    # It is declared anew, as it is gone.
    await fired(client, "tick", 1)


# -- step by step --


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(1_900_000_000_000 // MINUTE * MINUTE)


@pytest.fixture
async def storage(redis_url: str, clock: MovableClock) -> AsyncIterator[Storage]:
    storage: Any = RedisStorage(redis_url, clock=clock)
    await storage.open()
    yield storage
    await storage.close()


@pytest.fixture
async def still(storage: Storage, registry: Registry) -> AsyncIterator[Client]:
    """A client whose storage's time is moved by the test."""
    async with Client(storage, registry=registry) as client:
        yield client


class Hand:
    """A worker's part for recurring jobs, each step of it by hand."""

    def __init__(self, storage: Storage, schedule: str | None = None, *, id: str = "report") -> None:
        self.registry = Registry()
        if schedule is not None:

            @self.registry.recurring(schedule, id=id, name="report")
            async def report() -> None: ...

        self._storage = storage
        self.start()

    def start(self) -> None:
        """Begin anew, as a worker that is restarted."""
        self._recurring = Recurring(self._storage, 0, self.registry.recurrences(), lambda: "worker")

    async def declare(self) -> None:
        await self._recurring.declare_once()

    async def fire(self) -> int:
        """Look until nothing is due any more; how many were fired."""
        count = 0
        for _ in range(100):
            looked = await self._recurring.fire_once()
            count += looked.fired
            if not looked.again:
                assert 0 <= looked.wait <= BACKSTOP * 1.2
                return count
        raise AssertionError("it never ends")

    async def live(self, clock: MovableClock, minutes: int) -> int:
        """Do for some minutes what a worker does; how many were fired."""
        count = 0
        for _ in range(minutes):
            clock.advance(MINUTE)
            await self.declare()
            count += await self.fire()
        return count


async def test_a_declaration_moves_the_next_time_only_when_it_changes(
    still: Client, storage: Storage, clock: MovableClock
) -> None:
    for _ in range(3):
        await Hand(storage, "0 * * * *").declare()
        first = (await one(still, "report")).next_at
        clock.advance(30 * MINUTE)
    # An hour and a half later what was due first is due still.
    assert first is not None
    assert first.timestamp() * 1000 < clock()

    await Hand(storage, "30 * * * *").declare()

    next_at = (await one(still, "report")).next_at
    assert next_at is not None
    assert next_at.timestamp() * 1000 > clock()


@pytest.mark.parametrize(("misfire", "jobs", "missed"), [("once", 1, 9), ("all", 10, 0), ("skip", 0, 10)])
async def test_what_was_missed_is_told_of_and_made_up_for(
    still: Client,
    registry: Registry,
    storage: Storage,
    clock: MovableClock,
    caplog: pytest.LogCaptureFixture,
    misfire: Any,
    jobs: int,
    missed: int,
) -> None:
    @registry.job
    async def job() -> None: ...

    await still.recurring.put("report", "*/10 * * * *", job.call(), misfire=misfire)
    hand = Hand(storage)
    next_at = (await one(still, "report")).next_at
    assert next_at is not None
    clock.now_ms = round(next_at.timestamp() * 1000) + 95 * MINUTE

    assert await hand.fire() == 1

    found = await one(still, "report")
    assert (found.fired, found.missed, await still.count("enqueued")) == (jobs, missed, jobs)
    assert (f"{missed} missed" in caplog.text) is (missed > 0)
    assert (found.gave_up_at is not None) is (missed > 0)
    assert found.next_at is not None
    assert found.next_at.timestamp() * 1000 == clock() + 5 * MINUTE


async def test_a_skipped_occurrence_is_told_of(
    still: Client, registry: Registry, storage: Storage, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    @registry.job
    async def job() -> None: ...

    await still.recurring.put("report", "* * * * *", job.call(), overlap="skip")
    hand = Hand(storage)

    assert await hand.live(clock, 3) == 1

    found = await one(still, "report")
    assert (found.fired, found.skipped, await still.count("enqueued")) == (1, 2, 1)
    assert caplog.text.count("is skipped, as its last job hasn't ended") == 2


async def test_old_and_new_workers_side_by_side_change_nothing_back_and_forth(
    still: Client, storage: Storage, clock: MovableClock
) -> None:
    old = Hand(storage, "0 9 * * *")
    await old.declare()
    new = Hand(storage, "0 10 * * *")
    await new.declare()
    changed = (await one(still, "report")).schedule
    assert str(changed) == "0 10 * * *"

    for _ in range(10):
        await old.live(clock, 1)
        await new.live(clock, 1)
        assert (await one(still, "report")).schedule == changed

    # An old one that starts again has its own declaration stand, until the last old one is gone.
    old.start()
    await old.declare()
    assert str((await one(still, "report")).schedule) == "0 9 * * *"
    await new.live(clock, ORPHAN_MS // MINUTE - 1)
    assert str((await one(still, "report")).schedule) == "0 9 * * *"
    await new.live(clock, 3)
    assert (await one(still, "report")).schedule == changed


async def test_what_the_new_code_does_not_declare_is_orphaned_after_the_last_old_worker(
    still: Client, storage: Storage, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = Hand(storage, "* * * * *"), Hand(storage, "* * * * *", id="other")
    await old.declare()
    for _ in range(10):
        assert await old.live(clock, 1) + await new.live(clock, 1) >= 2
        assert not (await one(still, "report")).orphaned

    # From now on only the new one lives.
    await new.live(clock, ORPHAN_MS // MINUTE - 1)
    before = await one(still, "report")
    assert not before.orphaned
    await new.live(clock, 2)
    found = await one(still, "report")
    assert (found.orphaned, found.next_at, found.declared) == (True, None, True)
    assert "report is orphaned" in caplog.text
    assert found.fired == before.fired
    await new.live(clock, 10)
    assert await one(still, "report") == found

    # The old version comes back: it goes on from then, without making up for what it wasn't declared for.
    old.start()
    await old.declare()
    assert not (await one(still, "report")).orphaned
    await old.live(clock, 1)
    back = await one(still, "report")
    assert (back.fired, back.missed) == (found.fired + 1, found.missed)


async def test_after_an_outage_of_all_workers_nothing_is_orphaned(
    still: Client, storage: Storage, clock: MovableClock
) -> None:
    await (old := Hand(storage, "*/10 * * * *")).live(clock, 1)
    clock.advance(180 * MINUTE)
    # It doesn't know the job, and comes first.
    new = Hand(storage, "0 0 1 1 *", id="other")
    await new.declare()
    assert await new.fire() == 1
    await new.live(clock, 3)
    await old.live(clock, 1)

    found = await one(still, "report")
    assert (found.orphaned, found.fired > 0, found.missed >= 16) == (False, True, True)


async def test_what_a_client_has_put_is_not_taken_by_the_code(
    still: Client, registry: Registry, storage: Storage, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    @registry.job
    async def job() -> None: ...

    await still.recurring.put("report", "@daily", job.call())
    hand = Hand(storage, "@hourly")
    await hand.live(clock, 3)

    found = await one(still, "report")
    assert (found.name, found.declared) == (job.name, False)
    assert caplog.text.count("a client has put one of that id") == 1
    # Once that is removed, the declared one takes its place.
    await still.recurring.remove("report")
    await hand.declare()
    assert (await one(still, "report")).declared


async def test_one_that_can_not_be_read_is_told_of_once_and_holds_up_no_other(
    still: Client, registry: Registry, storage: Storage, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    @registry.job
    async def job() -> None: ...

    await storage.put_recurring(NewRecurring("newer", b"\xc1", "revision", "timing"), clock() + 1)
    await still.recurring.put("report", "* * * * *", job.call())
    hand = Hand(storage)

    assert await hand.live(clock, 3) == 3

    assert caplog.text.count("recurring job newer is due, but") == 1
    assert (await one(still, "newer")).next_at is not None


async def test_many_that_can_not_be_read_hold_up_no_other(
    still: Client, registry: Registry, storage: Storage, clock: MovableClock, caplog: pytest.LogCaptureFixture
) -> None:
    @registry.job
    async def job() -> None: ...

    newer = 2 * DUE_LIMIT
    for number in range(newer):
        await storage.put_recurring(
            NewRecurring(f"newer{number}", b"\xc1", "revision", "timing"), clock() + 1
        )
    for number in range(DUE_LIMIT + 1):
        await still.recurring.put(f"report{number}", "* * * * *", job.call())
    hand = Hand(storage)

    assert await hand.live(clock, 3) == 3 * (DUE_LIMIT + 1)

    assert caplog.text.count("is due, but") == newer


async def test_a_record_that_makes_no_sense_holds_up_no_other(
    still: Client,
    registry: Registry,
    storage: Storage,
    clock: MovableClock,
    server: Server,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @registry.job
    async def job() -> None: ...

    for broken in ("gone", "list", "text"):
        await still.recurring.put(broken, "* * * * *", job.call())
    await still.recurring.put("report", "* * * * *", job.call())
    server.command("DEL", "{asyncjobs}:r:gone", "{asyncjobs}:r:list")
    server.command("RPUSH", "{asyncjobs}:r:list", "something else")
    server.command("HSET", "{asyncjobs}:r:text", "n", "soon")
    hand = Hand(storage)

    assert await hand.live(clock, 2) == 2

    assert caplog.text.count("its record makes no sense") == 3


async def test_a_queue_that_can_take_no_jobs_costs_occurrences_and_is_told_of(
    still: Client,
    registry: Registry,
    storage: Storage,
    clock: MovableClock,
    server: Server,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @registry.job(queue="broken")
    async def job() -> None: ...

    await still.recurring.put("report", "* * * * *", job.call())
    server.command("SET", "{asyncjobs}:q:broken", "something else")
    hand = Hand(storage)

    assert await hand.live(clock, 2) == 0

    found = await one(still, "report")
    assert (found.fired, found.refused, found.last_job) == (0, 2, None)
    assert "queue broken can't take jobs" in caplog.text
    assert server.command("KEYS", "*:j:*") == []
    server.command("DEL", "{asyncjobs}:q:broken")
    assert await hand.live(clock, 1) == 1


async def test_what_many_fire_at_once_is_fired_once(
    still: Client, registry: Registry, storage: Storage, clock: MovableClock
) -> None:
    @registry.job
    async def job() -> None: ...

    for number in range(20):
        await still.recurring.put(f"report{number}", "* * * * *", job.call(), misfire="all")
    hands = [Hand(storage) for _ in range(10)]
    clock.advance(3 * MINUTE)

    await asyncio.gather(*(hand.fire() for hand in hands))

    found = await still.recurring.list()
    assert [(job.fired, job.missed) for job in found] == [(3, 0)] * 20
    assert await still.count("enqueued") == 60


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "asyncjobs")
