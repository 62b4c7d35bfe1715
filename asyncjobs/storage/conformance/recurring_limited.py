"""Recurring jobs whose jobs are under limits, have a unique key, or expire."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

from asyncjobs.storage.base import (
    Conflict,
    Fired,
    LimitUse,
    Numbers,
    State,
    Triggered,
    UniqueClaim,
    Until,
)
from asyncjobs.storage.conformance.limiting import Limited
from asyncjobs.storage.conformance.recurring import HOUR, Recurring
from asyncjobs.storage.conformance.scene import Scene

CLAIM = UniqueClaim("key: ü")


class RecurringLimitedTests:
    """`fire_recurring` and `trigger_recurring` of such jobs."""

    async def test_a_fired_job_waits_where_its_limit_has_no_room(self, scene: Scene) -> None:
        # The shard is that of the recurring job, and so of its limit.
        Recurring(scene)
        limit = Limited(scene)
        nightly = Recurring(scene, limits=[limit.use()])
        await nightly.put()
        busy = await limit.create()
        await nightly.come()
        occurrence = nightly.occurrence()

        assert await nightly.fire() is Fired.FIRED

        assert await scene.state(occurrence.id) is State.THROTTLED
        record = await nightly.record()
        assert (record.fired, record.skipped, record.last_state) == (1, 0, State.THROTTLED)
        worker = await scene.worker()
        assert [await worker.run() for _ in range(2)] == [busy, occurrence.id]

    async def test_a_fired_job_brings_its_limits_numbers(self, scene: Scene) -> None:
        Recurring(scene)
        limit = Limited(scene)
        first, second = await limit.create_many(2)
        nightly = Recurring(scene, limits=[LimitUse(limit.name, "other", Numbers(2))])
        await nightly.put()
        await nightly.come()
        occurrence = nightly.occurrence()
        await nightly.fire()
        await scene.carry_on()

        assert sorted(await scene.listed(State.ENQUEUED, "default")) == sorted([first, second, occurrence.id])

    async def test_an_occurrence_whose_key_another_job_holds_is_skipped(self, scene: Scene) -> None:
        nightly = Recurring(scene, unique=CLAIM)
        await nightly.put()
        holder = await scene.create(unique=CLAIM)
        now = await nightly.come()
        occurrence = nightly.occurrence()

        assert await nightly.fire() is Fired.SKIPPED

        assert await scene.storage.get(occurrence.id) is None
        record = await nightly.record()
        assert (record.fired, record.skipped, record.gave_up_ms) == (0, 1, now)
        assert (record.next_ms, record.last_job) == (nightly.next, "")
        await scene.storage.cancel(holder, "request1")
        await nightly.come()
        assert await nightly.fire() is Fired.FIRED
        assert (await nightly.record()).fired == 1

    async def test_of_several_occurrences_the_first_one_holds_the_key(self, scene: Scene) -> None:
        nightly = Recurring(scene, unique=CLAIM)
        await nightly.put()
        await nightly.come()
        jobs = [nightly.occurrence(nightly.next + at) for at in range(3)]

        assert await nightly.fire(*jobs) is Fired.FIRED

        assert await scene.listed(State.ENQUEUED, "default") == [jobs[0].id]
        record = await nightly.record()
        assert (record.fired, record.skipped, record.last_job) == (1, 2, jobs[0].id)

    async def test_an_occurrence_that_replaces_takes_the_place_of_the_last_one(self, scene: Scene) -> None:
        nightly = Recurring(scene, unique=UniqueClaim(CLAIM.key, Until.STARTED, replaces=True))
        await nightly.put()
        await nightly.come()
        first = nightly.occurrence()
        assert await nightly.fire() is Fired.FIRED
        await nightly.come()
        second = nightly.occurrence()

        assert await nightly.fire() is Fired.FIRED

        assert await scene.state(first.id) is State.CANCELLED
        assert await scene.listed(State.ENQUEUED, "default") == [second.id]
        assert (await nightly.record()).fired == 2

    async def test_triggering_says_that_another_job_holds_the_key(self, scene: Scene) -> None:
        nightly = Recurring(scene, unique=CLAIM)
        await nightly.put()
        first, second = scene.new_job(unique=CLAIM), scene.new_job(unique=CLAIM)

        assert await scene.storage.trigger_recurring(nightly.id, first) is Triggered.CREATED
        assert await scene.storage.trigger_recurring(nightly.id, second) is Triggered.NOT_UNIQUE
        assert await scene.storage.trigger_recurring(nightly.id, first) is Triggered.CREATED

        assert await scene.storage.get(second.id) is None
        record = await nightly.record()
        assert (record.last_job, record.fired, record.skipped) == (first.id, 0, 0)
        assert await scene.storage.create([scene.new_job(unique=CLAIM)]) == [Conflict(first.id)]

    async def test_a_triggered_job_waits_where_its_limit_has_no_room(self, scene: Scene) -> None:
        nightly = Recurring(scene)
        limit = Limited(scene)
        await nightly.put()
        await limit.create()
        job = limit.new_job()

        assert await scene.storage.trigger_recurring(nightly.id, job) is Triggered.CREATED

        assert await scene.state(job.id) is State.THROTTLED
        assert (await nightly.record()).last_state is State.THROTTLED

    async def test_a_fired_job_expires_after_its_occurrence(self, scene: Scene) -> None:
        nightly = Recurring(scene, expires_ms=HOUR)
        await nightly.put()
        now = await nightly.come()
        occurrence = nightly.occurrence()
        await nightly.fire()
        assert (await scene.record(occurrence.id)).deadline_ms == now + HOUR
        scene.clock.advance(HOUR)
        worker = await scene.worker()

        assert await worker.take() == []

        assert (await nightly.record()).last_state is State.CANCELLED
