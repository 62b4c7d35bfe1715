"""Recurring jobs: overlap, what people do to them, and those that are declared in workers' code."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.ids import new_id
from asyncjobs.storage.base import (
    OPEN_LIMIT,
    ORPHAN_MS,
    WAIT_MS,
    Changed,
    Fired,
    NewJob,
    Outcome,
    Put,
    Renewed,
    State,
    Triggered,
)
from asyncjobs.storage.conformance.recurring import HOUR, ID, Recurring


class RecurringControlTests:
    """The verbs of `RecurringStorage`, but for the plain firing."""

    # -- overlap --

    async def test_with_overlap_allowed_nothing_is_looked_at(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.fire()
        await nightly.come()

        assert await nightly.fire() is Fired.FIRED
        assert await nightly.scene.length() == 2

    async def test_with_overlap_skipped_it_is_not_fired_while_a_job_has_not_ended(
        self, nightly: Recurring
    ) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.fire(overlap="skip")
        first = (await nightly.record()).last_job
        worker = await nightly.scene.worker()
        states = [State.ENQUEUED, State.PROCESSING, State.RETRYING]
        for skipped, state in enumerate(states, 1):
            at, now = nightly.next, await nightly.come()
            if state is State.PROCESSING:
                grant = await worker.take_one()
            elif state is State.RETRYING:
                await worker.finish(grant, Outcome.RETRY, delay_ms=HOUR)  # pyright: ignore[reportPossiblyUnboundVariable]
            assert await nightly.scene.state(first) is state

            assert await nightly.fire(overlap="skip") is Fired.SKIPPED

            record = await nightly.record()
            assert (record.skipped, record.gave_up_ms, record.next_ms) == (skipped, now, at + HOUR)
            assert (record.last_job, record.fired) == (first, 1)
        await nightly.storage.cancel(first, "request1")
        await nightly.come()

        assert await nightly.fire(overlap="skip") is Fired.FIRED
        assert (await nightly.record()).last_state is State.ENQUEUED

    @pytest.mark.parametrize("ending", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.CANCELLED])
    async def test_with_overlap_queued_it_waits_until_the_job_has_ended(
        self, nightly: Recurring, ending: Outcome
    ) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.fire(overlap="queue")
        at, now = nightly.next, await nightly.come()

        assert await nightly.fire(overlap="queue", missed=2) is Fired.WAITS

        record = await nightly.record()
        assert (record.waiting, record.next_ms, record.missed) == (True, at, 0)
        reply = await nightly.due()
        assert (reply.due, reply.next_ms) == ([], now + WAIT_MS)
        nightly.scene.clock.advance(WAIT_MS)
        (due,) = (await nightly.due()).due
        assert (due.waiting, due.next_ms) == (True, at)
        assert await nightly.fire(overlap="queue") is Fired.WAITS

        await (await nightly.scene.worker()).run(ending)
        assert await nightly.fire(overlap="queue", passed=3) is Fired.FIRED
        record = await nightly.record()
        assert (record.waiting, record.skipped, record.last_ms, record.fired) == (False, 3, at, 2)

    async def test_a_job_made_by_hand_counts_for_overlap(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.storage.trigger_recurring(ID, nightly.occurrence(5))
        await nightly.come()

        assert await nightly.fire(overlap="skip") is Fired.SKIPPED

    async def test_every_job_that_has_not_ended_counts_for_overlap(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.fire()
        worker = await nightly.scene.worker()
        first = await worker.take_one()
        await nightly.storage.trigger_recurring(ID, nightly.occurrence(5))
        await worker.run(Outcome.SUCCEEDED)
        await nightly.come()

        assert await nightly.fire(overlap="skip") is Fired.SKIPPED
        await worker.finish(first)
        await nightly.come()
        assert await nightly.fire(overlap="skip") is Fired.FIRED

    async def test_a_removed_job_has_ended(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.fire()
        await nightly.storage.delete((await nightly.record()).last_job)
        await nightly.come()

        assert (await nightly.record()).last_state is None
        assert await nightly.fire(overlap="skip") is Fired.FIRED

    @pytest.mark.parametrize("others", [12, OPEN_LIMIT, OPEN_LIMIT + 1])
    async def test_one_that_has_not_ended_counts_however_many_ended_after_it(
        self, nightly: Recurring, others: int
    ) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.fire()
        worker = await nightly.scene.worker()
        first = await worker.take_one()
        for number in range(others):
            await nightly.storage.trigger_recurring(ID, nightly.occurrence(number))
            await worker.run(Outcome.SUCCEEDED)
        await nightly.come()

        assert await nightly.fire(overlap="skip") is Fired.SKIPPED
        await worker.finish(first)
        await nightly.come()
        assert await nightly.fire(overlap="skip") is Fired.FIRED

    async def test_of_many_that_have_not_ended_only_the_latest_count(self, nightly: Recurring) -> None:
        await nightly.put()
        for number in range(OPEN_LIMIT + 1):
            await nightly.storage.trigger_recurring(ID, nightly.occurrence(number))
        worker = await nightly.scene.worker()
        first, *others = await worker.take(OPEN_LIMIT + 1)
        for grant in others:
            await worker.finish(grant)
        await nightly.come()

        assert await nightly.scene.state(first.id) is State.PROCESSING
        assert await nightly.fire(overlap="skip") is Fired.FIRED

    # -- by hand --

    async def test_triggering_makes_a_job_and_leaves_the_next_time(self, nightly: Recurring) -> None:
        await nightly.put()
        at = nightly.next
        now = nightly.scene.clock.advance(7)
        job = NewJob(new_id(nightly.shard), **nightly.job)

        assert await nightly.storage.trigger_recurring(ID, job) is Triggered.CREATED
        assert await nightly.storage.trigger_recurring(ID, job) is Triggered.CREATED

        record = await nightly.record()
        assert (record.next_ms, record.last_ms, record.fired, record.fired_ms) == (at, 0, 0, now)
        assert (record.last_job, record.last_state) == (job.id, State.ENQUEUED)
        assert await nightly.scene.listed(State.ENQUEUED) == [job.id]
        assert await nightly.scene.take_marker() == "default"

    async def test_what_is_not_there_cannot_be_triggered(self, nightly: Recurring) -> None:
        assert await nightly.storage.trigger_recurring(ID, nightly.occurrence()) is Triggered.MISSING
        assert await nightly.scene.listed(State.ENQUEUED) == []

    async def test_a_paused_one_has_no_next_time_until_it_is_resumed(self, nightly: Recurring) -> None:
        await nightly.put()
        at = nightly.next
        for _ in range(2):
            assert await nightly.storage.pause_recurring(ID) is Changed.DONE
        record = await nightly.record()
        assert (record.paused, record.next_ms) == (True, None)
        await nightly.come()
        assert (await nightly.due()).due == []
        assert await nightly.fire(expected_ms=at) is Fired.LOST
        assert await nightly.storage.trigger_recurring(ID, nightly.occurrence(5)) is Triggered.CREATED

        for next_ms in (at + HOUR, at + 2 * HOUR):
            assert await nightly.storage.resume_recurring(ID, "one", next_ms) is Changed.DONE
        record = await nightly.record()
        assert (record.paused, record.next_ms) == (False, at + HOUR)

    async def test_a_paused_one_that_is_put_stays_paused(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.storage.pause_recurring(ID)

        assert await nightly.put("two", timing="daily") is Put.MOVED

        record = await nightly.record()
        assert (record.paused, record.next_ms, record.revision) == (True, None, "two")
        assert await nightly.storage.resume_recurring(ID, "one", 5) is Changed.OUTDATED
        assert (await nightly.record()).paused
        assert await nightly.storage.resume_recurring(ID, "two", None) is Changed.DONE
        assert not (await nightly.record()).paused

    async def test_pausing_one_that_waits_ends_its_waiting(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.fire()
        await nightly.come()
        await nightly.fire(overlap="queue")

        await nightly.storage.pause_recurring(ID)

        assert not (await nightly.record()).waiting

    async def test_a_removed_one_is_gone_and_its_jobs_stay(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.fire()
        job = (await nightly.record()).last_job

        assert await nightly.storage.remove_recurring(ID) is Changed.DONE

        assert await nightly.storage.get_recurring(ID) is None
        assert (await nightly.storage.recurring()).total == 0
        assert await nightly.scene.state(job) is State.ENQUEUED
        await nightly.come()
        assert (await nightly.due()).due == []
        for changed in (
            await nightly.storage.remove_recurring(ID),
            await nightly.storage.pause_recurring(ID),
            await nightly.storage.resume_recurring(ID, "one", 5),
        ):
            assert changed is Changed.MISSING

    # -- declared ones --

    async def test_a_declaration_is_wanted_once(self, nightly: Recurring) -> None:
        assert await nightly.renew(starting=True) is Renewed.WANTED
        assert await nightly.put(declared=True) is Put.MOVED

        for starting in (True, False):
            assert await nightly.renew(starting=starting) is Renewed.RENEWED
        assert (await nightly.record()).declared

    async def test_a_changed_declaration_is_taken_from_a_worker_that_starts(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        assert await nightly.renew("two") is Renewed.OTHER
        assert await nightly.renew("two", starting=True) is Renewed.WANTED
        assert await nightly.put("two", declared=True) is Put.KEPT

        # The old worker goes on beside the new one, and the two don't take it from each other.
        for _ in range(20):
            nightly.scene.clock.advance(60_000)
            assert await nightly.renew("one") is Renewed.OTHER
            assert await nightly.renew("two") is Renewed.RENEWED
        assert (await nightly.record()).definition == b"two"

    async def test_a_declaration_falls_to_others_when_its_workers_are_gone(self, nightly: Recurring) -> None:
        await nightly.put("two", declared=True)
        for _ in range(ORPHAN_MS // 60_000):
            nightly.scene.clock.advance(60_000)
            assert await nightly.renew("one") is Renewed.OTHER
        nightly.scene.clock.advance(1)

        assert await nightly.renew("one") is Renewed.WANTED
        assert not (await nightly.record()).orphaned

    async def test_one_that_nobody_declares_any_more_is_orphaned(self, nightly: Recurring) -> None:
        await nightly.put(declared=True, next_ms=nightly.scene.clock() + ORPHAN_MS)
        await nightly.silence()

        record = await nightly.record()
        assert (record.orphaned, record.next_ms) == (True, None)
        reply = await nightly.due()
        assert (reply.due, reply.orphaned) == ([], [ID])
        assert (await nightly.due()).orphaned == []
        assert await nightly.fire() is Fired.LOST

    async def test_an_orphan_that_is_declared_again_goes_on_from_now(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        await nightly.silence()
        nightly.scene.clock.advance(9 * HOUR)
        await nightly.due()
        for _ in range(10):
            nightly.scene.clock.advance(60_000)
            await nightly.due()
        assert (await nightly.record()).orphaned

        assert await nightly.renew() is Renewed.WANTED
        assert await nightly.put(declared=True) is Put.MOVED

        record = await nightly.record()
        assert (record.orphaned, record.next_ms) == (False, nightly.scene.clock() + HOUR)
        assert await nightly.renew() is Renewed.RENEWED

    async def test_one_that_is_renewed_is_not_orphaned(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        for _ in range(20):
            nightly.scene.clock.advance(60_000)
            await nightly.due()
            await nightly.renew()
        assert not (await nightly.record()).orphaned

    async def test_after_a_time_without_any_worker_none_is_orphaned_at_once(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        await nightly.due()
        nightly.scene.clock.advance(3 * HOUR)

        assert not (await nightly.record()).orphaned
        assert [due.id for due in (await nightly.due("one that doesn't declare it")).due] == [ID]
        assert await nightly.fire() is Fired.FIRED
        await nightly.silence()
        assert (await nightly.record()).orphaned

    async def test_a_declared_one_can_only_be_removed_as_an_orphan(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        assert await nightly.storage.remove_recurring(ID) is Changed.DECLARED
        assert await nightly.put("mine") is Put.TAKEN
        assert (await nightly.record()).definition == b"one"
        assert await nightly.storage.pause_recurring(ID) is Changed.DONE

        await nightly.silence()
        assert await nightly.storage.remove_recurring(ID) is Changed.DONE

    async def test_an_orphan_can_be_put_by_a_client(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        await nightly.silence()

        assert await nightly.put("mine") is Put.MOVED

        record = await nightly.record()
        assert (record.declared, record.orphaned, record.definition) == (False, False, b"mine")

    async def test_what_a_client_has_put_is_not_taken_by_a_declaration(self, nightly: Recurring) -> None:
        await nightly.put()
        assert await nightly.renew(starting=True) is Renewed.TAKEN
        assert await nightly.put("two", declared=True) is Put.TAKEN
        await nightly.silence()
        record = await nightly.record()
        assert (record.definition, record.orphaned) == (b"one", False)
