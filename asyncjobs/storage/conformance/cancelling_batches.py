"""Batches that are cancelled, given up, or forgotten, and what follows from the end of one."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import (
    BATCH_RETENTION_MS,
    PIN_MS,
    STAGING_MS,
    BatchState,
    Created,
    Finished,
    Members,
    NewBatch,
    On,
    Opened,
    Outcome,
    Parent,
    Requeued,
    Retention,
    State,
)
from asyncjobs.storage.conformance.continuing import ROWS
from asyncjobs.storage.conformance.scene import Scene


class CancellingBatchesTests:
    """`cancel_batch`, `sweep_batches`, and continuations of batches."""

    # -- cancelling --

    async def test_whatever_waits_is_cancelled_and_what_runs_is_told(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        running = await scene.create("first", batch=batch)
        succeeded = await scene.create("second", batch=batch)
        waiting = await scene.create(batch=batch)
        prior = await scene.create(batch=batch, priority=3)
        scheduled = await scene.create(batch=batch, delay_ms=1_000)
        retrying = await scene.create("third", batch=batch)
        awaiting = await scene.continuation(await scene.create("parents"), batch=batch)
        after = await scene.continuation(running, batch=batch, on=On.FINISHED)
        await scene.storage.commit_batch(batch)
        worker = await scene.worker()
        grant = await worker.take_one("first")
        await worker.run(Outcome.SUCCEEDED, "second")
        await worker.run(Outcome.RETRY, "third", delay_ms=1_000)

        assert await scene.storage.cancel_batch(batch) is Opened.DONE
        await scene.carry_on()

        record = await scene.recount(batch)
        assert (record.state, record.cancel_requested, record.pending) == (BatchState.OPEN, True, 1)
        expected = sorted([waiting, prior, scheduled, retrying, awaiting, after])
        assert sorted(await scene.listed(State.CANCELLED)) == expected
        assert await scene.state(succeeded) is State.SUCCEEDED
        assert (await scene.record(running)).cancel_requested
        assert (await worker.beat(held=1)).cancelled == [running]
        assert await worker.take(5) == []

        assert await worker.finish(grant, Outcome.RETRY, delay_ms=10) is Finished.DONE

        record = await scene.recount(batch)
        assert (record.state, record.finished_ms) == (BatchState.CANCELLED, scene.clock())
        assert await scene.state(running) is State.CANCELLED

    async def test_a_cancelled_batch_takes_nothing_more(self, scene: Scene) -> None:
        outer = await scene.open_batch()
        nested = await scene.open_batch(outer)
        await scene.create(batch=nested)
        await scene.storage.commit_batch(outer)
        await scene.carry_on()
        prepared = await scene.open_batch(outer)
        await scene.create(batch=prepared)

        await scene.storage.cancel_batch(outer)
        await scene.carry_on()

        for batch in (outer, nested):
            assert (await scene.recount(batch)).state is BatchState.CANCELLED
            job = scene.new_job(batch=batch)
            assert await scene.storage.create([job]) == [Created.BATCH_CANCELLED]
            assert await scene.state(job.id) is None
        assert await scene.storage.commit_batch(prepared) is Opened.CANCELLED
        assert await scene.batch_state(prepared) is BatchState.STAGING
        assert (await scene.recount(outer)).nested == 1

    async def test_its_members_cannot_be_requeued(self, scene: Scene) -> None:
        outer, _ = await scene.batch(0, "outer")
        batch, jobs = await scene.batch(2, parent=outer)
        await scene.storage.cancel_batch(outer)
        await scene.carry_on()

        assert await scene.storage.requeue(jobs[0], "request1") is Requeued.BATCH_CANCELLED

        assert await scene.events(jobs[0]) == ["cancelled"]
        assert (await scene.recount(batch)).state is BatchState.CANCELLED

    async def test_nothing_starts_in_a_nested_batch_either(self, scene: Scene) -> None:
        outer, _ = await scene.batch(1, "outer")
        middle, _ = await scene.batch(1, "middle", parent=outer)
        inner, (job,) = await scene.batch(1, parent=middle)
        worker = await scene.worker()
        await scene.storage.cancel_batch(outer)

        assert await worker.take(5) == []
        assert await scene.storage.create([scene.new_job(batch=inner)]) == [Created.BATCH_CANCELLED]

        await scene.carry_on()
        assert await scene.state(job) is State.CANCELLED
        assert (await scene.recount(inner)).state is BatchState.CANCELLED

    async def test_cancelled_again_it_stays_as_it_is(self, scene: Scene) -> None:
        batch, jobs = await scene.batch(2)
        for _ in range(2):
            assert await scene.storage.cancel_batch(batch) is Opened.DONE
            await scene.carry_on()

        assert (await scene.recount(batch)).state is BatchState.CANCELLED
        assert await scene.total("cancelled") == 2
        assert await scene.events(jobs[0]) == ["cancelled"]

    async def test_a_finished_batch_is_not_cancelled_and_a_staging_one_cannot_be(self, scene: Scene) -> None:
        batch, _ = await scene.batch(0)
        staging = await scene.open_batch()

        assert await scene.storage.cancel_batch(batch) is Opened.DONE
        assert await scene.storage.cancel_batch(staging) is Opened.MISSING

        record = await scene.recount(batch)
        assert (record.state, record.cancel_requested) == (BatchState.SUCCEEDED, False)
        assert (await scene.recount(staging)).state is BatchState.STAGING

    async def test_nested_batches_are_cancelled_with_the_one_around_them(self, scene: Scene) -> None:
        outer = await scene.open_batch()
        middle = await scene.open_batch(outer)
        inner = await scene.open_batch(middle)
        job = await scene.create(batch=inner)
        await scene.storage.commit_batch(outer)
        await scene.carry_on()
        after = await scene.continuation(Parent(middle, On.FINISHED, batch=True), queue="after")

        await scene.storage.cancel_batch(outer)
        await scene.carry_on()

        assert await scene.state(job) is State.CANCELLED
        for batch in (outer, middle, inner):
            assert (await scene.recount(batch)).state is BatchState.CANCELLED
        assert await scene.state(after) is State.ENQUEUED

    async def test_cancelling_a_nested_batch_leaves_the_one_around_it(self, scene: Scene) -> None:
        outer = await scene.open_batch()
        inner = await scene.open_batch(outer)
        job, _ = await scene.create(batch=outer), await scene.create("other", batch=inner)
        await scene.storage.commit_batch(outer)
        await scene.carry_on()

        await scene.storage.cancel_batch(inner)
        await scene.carry_on()

        record = await scene.recount(outer)
        assert (record.state, record.nested_failed, record.pending) == (BatchState.OPEN, 1, 1)
        assert await scene.run(Outcome.SUCCEEDED, "default") == job
        assert (await scene.recount(outer)).state is BatchState.FAILED

    async def test_a_batch_of_dead_workers_jobs_is_cancelled_when_they_are_taken_back(
        self, scene: Scene
    ) -> None:
        batch, _ = await scene.batch(1)
        worker = await scene.worker()
        await worker.take_one()
        await scene.storage.cancel_batch(batch)

        await scene.storage.reap(scene.shard, worker.id)

        assert (await scene.recount(batch)).state is BatchState.CANCELLED

    # -- continuations of batches --

    @pytest.mark.parametrize(("on", "cancel", "ending", "becomes"), ROWS)
    @pytest.mark.parametrize("ended_before", [False, True])
    async def test_a_continuation_follows_a_batchs_end(
        self, scene: Scene, on: On, cancel: bool, ending: State | None, becomes: State, ended_before: bool
    ) -> None:
        batch, _ = await scene.batch(1, "members")
        parent = Parent(batch, on, batch=True, cancel=cancel)
        job = scene.new_job(parents=[parent])
        if not ended_before:
            assert await scene.storage.create([job]) == [Created.CREATED]
            assert await scene.state(job.id) is State.AWAITING
        if ending is State.CANCELLED:
            await scene.storage.cancel_batch(batch)
        else:
            await scene.run(Outcome.SUCCEEDED if ending is State.SUCCEEDED else Outcome.FAILED, "members")
        if ending is None and becomes is State.CANCELLED and not ended_before and on is On.SUCCEEDED:
            # Only what waits beyond a batch's end can live to see its removal.
            scene.clock.advance(BATCH_RETENTION_MS)
            await scene.storage.sweep_batches(scene.shard)
            assert await scene.batch_state(batch) is None
        elif ending is None:
            return
        if ended_before:
            assert await scene.storage.create([job]) == [Created.CREATED]

        assert await scene.state(job.id) is becomes
        record = await scene.record(job.id)
        assert list(record.parents) == [parent]
        history = await scene.storage.history(job.id)
        assert [entry.event for entry in history] == ["cancelled"] * (becomes is State.CANCELLED)
        assert all(batch in entry.error_message for entry in history)

    async def test_a_batch_can_wait_for_a_batch(self, scene: Scene) -> None:
        first, _ = await scene.batch(2, "first")
        second = await scene.open_batch()
        jobs = [await scene.continuation(Parent(first, batch=True), batch=second) for _ in range(2)]
        await scene.storage.commit_batch(second)
        last = await scene.continuation(Parent(first, batch=True), Parent(second, batch=True), queue="last")
        assert sorted(await scene.listed(State.AWAITING)) == sorted([*jobs, last])

        for queue in ("first", "default"):
            for _ in range(2):
                await scene.run(Outcome.SUCCEEDED, queue)

        assert await scene.listed(State.ENQUEUED) == [last]
        assert (await scene.recount(second)).state is BatchState.SUCCEEDED

    # -- sweeping --

    async def test_a_batch_that_is_not_committed_is_given_up(self, scene: Scene) -> None:
        parent = await scene.finished(State.FAILED)
        batch = await scene.open_batch()
        members = await scene.create_many(3, batch=batch)
        members.append(await scene.continuation(parent, batch=batch))
        after = await scene.continuation(members[0], on=On.FINISHED)
        last = await scene.continuation(Parent(batch, On.FINISHED, batch=True))
        await scene.storage.cancel(members[1], "request1")
        scene.clock.advance(STAGING_MS - 1)
        await scene.storage.sweep_batches(scene.shard)
        assert (await scene.recount(batch)).total == 4

        scene.clock.advance(1)
        await scene.storage.sweep_batches(scene.shard)
        await scene.carry_on()

        assert [await scene.state(job) for job in members] == 4 * [None]
        assert await scene.batch_state(batch) is None
        assert await scene.storage.members(batch) == Members([], 0)
        assert sorted(await scene.listed(State.CANCELLED)) == sorted([after, last])
        assert [entry.error_type for entry in await scene.storage.history(after)] == ["ParentGone"]
        assert await scene.storage.commit_batch(batch) is Opened.MISSING
        # Nothing waits any more for the parent that failed.
        await scene.storage.trim(scene.shard, Retention(failed_ms=0), 10)
        assert await scene.state(parent) is None

    async def test_each_member_that_is_added_puts_that_off(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        nested = await scene.open_batch(batch)
        for _ in range(3):
            scene.clock.advance(STAGING_MS - 1)
            await scene.create(batch=nested)
            await scene.storage.sweep_batches(scene.shard)
            await scene.carry_on()

        await scene.storage.commit_batch(batch)
        await scene.carry_on()

        assert (await scene.recount(nested)).total == 3
        assert await scene.batch_state(nested) is BatchState.OPEN

    async def test_a_nested_batch_is_given_up_only_with_the_one_around_it(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        nested = await scene.open_batch(batch)
        job = await scene.create(batch=nested)
        scene.clock.advance(STAGING_MS - 1)
        await scene.create(batch=batch)
        scene.clock.advance(1)
        await scene.storage.sweep_batches(scene.shard)
        await scene.carry_on()
        assert (await scene.recount(batch)).nested == 1
        assert await scene.state(job) is State.STAGING

        scene.clock.advance(STAGING_MS)
        await scene.storage.sweep_batches(scene.shard)
        await scene.carry_on()

        assert await scene.batch_state(batch) is await scene.batch_state(nested) is None
        assert await scene.state(job) is None

    async def test_one_that_was_to_be_added_to_an_open_batch_leaves_no_trace_there(
        self, scene: Scene
    ) -> None:
        batch, _ = await scene.batch(1)
        prepared = await scene.open_batch(batch)
        await scene.create("other", batch=prepared)
        scene.clock.advance(STAGING_MS)
        await scene.storage.sweep_batches(scene.shard)
        await scene.carry_on()

        assert await scene.batch_state(prepared) is None
        assert (await scene.recount(batch)).nested == 0
        await scene.run(Outcome.SUCCEEDED, "default")
        assert (await scene.recount(batch)).state is BatchState.SUCCEEDED

    async def test_whoever_watches_a_batch_is_told_that_it_is_given_up(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        await scene.storage.watch_batch(batch, "inbox")
        scene.clock.advance(STAGING_MS)

        await scene.storage.sweep_batches(scene.shard)
        await scene.carry_on()

        assert await scene.storage.receive(scene.shard, "inbox", 1) == [batch]

    async def test_a_finished_batch_is_forgotten_in_the_end_and_its_jobs_are_not(self, scene: Scene) -> None:
        outer, _ = await scene.batch(1)
        inner, (job,) = await scene.batch(1, "inner", parent=outer)
        await scene.run(Outcome.SUCCEEDED, "inner")
        scene.clock.advance(BATCH_RETENTION_MS - 1)
        await scene.storage.sweep_batches(scene.shard)
        assert await scene.batch_state(inner) is BatchState.SUCCEEDED

        scene.clock.advance(1)
        await scene.storage.sweep_batches(scene.shard)

        # The one around it still counts it.
        assert await scene.batch_state(inner) is BatchState.SUCCEEDED
        await scene.storage.cancel_batch(outer)
        await scene.carry_on()
        scene.clock.advance(PIN_MS - 1)
        await scene.storage.sweep_batches(scene.shard)
        assert await scene.batch_state(inner) is BatchState.SUCCEEDED
        scene.clock.advance(1)
        await scene.storage.sweep_batches(scene.shard)

        assert await scene.batch_state(inner) is None
        assert await scene.storage.commit_batch(inner) is Opened.MISSING
        assert await scene.storage.create([scene.new_job(batch=inner)]) == [Created.BATCH_GONE]
        assert await scene.storage.open_batches([NewBatch(scene.new_id(), parent=inner)]) is Opened.MISSING
        record = await scene.batch_record(outer)
        assert (record.state, record.nested_succeeded) == (BatchState.CANCELLED, 1)
        assert await scene.storage.requeue(job, "request1") is Requeued.REQUEUED
        await scene.run(Outcome.SUCCEEDED, "inner")
        await scene.storage.delete(job)
        assert await scene.batch_state(outer) is BatchState.CANCELLED
