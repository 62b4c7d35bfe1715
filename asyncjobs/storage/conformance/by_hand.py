"""What people and clients do to jobs."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import Cancelled, Deleted, HistoryEntry, Outcome, Requeued, State
from asyncjobs.storage.conformance.scene import Scene


class ByHandTests:
    """`cancel`, `requeue`, `promote`, `delete`."""

    # -- cancel --

    async def test_a_cancelled_enqueued_job_is_final_and_never_runs(self, scene: Scene) -> None:
        job_id = await scene.create()
        now = scene.clock.advance(10)

        assert await scene.storage.cancel(job_id, "request1") is Cancelled.CANCELLED

        record = await scene.record(job_id)
        assert (record.state, record.finished_ms, record.cancel_requested) == (State.CANCELLED, now, False)
        assert await scene.storage.history(job_id) == [HistoryEntry(now, "cancelled", 0, "")]
        assert await scene.listed(State.CANCELLED) == [job_id]
        assert await scene.length() == 0
        assert await scene.total("cancelled") == 1
        worker = await scene.worker()
        assert await worker.take() == []

    async def test_a_cancelled_job_of_a_priority_never_runs(self, scene: Scene) -> None:
        job_id = await scene.create(priority=5)

        assert await scene.storage.cancel(job_id, "request1") is Cancelled.CANCELLED

        worker = await scene.worker()
        assert await worker.take() == []
        assert await scene.length() == 0

    async def test_a_cancelled_scheduled_job_is_final_and_never_due(self, scene: Scene) -> None:
        job_id = await scene.create(delay_ms=100)

        assert await scene.storage.cancel(job_id, "request1") is Cancelled.CANCELLED

        record = await scene.record(job_id)
        assert (record.state, record.due_ms, record.enqueued_ms) == (State.CANCELLED, 0, 0)
        scene.clock.advance(200)
        worker = await scene.worker()
        assert await worker.take() == []
        assert (await worker.exchange()).next_due_ms is None

    async def test_a_cancelled_retrying_job_is_final_and_never_due(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.run(Outcome.RETRY, delay_ms=100)

        assert await scene.storage.cancel(job_id, "request1") is Cancelled.CANCELLED

        assert await scene.events(job_id) == ["retrying", "cancelled"]
        scene.clock.advance(200)
        assert await worker.take() == []

    async def test_a_cancelled_suspect_never_runs(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.take()
        await scene.storage.reap(scene.shard, worker.id)

        assert await scene.storage.cancel(job_id, "request1") is Cancelled.CANCELLED

        heir = await scene.worker()
        assert await heir.take() == []
        assert await scene.length() == 0

    async def test_a_running_job_is_only_asked_to_be_cancelled(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.take_one()

        assert await scene.storage.cancel(job_id, "request1") is Cancelled.REQUESTED
        assert await scene.storage.cancel(job_id, "request2") is Cancelled.REQUESTED

        record = await scene.record(job_id)
        assert (record.state, record.cancel_requested) == (State.PROCESSING, True)
        assert await scene.events(job_id) == []

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    async def test_a_job_that_has_ended_is_not_cancelled(self, scene: Scene, state: State) -> None:
        job_id = await scene.finished(state)
        before = await scene.record(job_id)

        assert await scene.storage.cancel(job_id, "request1") is Cancelled.FINAL
        assert await scene.storage.cancel(job_id, "request1") is Cancelled.FINAL

        assert await scene.record(job_id) == before

    async def test_a_job_that_is_not_there_is_not_cancelled(self, scene: Scene) -> None:
        removed = await scene.create()
        await scene.storage.delete(removed)

        assert await scene.storage.cancel(scene.new_id(), "request1") is Cancelled.MISSING
        assert await scene.storage.cancel(removed, "request1") is Cancelled.MISSING

    # -- requeue --

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    async def test_a_requeued_job_begins_anew_but_that_attempts_go_on_counting(
        self, scene: Scene, state: State
    ) -> None:
        job_id = await scene.create(payload=b"arguments")
        worker = await scene.worker()
        await worker.run(Outcome.RETRY)
        outcome = {
            State.SUCCEEDED: Outcome.SUCCEEDED,
            State.FAILED: Outcome.FAILED,
            State.CANCELLED: Outcome.CANCELLED,
        }
        kept = {"result": b"x" * 200} if state is State.SUCCEEDED else {}
        await worker.run(outcome[state], **kept)
        now = scene.clock.advance(10)

        assert await scene.storage.requeue(job_id, "request1") is Requeued.REQUEUED

        record = await scene.record(job_id)
        assert (record.state, record.enqueued_ms, record.finished_ms) == (State.ENQUEUED, now, 0)
        assert (record.failures, record.recoveries, record.attempt) == (0, 0, 2)
        assert (record.result, record.result_kept) == (b"", True)
        assert (await scene.storage.history(job_id))[-1] == HistoryEntry(now, "requeued", 2, "")
        assert await scene.listed(state) == []
        grant = await worker.take_one()
        assert (grant.id, grant.attempt, grant.failures, grant.payload) == (job_id, 3, 0, b"arguments")

    async def test_a_requeued_job_forgets_that_its_result_was_not_kept(self, scene: Scene) -> None:
        job_id = await scene.finished(result_kept=False)

        await scene.storage.requeue(job_id, "request1")

        assert (await scene.record(job_id)).result_kept

    async def test_a_requeued_job_puts_its_queues_marker(self, scene: Scene) -> None:
        job_id = await scene.finished()
        cancelled = await scene.create()
        await scene.storage.cancel(cancelled, "request1")
        await scene.take_marker()

        await scene.storage.requeue(job_id, "request1")
        assert await scene.take_marker() == "default"

        await scene.storage.requeue(cancelled, "request2")
        assert await scene.take_marker() == "default"

    async def test_a_job_that_has_not_ended_is_not_requeued(self, scene: Scene) -> None:
        enqueued, scheduled = await scene.create(), await scene.create(delay_ms=100)

        assert await scene.storage.requeue(enqueued, "request1") is Requeued.WRONG_STATE
        assert await scene.storage.requeue(enqueued, "request1") is Requeued.WRONG_STATE
        assert await scene.storage.requeue(scheduled, "request1") is Requeued.WRONG_STATE

        assert await scene.listed(State.ENQUEUED) == [enqueued]
        assert await scene.events(enqueued) == []

    async def test_a_job_that_is_not_there_is_not_requeued(self, scene: Scene) -> None:
        removed = await scene.finished()
        await scene.storage.delete(removed)

        assert await scene.storage.requeue(scene.new_id(), "request1") is Requeued.MISSING
        assert await scene.storage.requeue(removed, "request1") is Requeued.MISSING

    # -- promote --

    async def test_a_promoted_job_is_enqueued_before_its_time(self, scene: Scene) -> None:
        job_id = await scene.create(delay_ms=60_000)
        waiting = await scene.create()
        await scene.take_marker()
        now = scene.clock.advance(10)

        assert await scene.storage.promote(job_id, "request1") is Requeued.REQUEUED

        record = await scene.record(job_id)
        assert (record.state, record.due_ms, record.enqueued_ms) == (State.ENQUEUED, 0, now)
        assert await scene.storage.history(job_id) == [HistoryEntry(now, "promoted", 0, "")]
        assert await scene.listed(State.ENQUEUED) == [waiting, job_id]
        assert await scene.listed(State.SCHEDULED) == []
        assert await scene.take_marker() == "default"

    async def test_a_retrying_job_can_be_promoted(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.run(Outcome.RETRY, delay_ms=60_000)

        assert await scene.storage.promote(job_id, "request1") is Requeued.REQUEUED

        grant = await worker.take_one()
        assert (grant.id, grant.failures, grant.attempt) == (job_id, 1, 2)

    async def test_other_jobs_are_not_promoted(self, scene: Scene) -> None:
        enqueued = await scene.create()
        removed = await scene.create(delay_ms=100)
        await scene.storage.delete(removed)

        assert await scene.storage.promote(enqueued, "request1") is Requeued.WRONG_STATE
        assert await scene.storage.promote(enqueued, "request1") is Requeued.WRONG_STATE
        assert await scene.storage.promote(removed, "request1") is Requeued.MISSING

        assert await scene.listed(State.ENQUEUED) == [enqueued]

    # -- requests sent again --

    async def test_a_cancel_sent_again_does_nothing_even_after_a_requeue(self, scene: Scene) -> None:
        job_id = await scene.create()
        await scene.storage.cancel(job_id, "request1")
        await scene.storage.requeue(job_id, "request2")

        assert await scene.storage.cancel(job_id, "request1") is Cancelled.CANCELLED

        assert await scene.state(job_id) is State.ENQUEUED
        assert await scene.total("cancelled") == 1

    async def test_a_requeue_sent_again_does_nothing_even_after_the_job_has_run(self, scene: Scene) -> None:
        job_id = await scene.finished()
        await scene.storage.requeue(job_id, "request1")
        worker = await scene.worker()
        await worker.run()

        assert await scene.storage.requeue(job_id, "request1") is Requeued.REQUEUED

        assert await scene.state(job_id) is State.SUCCEEDED
        assert await scene.events(job_id) == ["requeued"]

    async def test_a_promote_sent_again_does_nothing(self, scene: Scene) -> None:
        job_id = await scene.create(delay_ms=100)
        await scene.storage.promote(job_id, "request1")
        worker = await scene.worker()
        await worker.run(Outcome.RETRY, delay_ms=100)

        assert await scene.storage.promote(job_id, "request1") is Requeued.REQUEUED

        assert await scene.state(job_id) is State.RETRYING

    async def test_a_cancel_of_a_running_job_sent_again_is_answered_alike(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.take_one()

        assert await scene.storage.cancel(job_id, "request1") is Cancelled.REQUESTED
        assert await scene.storage.cancel(job_id, "request1") is Cancelled.REQUESTED

    async def test_a_jobs_last_four_requests_are_remembered(self, scene: Scene) -> None:
        job_id = await scene.create()
        for number in range(2):
            await scene.storage.cancel(job_id, f"cancel-{number}")
            await scene.storage.requeue(job_id, f"requeu-{number}")

        assert await scene.storage.cancel(job_id, "cancel-0") is Cancelled.CANCELLED

        assert await scene.state(job_id) is State.ENQUEUED

    async def test_a_request_that_was_refused_can_be_carried_out_later(self, scene: Scene) -> None:
        job_id = await scene.create()
        assert await scene.storage.requeue(job_id, "request1") is Requeued.WRONG_STATE
        await scene.storage.cancel(job_id, "request2")

        assert await scene.storage.requeue(job_id, "request1") is Requeued.REQUEUED

        assert await scene.state(job_id) is State.ENQUEUED

    # -- delete --

    async def test_a_deleted_job_is_gone_with_its_history(self, scene: Scene) -> None:
        job_id = await scene.finished(State.FAILED)

        assert await scene.storage.delete(job_id) is Deleted.DELETED

        assert await scene.storage.get(job_id) is None
        assert await scene.storage.history(job_id) == []
        assert await scene.storage.logs(job_id) == []
        assert await scene.listed(State.FAILED) == []
        assert await scene.storage.delete(job_id) is Deleted.MISSING

    async def test_a_delete_sent_again_is_answered_alike(self, scene: Scene) -> None:
        job_id = await scene.finished(State.FAILED)

        assert await scene.storage.delete(job_id, "aaaaaaaa") is Deleted.DELETED

        assert await scene.storage.delete(job_id, "aaaaaaaa") is Deleted.DELETED
        assert await scene.storage.delete(job_id, "bbbbbbbb") is Deleted.MISSING

    async def test_a_deleted_scheduled_job_is_never_due(self, scene: Scene) -> None:
        job_id = await scene.create(delay_ms=100)

        assert await scene.storage.delete(job_id) is Deleted.DELETED

        scene.clock.advance(200)
        worker = await scene.worker()
        assert await worker.take() == []
        assert await scene.listed(State.SCHEDULED) == []

    async def test_a_running_job_is_not_deleted(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()

        assert await scene.storage.delete(job_id) is Deleted.RUNNING

        await worker.finish(grant)
        assert await scene.state(job_id) is State.SUCCEEDED

    async def test_deleted_jobs_are_not_counted_as_ended(self, scene: Scene) -> None:
        await scene.storage.delete(await scene.create())

        stats = await scene.storage.stats()

        assert set(stats.totals.values()) == {0}
        assert set(stats.counts.values()) == {0}
