"""Batches: opened, filled, committed, nested, added to, finished, read."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import (
    BatchRecord,
    BatchState,
    Created,
    Deleted,
    Members,
    NewBatch,
    On,
    Opened,
    Outcome,
    Parent,
    Requeued,
    State,
)
from asyncjobs.storage.conformance.scene import Scene


class BatchingTests:
    """Batches that run to their end."""

    # -- staging --

    async def test_nothing_of_a_staging_batch_runs_or_shows(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        await scene.create_many(3, batch=batch)
        await scene.create(batch=batch, delay_ms=5)
        await scene.continuation(await scene.finished(queue="parents"), batch=batch)
        await scene.continuation(await scene.create("parents"), batch=batch)
        scene.clock.advance(10)
        worker = await scene.worker()

        assert await worker.take(10) == []
        for state in State:
            assert await scene.listed(state) == [] or state in (State.ENQUEUED, State.SUCCEEDED)
        assert await scene.listed(State.ENQUEUED) == await scene.listed(State.ENQUEUED, "parents")
        counts = (await scene.storage.stats()).counts
        assert (counts[State.ENQUEUED], counts[State.AWAITING], counts[State.SCHEDULED]) == (1, 0, 0)
        assert await scene.take_marker() is None
        assert await scene.storage.batches() == []
        record = await scene.recount(batch)
        assert (record.state, record.total) == (BatchState.STAGING, 6)

    async def test_a_staging_job_can_be_got_by_its_id(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        job = await scene.create(batch=batch, payload=b"\x01")

        record = await scene.record(job)

        assert (record.state, record.batch, record.payload) == (State.STAGING, batch, b"\x01")
        assert record.enqueued_ms == 0
        assert await scene.storage.requeue(job, "request1") is Requeued.WRONG_STATE
        assert await scene.storage.promote(job, "request1") is Requeued.WRONG_STATE

    async def test_a_commit_lets_all_members_run(self, scene: Scene) -> None:
        batch = await scene.open_batch(name="import")
        jobs = await scene.create_many(3, batch=batch)
        delayed = await scene.create(batch=batch, delay_ms=50)
        ready = await scene.continuation(await scene.finished(), batch=batch)
        waiting = await scene.continuation(await scene.create("parents"), batch=batch)
        now = scene.clock.advance(10)

        assert await scene.storage.commit_batch(batch) is Opened.DONE

        assert await scene.listed(State.ENQUEUED, "default") == [*jobs, ready]
        assert (await scene.record(jobs[0])).enqueued_ms == now
        assert (await scene.record(delayed)).due_ms == now + 50
        assert await scene.listed(State.AWAITING) == [waiting]
        assert await scene.take_marker() == "default"
        record = await scene.recount(batch)
        assert (record.state, record.name, record.total) == (BatchState.OPEN, "import", 6)
        assert await scene.storage.members(batch) == Members([*jobs, delayed, ready, waiting], 6)

    async def test_a_batch_succeeds_when_all_its_members_have(self, scene: Scene) -> None:
        batch, _ = await scene.batch(3)
        worker = await scene.worker()
        for left in (2, 1):
            await worker.run()
            record = await scene.recount(batch)
            assert (record.state, record.pending, record.finished_ms) == (BatchState.OPEN, left, 0)
        now = scene.clock.advance(10)
        await worker.run()

        record = await scene.recount(batch)
        assert (record.state, record.finished_ms) == (BatchState.SUCCEEDED, now)

    @pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.CANCELLED])
    async def test_a_batch_fails_when_a_member_did_not_succeed(self, scene: Scene, outcome: Outcome) -> None:
        batch, _ = await scene.batch(2)
        worker = await scene.worker()
        await worker.run(outcome)
        assert (await scene.recount(batch)).state is BatchState.OPEN

        await worker.run()

        assert (await scene.recount(batch)).state is BatchState.FAILED

    async def test_an_empty_batch_has_succeeded_at_once(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        child = await scene.continuation(Parent(batch, batch=True))

        assert await scene.storage.commit_batch(batch) is Opened.DONE

        assert (await scene.recount(batch)).state is BatchState.SUCCEEDED
        assert await scene.state(child) is State.ENQUEUED

    async def test_a_batch_whose_members_ended_while_it_was_staging_finishes_when_it_is_committed(
        self, scene: Scene
    ) -> None:
        batch = await scene.open_batch()
        cancelled, deleted = await scene.create_many(2, batch=batch)
        unmet = await scene.continuation(
            await scene.finished(State.FAILED), batch=batch, on=On.SUCCEEDED, queue="other"
        )
        parent = await scene.finished()
        hopeless = await scene.continuation(parent, on=On.FAILED, batch=batch)
        for job in (cancelled, unmet):
            await scene.storage.cancel(job, "request1")
        assert await scene.storage.delete(deleted) is Deleted.DELETED
        assert await scene.state(hopeless) is State.CANCELLED
        record = await scene.recount(batch, cancelled=1)
        assert (record.state, record.cancelled) == (BatchState.STAGING, 4)

        await scene.storage.commit_batch(batch)

        assert (await scene.recount(batch, cancelled=1)).state is BatchState.FAILED

    async def test_a_member_that_ended_while_staging_cannot_be_requeued_before_the_commit(
        self, scene: Scene
    ) -> None:
        batch = await scene.open_batch()
        job = await scene.create(batch=batch)
        await scene.storage.cancel(job, "request1")

        assert await scene.storage.requeue(job, "request2") is Requeued.WRONG_STATE
        await scene.storage.commit_batch(batch)
        assert await scene.storage.requeue(job, "request2") is Requeued.REQUEUED

        assert (await scene.recount(batch)).state is BatchState.OPEN
        await scene.run(Outcome.SUCCEEDED, "default")
        assert (await scene.recount(batch)).state is BatchState.SUCCEEDED

    async def test_what_is_sent_twice_changes_nothing(self, scene: Scene) -> None:
        batch = NewBatch(scene.new_id(), "import")
        job = scene.new_job(batch=batch.id)
        for _ in range(2):
            assert await scene.storage.open_batches([batch]) is Opened.DONE
        assert await scene.storage.create([job]) == [Created.CREATED]
        assert await scene.storage.open_batches([batch]) is Opened.DONE
        assert await scene.storage.create([job]) == [Created.EXISTS]
        for _ in range(2):
            assert await scene.storage.commit_batch(batch.id) is Opened.DONE
        assert await scene.storage.open_batches([batch]) is Opened.COMMITTED
        assert await scene.storage.create([job]) == [Created.EXISTS]

        assert (await scene.recount(batch.id)).state is BatchState.OPEN
        assert await scene.listed(State.ENQUEUED) == [job.id]
        await scene.run(Outcome.SUCCEEDED, "default")
        assert await scene.storage.commit_batch(batch.id) is Opened.DONE
        assert (await scene.recount(batch.id)).state is BatchState.SUCCEEDED

    async def test_what_is_not_there_is_missing(self, scene: Scene) -> None:
        gone = scene.new_id()

        assert await scene.storage.commit_batch(gone) is Opened.MISSING
        assert await scene.storage.cancel_batch(gone) is Opened.MISSING
        assert await scene.storage.open_batches([NewBatch(scene.new_id(), parent=gone)]) is Opened.MISSING
        assert await scene.storage.get_batch(gone) is None
        assert await scene.storage.watch_batch(gone, "inbox") is None
        assert await scene.storage.members(gone) == Members([], 0)
        job = scene.new_job(batch=gone)
        assert await scene.storage.create([job, scene.new_job()]) == [Created.BATCH_GONE, Created.CREATED]
        assert await scene.state(job.id) is None

    # -- members that run again, are added, or go --

    async def test_a_member_that_is_requeued_opens_its_batch_again(self, scene: Scene) -> None:
        batch, (job,) = await scene.batch(1)
        good = await scene.continuation(Parent(batch, batch=True))
        done = await scene.continuation(Parent(batch, On.FINISHED, batch=True))
        await scene.run(Outcome.FAILED, "default")
        assert await scene.state(good) is State.AWAITING
        assert await scene.listed(State.ENQUEUED) == [done]

        await scene.storage.requeue(job, "request1")
        record = await scene.recount(batch)
        assert (record.state, record.failed) == (BatchState.OPEN, 0)
        await scene.storage.requeue(job, "request1")
        await scene.recount(batch)

        worker = await scene.worker()
        assert {await worker.run(), await worker.run()} == {job, done}
        assert (await scene.recount(batch)).state is BatchState.SUCCEEDED
        assert await scene.listed(State.ENQUEUED) == [good]

    async def test_jobs_can_be_added_to_an_open_batch(self, scene: Scene) -> None:
        batch, (first,) = await scene.batch(1)
        second = await scene.create(batch=batch)
        third = await scene.continuation(second, batch=batch)

        record = await scene.recount(batch)
        assert (record.state, record.total) == (BatchState.OPEN, 3)
        worker = await scene.worker()
        assert [await worker.run() for _ in range(3)] == [first, second, third]
        assert (await scene.recount(batch)).state is BatchState.SUCCEEDED

    async def test_jobs_that_are_added_to_a_finished_batch_open_it_again(self, scene: Scene) -> None:
        batch, _ = await scene.batch(1)
        await scene.run(Outcome.SUCCEEDED, "default")
        jobs = [scene.new_job(batch=batch), scene.new_job("last", parents=[Parent(batch, batch=True)])]

        assert await scene.storage.create(jobs) == [Created.CREATED, Created.CREATED]

        assert (await scene.recount(batch)).state is BatchState.OPEN
        assert await scene.state(jobs[1].id) is State.AWAITING
        await scene.run(Outcome.SUCCEEDED, "default")
        assert (await scene.recount(batch)).state is BatchState.SUCCEEDED
        assert await scene.state(jobs[1].id) is State.ENQUEUED

    async def test_a_call_that_adds_members_finishes_their_batch_only_at_its_end(self, scene: Scene) -> None:
        batch, _ = await scene.batch(0)
        ended = await scene.finished()
        hopeless = scene.new_job(batch=batch, parents=[Parent(ended, On.FAILED)])
        fine = scene.new_job(batch=batch)
        await scene.storage.watch_batch(batch, "inbox")

        await scene.storage.create([hopeless, fine])

        record = await scene.recount(batch)
        assert (record.state, record.cancelled, record.total) == (BatchState.OPEN, 1, 2)
        await scene.storage.watch_batch(batch, "inbox")
        await scene.run(Outcome.SUCCEEDED, "default")
        assert await scene.storage.receive(scene.shard, "inbox", 1) == [batch]
        assert (await scene.recount(batch)).state is BatchState.FAILED

    @pytest.mark.parametrize("way", ["delete", "purge", "clear"])
    async def test_a_member_that_is_removed_before_its_end_counts_as_cancelled(
        self, scene: Scene, way: str
    ) -> None:
        batch = await scene.open_batch()
        job = await scene.create(batch=batch, delay_ms=5_000 * (way == "clear"))
        await scene.storage.commit_batch(batch)
        after = await scene.continuation(Parent(batch, On.FINISHED, batch=True), queue="after")

        if way == "delete":
            assert await scene.storage.delete(job) is Deleted.DELETED
        elif way == "purge":
            assert await scene.storage.purge(scene.shard, "default", 10) == (1, False)
        else:
            assert await scene.storage.clear(scene.shard, State.SCHEDULED, 10) == (1, False)

        record = await scene.recount(batch, cancelled=1)
        assert (record.state, record.total, record.cancelled) == (BatchState.FAILED, 1, 1)
        assert await scene.state(after) is State.ENQUEUED

    async def test_a_member_that_is_removed_after_its_end_counts_as_it_ended(self, scene: Scene) -> None:
        batch, members = await scene.batch(2)
        assert await scene.run(Outcome.SUCCEEDED, "default", retention_ms=0) == members[0]
        await scene.recount(batch)
        await scene.storage.delete(members[0])
        await scene.recount(batch, succeeded=1)

        await scene.run(Outcome.SUCCEEDED, "default")

        record = await scene.recount(batch, succeeded=1)
        assert (record.state, record.total) == (BatchState.SUCCEEDED, 2)
        assert await scene.storage.members(batch) == Members(members[1:], 1)

    # -- nested --

    async def test_nested_batches_open_with_the_one_around_them_and_end_before_it(self, scene: Scene) -> None:
        outer = await scene.open_batch()
        middle = await scene.open_batch(outer)
        inner = await scene.open_batch(middle)
        empty = await scene.open_batch(outer)
        jobs = [await scene.create(queue, batch=batch) for queue, batch in (("a", outer), ("c", inner))]
        for staging in (inner, middle):
            assert await scene.storage.commit_batch(staging) is Opened.DONE
            assert await scene.batch_state(staging) is BatchState.STAGING
        worker = await scene.worker()
        assert await worker.take(5, "a", "c") == []

        assert await scene.storage.commit_batch(outer) is Opened.DONE
        await scene.carry_on()

        assert [await scene.state(job) for job in jobs] == [State.ENQUEUED, State.ENQUEUED]
        assert await scene.batch_state(empty) is BatchState.SUCCEEDED
        assert await scene.storage.members(outer) == Members([f"~{middle}", f"~{empty}", jobs[0]], 3)
        await worker.run(Outcome.SUCCEEDED, "a")
        assert [await scene.batch_state(batch) for batch in (outer, middle, inner)] == 3 * [BatchState.OPEN]
        await worker.run(Outcome.FAILED, "c")
        for batch in (outer, middle, inner):
            assert (await scene.recount(batch)).state is BatchState.FAILED

        await scene.storage.requeue(jobs[1], "request1")
        for batch in (outer, middle, inner):
            assert (await scene.recount(batch)).state is BatchState.OPEN
        await worker.run(Outcome.SUCCEEDED, "c")
        for batch in (outer, middle, inner, empty):
            assert (await scene.recount(batch)).state is BatchState.SUCCEEDED

    async def test_a_batch_that_is_added_to_a_finished_one_opens_that_when_it_is_committed(
        self, scene: Scene
    ) -> None:
        outer, _ = await scene.batch(0)
        middle, _ = await scene.batch(0, parent=outer)
        assert (await scene.recount(outer)).nested_succeeded == 1
        inner = await scene.open_batch(middle)
        job = await scene.create(batch=inner)
        assert [await scene.batch_state(batch) for batch in (outer, middle)] == 2 * [BatchState.SUCCEEDED]

        for _ in range(2):
            assert await scene.storage.commit_batch(inner) is Opened.DONE

        for batch in (outer, middle, inner):
            record = await scene.recount(batch)
            assert (record.state, record.nested) == (BatchState.OPEN, int(batch != inner))
        assert await scene.run(Outcome.SUCCEEDED, "default") == job
        for batch in (outer, middle, inner):
            assert (await scene.recount(batch)).state is BatchState.SUCCEEDED

    async def test_a_batch_is_described(self, scene: Scene) -> None:
        outer = await scene.open_batch(name="outer")
        created = scene.clock()
        scene.clock.advance(5)
        inner = NewBatch(scene.new_id(), "inner", outer)
        await scene.storage.open_batches([inner])

        assert await scene.storage.get_batch(outer) == BatchRecord(
            outer, "outer", BatchState.STAGING, "", created, 0, 0, 0, 0, 0, 1, 0, 0, cancel_requested=False
        )
        assert (await scene.batch_record(inner.id)).parent == outer

    async def test_batches_can_be_opened_and_nested_in_one_call(self, scene: Scene) -> None:
        outer, inner = NewBatch(scene.new_id(), "outer"), NewBatch(scene.new_id(), "inner")
        inner.parent = outer.id

        assert await scene.storage.open_batches([outer, inner]) is Opened.DONE
        assert await scene.storage.commit_batch(outer.id) is Opened.DONE
        await scene.carry_on()

        assert (await scene.recount(outer.id)).state is BatchState.SUCCEEDED

    # -- reading and waiting --

    async def test_members_and_batches_come_in_pages(self, scene: Scene) -> None:
        batch, jobs = await scene.batch(5)

        assert await scene.storage.members(batch, offset=1, limit=2) == Members(jobs[1:3], 5)
        assert await scene.storage.members(batch, offset=5) == Members([], 5)
        assert await scene.storage.members(batch, limit=0) == Members([], 5)

    async def test_open_batches_come_first_and_then_the_last_that_finished(self, scene: Scene) -> None:
        queues = ["a", "b", "c", "d"]
        a, b, c, d = [(await self.later(scene, queue))[0] for queue in queues]
        await scene.open_batch()
        for queue in ("c", "a"):
            scene.clock.advance(1)
            await scene.run(Outcome.SUCCEEDED, queue)

        batches = [batch.id for batch in await scene.storage.batches()]

        assert batches == [d, b, a, c]
        assert [batch.id for batch in await scene.storage.batches(offset=1, limit=2)] == [b, a]
        assert await scene.storage.batches(offset=4) == []
        await scene.create("a", batch=a)
        assert [batch.id for batch in await scene.storage.batches()] == [d, b, a, c]
        assert (await scene.batch_record(a)).state is BatchState.OPEN

    async def later(self, scene: Scene, queue: str) -> tuple[str, list[str]]:
        """A batch that was made after all others."""
        scene.clock.advance(1)
        return await scene.batch(1, queue)

    async def test_an_inbox_is_told_when_a_batch_finishes(self, scene: Scene) -> None:
        batch, _ = await scene.batch(1)
        record = await scene.storage.watch_batch(batch, "inbox")
        assert record is not None
        assert record.state is BatchState.OPEN
        await scene.storage.watch_batch(batch, "inbox")
        await scene.storage.watch_batch(batch, "other")

        await scene.run(Outcome.SUCCEEDED, "default")

        for inbox in ("inbox", "other"):
            assert await scene.storage.receive(scene.shard, inbox, 1) == [batch]
        record = await scene.storage.watch_batch(batch, "inbox")
        assert record == await scene.storage.get_batch(batch)
        assert record is not None
        assert record.state is BatchState.SUCCEEDED
