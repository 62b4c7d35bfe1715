"""How attempts end."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import HISTORY_LIMIT, Finish, Finished, HistoryEntry, Outcome, State
from asyncjobs.storage.conformance.scene import Scene
from asyncjobs.storage.records import pack_error

ERROR = pack_error("ValueError", "no such file", "Traceback …")


class FinishingTests:
    """The finishes of an exchange."""

    async def test_a_succeeded_job_keeps_its_result(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        now = scene.clock.advance(40)

        assert await worker.finish(grant, result=b"\x2a") is Finished.DONE

        record = await scene.record(job_id)
        assert (record.state, record.result, record.result_kept) == (State.SUCCEEDED, b"\x2a", True)
        assert (record.finished_ms, record.attempt, record.failures) == (now, 1, 0)
        assert record.worker == worker.id
        assert await scene.listed(State.SUCCEEDED) == [job_id]
        assert await scene.events(job_id) == []
        assert await scene.total("succeeded") == 1

    @pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1023, 1024, 1025, 100_000])
    async def test_results_of_any_size_come_back_whole(self, scene: Scene, size: int) -> None:
        result = bytes(at % 251 for at in range(size))
        job_id = await scene.finished(result=result)

        assert (await scene.record(job_id)).result == result

    async def test_readers_are_told_that_a_result_is_not_kept(self, scene: Scene) -> None:
        job_id = await scene.finished(result_kept=False)

        record = await scene.record(job_id)

        assert (record.state, record.result, record.result_kept) == (State.SUCCEEDED, b"", False)

    async def test_a_failed_job_keeps_its_error_in_its_history(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.run(Outcome.FAILED, error=ERROR)

        record = await scene.record(job_id)

        assert (record.state, record.failures, record.attempt) == (State.FAILED, 1, 1)
        assert record.finished_ms == scene.clock()
        assert await scene.storage.history(job_id) == [
            HistoryEntry(scene.clock(), "failed", 1, worker.id, "ValueError", "no such file", "Traceback …")
        ]
        assert await scene.listed(State.FAILED) == [job_id]
        assert await scene.total("failed") == 1

    async def test_a_job_to_be_retried_waits_and_the_attempt_counts_as_a_failure(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.run(Outcome.RETRY, delay_ms=2_000, error=ERROR)

        record = await scene.record(job_id)
        assert (record.state, record.failures, record.attempt) == (State.RETRYING, 1, 1)
        assert record.due_ms == scene.clock() + 2_000
        assert await scene.listed(State.RETRYING) == [job_id]
        assert await scene.events(job_id) == ["retrying"]
        assert await scene.total("retried") == 1

        scene.clock.advance(2_000)
        grant = await worker.take_one()
        assert (grant.attempt, grant.failures) == (2, 1)

    async def test_a_retry_without_delay_can_be_granted_in_the_same_exchange(self, scene: Scene) -> None:
        await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()

        reply = await worker.exchange(Finish(grant.id, grant.exchange, Outcome.RETRY), slots=1)

        assert [(again.id, again.attempt) for again in reply.grants] == [(grant.id, 2)]

    async def test_a_snoozed_job_waits_and_the_attempt_does_not_count(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.run(Outcome.SNOOZE, delay_ms=2_000)

        record = await scene.record(job_id)
        assert (record.state, record.failures, record.attempt) == (State.SCHEDULED, 0, 0)
        assert record.due_ms == scene.clock() + 2_000
        assert [(entry.event, entry.attempt) for entry in await scene.storage.history(job_id)] == [
            ("snoozed", 1)
        ]

        scene.clock.advance(2_000)
        assert (await worker.take_one()).attempt == 1

    async def test_a_released_job_is_enqueued_at_once_and_the_attempt_does_not_count(
        self, scene: Scene
    ) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.run(Outcome.RELEASED)

        record = await scene.record(job_id)
        assert (record.state, record.failures, record.attempt) == (State.ENQUEUED, 0, 0)
        assert [(entry.event, entry.attempt) for entry in await scene.storage.history(job_id)] == [
            ("released", 1)
        ]
        assert await scene.take_marker() == "default"
        assert (await worker.take_one()).attempt == 1

    async def test_a_job_released_by_a_worker_that_serves_its_queue_no_more_wakes_others(
        self, scene: Scene
    ) -> None:
        await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        await scene.take_marker()

        await worker.exchange(Finish(grant.id, grant.exchange, Outcome.RELEASED), queues=[])

        assert await scene.take_marker() == "default"

    async def test_a_job_that_ended_as_cancelled_keeps_the_reason(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.run(Outcome.CANCELLED, error=ERROR)

        record = await scene.record(job_id)
        assert (record.state, record.failures, record.attempt) == (State.CANCELLED, 0, 1)
        (entry,) = await scene.storage.history(job_id)
        assert (entry.event, entry.worker, entry.error_message) == ("cancelled", worker.id, "no such file")
        assert await scene.total("cancelled") == 1

    async def test_finishes_are_carried_out_and_answered_in_order(self, scene: Scene) -> None:
        await scene.create_many(3)
        worker = await scene.worker()
        first, second, third = await worker.take(3)

        reply = await worker.exchange(
            Finish(second.id, second.exchange, Outcome.RETRY, delay_ms=10),
            Finish(first.id, first.exchange + 1, Outcome.SUCCEEDED),
            Finish(third.id, third.exchange, Outcome.SUCCEEDED),
            Finish(third.id, third.exchange, Outcome.FAILED),
            Finish(scene.new_id(), 1, Outcome.SUCCEEDED),
        )

        assert reply.results == [
            Finished.DONE,
            Finished.LOST,
            Finished.DONE,
            Finished.LOST,
            Finished.LOST,
        ]
        assert [await scene.state(grant.id) for grant in (first, second, third)] == [
            State.PROCESSING,
            State.RETRYING,
            State.SUCCEEDED,
        ]

    async def test_the_history_holds_the_latest_events_only(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        for _ in range(HISTORY_LIMIT + 3):
            await worker.run(Outcome.RETRY)

        attempts = [entry.attempt for entry in await scene.storage.history(job_id)]

        assert attempts == list(range(4, HISTORY_LIMIT + 4))

    # -- leases that are lost --

    async def test_a_worker_whose_lease_was_taken_back_can_change_nothing(self, scene: Scene) -> None:
        job_id = await scene.create()
        slow = await scene.worker()
        await slow.take_one()
        await scene.die(slow)
        await scene.storage.reap(scene.shard)
        heir = await scene.worker()
        assert (await heir.take_one()).id == job_id
        # The same process, registered anew, hands in what it had run under its old lease.
        reborn = await scene.worker()

        reply = await reborn.exchange(Finish(job_id, 1, Outcome.SUCCEEDED, result=b"stale"))

        assert reply.results == [Finished.LOST]
        record = await scene.record(job_id)
        assert (record.state, record.worker, record.result) == (State.PROCESSING, heir.id, b"")

    async def test_the_token_of_an_earlier_attempt_is_not_good_for_a_later_one(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        first = await worker.take_one()
        await worker.finish(first, Outcome.RETRY)
        await worker.take_one()

        assert await worker.finish(first, Outcome.SUCCEEDED) is Finished.LOST

        assert await scene.state(job_id) is State.PROCESSING

    async def test_a_job_that_was_finished_is_not_finished_again(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        await worker.finish(grant, result=b"first")

        assert await worker.finish(grant, result=b"second") is Finished.LOST

        assert (await scene.record(job_id)).result == b"first"
        assert await scene.total("succeeded") == 1

    # -- jobs asked to be cancelled --

    @pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.SNOOZE, Outcome.RELEASED, Outcome.CANCELLED])
    async def test_a_job_asked_to_be_cancelled_is_cancelled_where_it_would_run_again(
        self, scene: Scene, outcome: Outcome
    ) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        await scene.storage.cancel(job_id, "request1")

        assert await worker.finish(grant, outcome) is Finished.DONE

        record = await scene.record(job_id)
        assert (record.state, record.cancel_requested, record.due_ms) == (State.CANCELLED, False, 0)
        assert (record.attempt, record.failures) == (1, 0)
        assert await scene.events(job_id) == ["cancelled"]
        assert await scene.total("cancelled") == 1
        assert await scene.total("retried") == 0
        assert await scene.length() == 0

    @pytest.mark.parametrize(
        ("outcome", "state"), [(Outcome.SUCCEEDED, State.SUCCEEDED), (Outcome.FAILED, State.FAILED)]
    )
    async def test_a_job_asked_to_be_cancelled_that_ends_first_stays_as_it_ended(
        self, scene: Scene, outcome: Outcome, state: State
    ) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        await scene.storage.cancel(job_id, "request1")

        await worker.finish(grant, outcome)

        record = await scene.record(job_id)
        assert (record.state, record.cancel_requested) == (state, False)
