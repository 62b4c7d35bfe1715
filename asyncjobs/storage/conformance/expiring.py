"""Jobs that aren't worth starting any more after a while."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import (
    Conflict,
    HistoryEntry,
    On,
    Outcome,
    Parent,
    Requeued,
    State,
    UniqueClaim,
)
from asyncjobs.storage.conformance.limiting import Limited
from asyncjobs.storage.conformance.scene import SOON, Scene


class ExpiringTests:
    """`NewJob.expires_ms`."""

    async def test_a_job_is_granted_until_it_expires(self, scene: Scene) -> None:
        job_id = await scene.create(expires_ms=100)
        assert (await scene.record(job_id)).deadline_ms == scene.clock() + 100
        scene.clock.advance(99)
        worker = await scene.worker()

        assert (await worker.take_one()).id == job_id

    @pytest.mark.parametrize("priority", [0, 3, -3])
    async def test_an_expired_job_is_cancelled_when_its_turn_comes(self, scene: Scene, priority: int) -> None:
        job_id = await scene.create(expires_ms=100, priority=priority)
        other = await scene.create(priority=priority)
        now = scene.clock.advance(100)
        assert await scene.state(job_id) is State.ENQUEUED
        worker = await scene.worker()
        reply = await worker.exchange(slots=2)

        assert [grant.id for grant in reply.grants] == [other]
        assert (reply.dropped, reply.more) == ([], False)
        record = await scene.record(job_id)
        assert (record.state, record.finished_ms, record.attempt) == (State.CANCELLED, now, 0)
        assert await scene.storage.history(job_id) == [HistoryEntry(now, "expired", 0, "")]
        assert await scene.total("cancelled") == 1
        assert await scene.length() == 0

    async def test_the_time_counts_from_when_a_job_is_due(self, scene: Scene) -> None:
        delayed = await scene.create(expires_ms=100, delay_ms=1_000)
        at_a_time = await scene.create(expires_ms=100, due_ms=scene.clock() + 1_000)
        worker = await scene.worker()
        now = scene.clock.advance(1_099)

        assert [(await scene.record(job_id)).deadline_ms for job_id in (delayed, at_a_time)] == [now + 1] * 2
        assert {grant.id for grant in await worker.take(2)} == {delayed, at_a_time}

    async def test_a_continuations_time_counts_from_when_its_parents_are_met(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent, expires_ms=100)
        later = await scene.continuation(parent, expires_ms=100, delay_ms=1_000)
        scene.clock.advance(5_000)
        assert (await scene.record(child)).deadline_ms == 0

        await scene.run(Outcome.SUCCEEDED, "parents")

        now = scene.clock()
        assert (await scene.record(child)).deadline_ms == now + 100
        assert (await scene.record(later)).deadline_ms == now + 1_100

    async def test_a_members_time_counts_from_when_its_batch_is_committed(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        member = await scene.create(batch=batch, expires_ms=100)
        scene.clock.advance(5_000)

        await scene.storage.commit_batch(batch)
        await scene.carry_on()

        assert (await scene.record(member)).deadline_ms == scene.clock() + 100

    async def test_a_job_that_runs_does_not_expire_but_is_not_tried_again(self, scene: Scene) -> None:
        job_id = await scene.create(expires_ms=100)
        worker = await scene.worker()
        grant = await worker.take_one()
        scene.clock.advance(200)
        await worker.finish(grant, Outcome.RETRY)

        assert await worker.take() == []

        assert (await scene.record(job_id)).state is State.CANCELLED
        assert await scene.events(job_id) == ["retrying", "expired"]

    async def test_a_suspect_expires_too(self, scene: Scene) -> None:
        job_id = await scene.create(expires_ms=100)
        worker = await scene.worker()
        await worker.take()
        await scene.storage.reap(scene.shard, worker.id)
        scene.clock.advance(100)
        heir = await scene.worker()

        assert await heir.take() == []
        assert await scene.state(job_id) is State.CANCELLED

    async def test_continuations_and_batches_hear_of_it(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        member = await scene.create(batch=batch, expires_ms=100)
        await scene.storage.commit_batch(batch)
        await scene.carry_on()
        runs = await scene.continuation(Parent(member, On.FINISHED), queue="after", delay_ms=7)
        ends = await scene.continuation(Parent(member, On.FAILED), queue="after")
        after = await scene.continuation(Parent(batch, On.FINISHED, batch=True), queue="after")
        scene.clock.advance(100)
        worker = await scene.worker()
        reply = await worker.exchange(slots=1)

        assert reply.grants == []
        # One that follows from it may be what is due next.
        assert reply.next_due_ms == scene.clock() + 7
        assert await scene.state(runs) is State.SCHEDULED
        assert await scene.state(ends) is State.CANCELLED
        assert await scene.state(after) is State.ENQUEUED
        await scene.recount(batch)

    async def test_whoever_waits_for_its_end_is_told(self, scene: Scene) -> None:
        job_id = await scene.create(expires_ms=100)
        await scene.storage.watch(job_id, "inbox")
        scene.clock.advance(100)
        worker = await scene.worker()
        await worker.take()

        assert await scene.storage.receive(scene.shard, "inbox", SOON) == [job_id]

    async def test_its_unique_key_is_free(self, scene: Scene) -> None:
        claim = UniqueClaim("key")
        job_id = await scene.create(expires_ms=100, unique=claim)
        scene.clock.advance(99)
        assert await scene.storage.create([scene.new_job(unique=claim)]) == [Conflict(job_id)]
        scene.clock.advance(1)
        worker = await scene.worker()
        await worker.take()

        other = await scene.create(unique=claim)
        assert (await worker.take_one()).id == other

    async def test_its_room_goes_to_those_that_wait(self, scene: Scene) -> None:
        limit = Limited(scene)
        await limit.create(expires_ms=100)
        other = await limit.create()
        scene.clock.advance(100)
        worker = await scene.worker()
        await worker.take()

        assert await limit.counts() == (0, 1, 0)
        assert await scene.take_marker() == "default"
        assert (await worker.take_one()).id == other

    async def test_a_throttled_job_expires_when_its_turn_comes(self, scene: Scene) -> None:
        limit = Limited(scene)
        await limit.create()
        waiting = await limit.create(expires_ms=100)
        last = await limit.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        scene.clock.advance(100)
        assert await scene.state(waiting) is State.THROTTLED
        await worker.finish(grant)

        assert await worker.take() == []
        assert (await worker.take_one()).id == last
        assert await scene.events(waiting) == ["expired"]

    async def test_a_job_that_is_requeued_by_hand_does_not_expire_any_more(self, scene: Scene) -> None:
        job_id = await scene.create(expires_ms=100)
        scene.clock.advance(100)
        worker = await scene.worker()
        await worker.take()

        assert await scene.storage.requeue(job_id, "request1") is Requeued.REQUEUED

        assert (await scene.record(job_id)).deadline_ms == 0
        scene.clock.advance(1_000)
        assert await worker.run() == job_id

    async def test_a_job_that_is_promoted_by_hand_keeps_its_deadline(self, scene: Scene) -> None:
        job_id = await scene.create(expires_ms=100, delay_ms=1_000)
        deadline = (await scene.record(job_id)).deadline_ms

        await scene.storage.promote(job_id, "request1")

        assert (await scene.record(job_id)).deadline_ms == deadline == scene.clock() + 1_100
