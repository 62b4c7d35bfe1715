"""Recurring jobs: put, declared, found due, fired, paused, triggered, removed."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

from typing import Any

import pytest

from asyncjobs.ids import occurrence_id, shard_for, shard_of
from asyncjobs.storage.base import (
    ORPHAN_MS,
    DueReply,
    Fired,
    Firing,
    NewJob,
    NewRecurring,
    Outcome,
    Put,
    RecurringRecord,
    Renewed,
    State,
)
from asyncjobs.storage.conformance.scene import Scene

ID = "nightly"
HOUR = 3_600_000


class Recurring:
    """A recurring job, acted on by hand; it occurs every hour."""

    def __init__(self, scene: Scene, recurring_id: str = ID, **job: Any) -> None:
        self.scene = scene
        self.storage = scene.storage
        self.id = recurring_id
        self.shard = shard_for(recurring_id, scene.storage.shards)
        scene.shard = self.shard
        self.job: dict[str, Any] = {"name": "module.function", "queue": "default"} | job
        self.next = scene.clock() + HOUR

    def new(self, text: str = "one", **details: Any) -> NewRecurring:
        """What it is put as; `text` stands for its definition."""
        values: dict[str, Any] = {"revision": text, "timing": "hourly", "declared": False}
        return NewRecurring(self.id, text.encode(), **(values | details))

    async def put(self, text: str = "one", next_ms: int | None = -1, **details: Any) -> Put:
        """Put it; it occurs in an hour if nothing else is said."""
        at = self.scene.clock() + HOUR if next_ms == -1 else next_ms
        put = await self.storage.put_recurring(self.new(text, **details), at)
        if put is Put.MOVED and at is not None:
            self.next = at
        return put

    async def renew(self, revision: str = "one", *, starting: bool = False) -> Renewed:
        """Have a worker declare it."""
        now, codes = await self.storage.renew_recurring(self.shard, [(self.id, revision)], starting=starting)
        assert now == self.scene.clock()
        (code,) = codes
        return code

    async def due(self, worker: str = "worker", limit: int = 10) -> DueReply:
        """Look for what is due on its shard."""
        return await self.storage.due_recurring(self.shard, worker, limit)

    def occurrence(self, ms: int | None = None) -> NewJob:
        """The job of an occurrence; of the next one if nothing else is said."""
        at = self.next if ms is None else ms
        return NewJob(occurrence_id(self.id, at, self.shard), **self.job)

    async def fire(self, *jobs: NewJob, **details: Any) -> Fired:
        """Fire what is due: the job of the next time if nothing else is said; the one after is in an hour."""
        values: dict[str, Any] = {
            "revision": "one",
            "expected_ms": self.next,
            "next_ms": self.next + HOUR,
            "jobs": jobs or (self.occurrence(),),
            "last_ms": self.next,
        }
        firing = Firing(self.id, **(values | details))
        fired = await self.storage.fire_recurring(firing)
        if fired not in (Fired.LOST, Fired.WAITS) and firing.next_ms is not None:
            self.next = firing.next_ms
        return fired

    async def come(self) -> int:
        """Let its next time come."""
        self.scene.clock.now_ms = max(self.scene.clock(), self.next)
        return self.scene.clock()

    async def record(self) -> RecurringRecord:
        """It, as it is stored."""
        record = await self.storage.get_recurring(self.id)
        assert record is not None
        return record

    async def silence(self) -> None:
        """Let as much time go by as orphans a declaration, while workers look, but none declares it."""
        for _ in range(ORPHAN_MS // 60_000):
            self.scene.clock.advance(60_000)
            await self.due()
        self.scene.clock.advance(1)


class RecurringTests:
    """The verbs of `RecurringStorage`."""

    @pytest.fixture
    def nightly(self, scene: Scene) -> Recurring:
        """A recurring job that isn't put yet."""
        return Recurring(scene)

    async def test_the_time_is_the_storages(self, scene: Scene) -> None:
        for shard in range(scene.storage.shards):
            assert await scene.storage.time_ms(shard) == scene.clock()

    # -- putting --

    async def test_a_recurring_job_reads_back_as_it_was_put(self, nightly: Recurring) -> None:
        assert await nightly.put("\u00e9one") is Put.MOVED

        assert await nightly.record() == RecurringRecord(
            id=ID,
            definition="\u00e9one".encode(),
            revision="\u00e9one",
            next_ms=nightly.next,
            created_ms=nightly.scene.clock(),
        )
        assert await nightly.storage.get_recurring("another") is None

    async def test_the_next_time_moves_only_if_the_schedule_does(self, nightly: Recurring) -> None:
        await nightly.put()
        first = nightly.next
        nightly.scene.clock.advance(1_000)

        assert await nightly.put("two") is Put.KEPT
        record = await nightly.record()
        assert (record.definition, record.revision, record.next_ms) == (b"two", "two", first)

        assert await nightly.put("three", timing="daily") is Put.MOVED
        record = await nightly.record()
        assert (record.next_ms, record.created_ms) == (first + 1_000, nightly.scene.clock() - 1_000)

    async def test_the_next_time_stays_even_if_it_is_past(self, nightly: Recurring) -> None:
        await nightly.put()
        first = nightly.next
        nightly.scene.clock.advance(2 * HOUR)

        assert await nightly.put() is Put.KEPT

        assert (await nightly.record()).next_ms == first
        assert [due.next_ms for due in (await nightly.due()).due] == [first]

    async def test_one_without_a_next_time_never_is_due(self, nightly: Recurring) -> None:
        assert await nightly.put(next_ms=None) is Put.MOVED
        nightly.scene.clock.advance(10 * HOUR)

        reply = await nightly.due()
        assert (reply.due, reply.next_ms, reply.more) == ([], None, False)
        assert (await nightly.record()).next_ms is None

    async def test_they_are_listed_by_their_next_time(self, scene: Scene) -> None:
        now = scene.clock()
        for name, next_ms in (("b", now + 5), ("a", now + 5), ("never", None), ("c", now + 1)):
            await Recurring(scene, name).put(next_ms=next_ms)

        page = await scene.storage.recurring()
        assert [record.id for record in page.recurring] == ["c", "a", "b", "never"]
        assert page.total == 4
        page = await scene.storage.recurring(offset=1, limit=2)
        assert [record.id for record in page.recurring] == ["a", "b"]
        assert page.total == 4
        assert (await scene.storage.recurring(offset=4)).recurring == []

    # -- finding what is due --

    async def test_it_is_due_from_its_time_on(self, nightly: Recurring) -> None:
        await nightly.put()
        nightly.scene.clock.advance(HOUR - 1)
        reply = await nightly.due()
        assert (reply.now_ms, reply.due, reply.next_ms) == (nightly.scene.clock(), [], nightly.next)

        nightly.scene.clock.advance(1)
        reply = await nightly.due()
        (due,) = reply.due
        assert (due.id, due.definition, due.revision, due.next_ms) == (ID, b"one", "one", nightly.next)
        assert (due.waiting, reply.next_ms, reply.more) == (False, None, False)

    async def test_a_look_finds_the_earliest_up_to_a_limit(self, scene: Scene) -> None:
        names = [f"job{number}" for number in range(60)]
        by_shard: dict[int, list[str]] = {}
        for at, name in enumerate(names):
            await Recurring(scene, name).put(next_ms=scene.clock() + at)
            by_shard.setdefault(shard_for(name, scene.storage.shards), []).append(name)
        later = scene.clock.advance(1_000) + 7
        for shard, own in by_shard.items():
            other = next(n for n in map(str, range(99)) if shard_for(n, scene.storage.shards) == shard)
            await Recurring(scene, other).put(next_ms=later)

            reply = await scene.storage.due_recurring(shard, "worker", 5)
            assert [due.id for due in reply.due] == own[:5]
            assert (reply.more, reply.next_ms) == (True, later)

    async def test_a_look_can_pass_over_the_earliest(self, scene: Scene) -> None:
        names: list[str] = []
        for number in range(60):
            if shard_for(name := f"job{number}", scene.storage.shards) == 0:
                await Recurring(scene, name).put(next_ms=scene.clock() + number)
                names.append(name)
        scene.clock.advance(100)

        for offset in (0, 3, len(names) - 2, len(names)):
            for _ in range(2):
                reply = await scene.storage.due_recurring(0, "worker", 3, offset)
                assert [due.id for due in reply.due] == names[offset : offset + 3]
                assert reply.more is (offset <= 3)

    async def test_one_worker_claims_the_next_time(self, nightly: Recurring) -> None:
        await nightly.put()
        first, second = await nightly.scene.worker(), await nightly.scene.worker()

        assert (await nightly.due(first.id)).claimed
        assert not (await nightly.due(second.id)).claimed
        assert (await nightly.due(first.id)).claimed

        await nightly.storage.unregister(nightly.shard, first.id)
        assert (await nightly.due(second.id)).claimed

    # -- firing --

    async def test_firing_makes_the_job_and_moves_the_next_time(self, nightly: Recurring) -> None:
        nightly.job |= {"queue": "mail", "payload": b"x" * 100, "options": b"\1", "max_recoveries": 7}
        await nightly.put()
        at, now = nightly.next, await nightly.come()
        job = nightly.occurrence()

        assert await nightly.fire() is Fired.FIRED

        record = await nightly.record()
        assert (record.next_ms, record.last_ms, record.fired_ms) == (at + HOUR, at, now)
        assert (record.last_job, record.last_state, record.fired) == (job.id, State.ENQUEUED, 1)
        made = await nightly.scene.record(job.id)
        assert (made.state, made.queue, made.name) == (State.ENQUEUED, "mail", "module.function")
        assert (made.payload, made.options, made.created_ms) == (b"x" * 100, b"\1", now)
        assert (await nightly.due()).due == []
        assert await nightly.scene.take_marker("mail") == "mail"
        worker = await nightly.scene.worker()
        grant = await worker.take_one("mail")
        assert (grant.id, grant.payload) == (job.id, b"x" * 100)
        assert shard_of(job.id, nightly.storage.shards) == nightly.shard

    async def test_an_occurrence_is_fired_once(self, nightly: Recurring) -> None:
        await nightly.put()
        at = nightly.next
        await nightly.come()
        assert await nightly.fire() is Fired.FIRED
        before = await nightly.record()

        again = await nightly.fire(nightly.occurrence(at), expected_ms=at, next_ms=at + 9 * HOUR)

        assert again is Fired.LOST
        assert await nightly.record() == before
        assert await nightly.scene.listed(State.ENQUEUED) == [before.last_job]

    async def test_one_that_has_changed_meanwhile_is_not_fired(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.put("two")

        assert await nightly.fire() is Fired.LOST
        assert await nightly.fire(revision="two") is Fired.FIRED

    async def test_one_that_is_gone_is_not_fired(self, nightly: Recurring) -> None:
        assert await nightly.fire() is Fired.LOST
        assert await nightly.scene.listed(State.ENQUEUED) == []

    async def test_an_occurrence_whose_job_exists_is_not_run_again(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.come()
        job = nightly.occurrence()
        await nightly.storage.create([job])
        worker = await nightly.scene.worker()
        assert await worker.run(Outcome.SUCCEEDED) == job.id

        assert await nightly.fire() is Fired.FIRED

        assert await nightly.scene.state(job.id) is State.SUCCEEDED
        assert await worker.take() == []

    async def test_several_occurrences_are_fired_together(self, nightly: Recurring) -> None:
        await nightly.put()
        first = nightly.next
        nightly.scene.clock.advance(3 * HOUR)
        jobs = [nightly.occurrence(first + HOUR * n) for n in range(3)]

        fired = await nightly.fire(*jobs, last_ms=first + 2 * HOUR, next_ms=first + 3 * HOUR, missed=4)

        assert fired is Fired.FIRED
        assert await nightly.scene.listed(State.ENQUEUED) == [job.id for job in jobs]
        record = await nightly.record()
        assert (record.fired, record.missed, record.last_job) == (3, 4, jobs[-1].id)
        assert (record.last_ms, record.gave_up_ms) == (first + 2 * HOUR, nightly.scene.clock())

    async def test_occurrences_can_be_given_up_without_a_job(self, nightly: Recurring) -> None:
        await nightly.put()
        at, now = nightly.next, await nightly.come()

        assert await nightly.storage.fire_recurring(Firing(ID, "one", at, at + 1, missed=3)) is Fired.FIRED

        record = await nightly.record()
        assert (record.missed, record.gave_up_ms, record.next_ms) == (3, now, at + 1)
        assert (record.fired, record.last_ms, record.last_job, record.fired_ms) == (0, 0, "", 0)

    async def test_the_last_occurrence_leaves_no_next_time(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.come()

        assert await nightly.fire(next_ms=None) is Fired.FIRED

        nightly.scene.clock.advance(9 * HOUR)
        assert (await nightly.due()).due == []
        assert (await nightly.record()).next_ms is None

    async def test_a_job_can_be_due_later_than_its_occurrence(self, nightly: Recurring) -> None:
        await nightly.put()
        later = await nightly.come() + 500
        nightly.job |= {"due_ms": later, "priority": 5}

        assert await nightly.fire() is Fired.FIRED

        last = (await nightly.record()).last_job
        job = await nightly.scene.record(last)
        assert (job.state, job.due_ms, job.priority) == (State.SCHEDULED, later, 5)
        assert await nightly.scene.take_marker() == "default"
        nightly.scene.clock.advance(500)
        worker = await nightly.scene.worker()
        assert (await worker.take_one()).id == last

    async def test_a_paused_queue_gets_no_marker(self, nightly: Recurring) -> None:
        await nightly.storage.pause("default")
        await nightly.put()
        await nightly.come()

        await nightly.fire()

        assert await nightly.scene.take_marker() is None
        assert await nightly.scene.length() == 1
