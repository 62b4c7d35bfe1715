"""Exchanges: what is granted, replies asked for again, due jobs, claims."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.errors import StorageError, WorkerGone
from asyncjobs.storage.base import (
    PROMOTE_LIMIT,
    ExchangeRequest,
    Finish,
    Finished,
    Grant,
    Outcome,
    State,
)
from asyncjobs.storage.conformance.scene import Scene


class ExchangingTests:
    """`exchange`, but for what its finishes do."""

    async def test_a_grant_carries_all_that_is_needed_to_run_the_job(self, scene: Scene) -> None:
        job_id = await scene.create("mail", payload=b"arguments", options=b"options")
        enqueued_ms = scene.clock()
        now = scene.clock.advance(30)
        worker = await scene.worker()

        reply = await worker.exchange(slots=1, queues=["mail"])

        assert reply.now_ms == now
        assert reply.results == []
        assert reply.grants == [
            Grant(
                id=job_id,
                name="module.function",
                queue="mail",
                payload=b"arguments",
                options=b"options",
                attempt=1,
                failures=0,
                recoveries=0,
                enqueued_ms=enqueued_ms,
                exchange=1,
            )
        ]

    async def test_a_granted_job_is_processing_and_its_workers(self, scene: Scene) -> None:
        job_id = await scene.create()
        now = scene.clock.advance(30)
        worker = await scene.worker()
        await worker.take_one()

        record = await scene.record(job_id)

        assert (record.state, record.attempt, record.started_ms) == (State.PROCESSING, 1, now)
        assert record.worker == worker.id
        assert await scene.length() == 0
        assert await scene.listed(State.PROCESSING) == [job_id]
        assert [entry.running for entry in await scene.storage.workers()] == [1]

    async def test_a_job_is_granted_to_one_worker_only(self, scene: Scene) -> None:
        await scene.create()
        first, second = await scene.worker(), await scene.worker()

        assert len(await first.take(5)) == 1
        assert await second.take(5) == []

    async def test_only_the_queues_named_are_served(self, scene: Scene) -> None:
        await scene.create("other")
        worker = await scene.worker()

        assert await worker.take(5, "default", "never-seen") == []
        assert await scene.length("other") == 1

    async def test_nothing_of_a_paused_queue_is_granted(self, scene: Scene) -> None:
        job_id = await scene.create()
        await scene.storage.pause("default")
        worker = await scene.worker()
        assert await worker.take() == []

        await scene.storage.resume("default")

        assert (await worker.take_one()).id == job_id

    # -- a reply that was lost --

    async def test_the_same_exchange_again_gets_the_same_grants_and_results(self, scene: Scene) -> None:
        await scene.create_many(5)
        worker = await scene.worker()
        done, lost = await worker.take(2)
        finishes = [
            Finish(done.id, done.exchange, Outcome.SUCCEEDED, result=b"1"),
            Finish(lost.id, lost.exchange + 1, Outcome.SUCCEEDED),
        ]
        first = await worker.exchange(*finishes, slots=2)
        scene.clock.advance(100)

        again = await worker.exchange(*finishes, slots=2, number=worker.number)

        assert first.results == [Finished.DONE, Finished.LOST]
        assert len(first.grants) == 2
        assert (again.results, again.grants) == (first.results, first.grants)
        assert again.now_ms == first.now_ms + 100

    async def test_the_same_exchange_again_changes_nothing(self, scene: Scene) -> None:
        await scene.create_many(5)
        worker = await scene.worker()
        grant = await worker.take_one()
        finish = Finish(grant.id, grant.exchange, Outcome.FAILED)
        await worker.exchange(finish, slots=1)
        before = [await scene.listed(state) for state in (State.ENQUEUED, State.PROCESSING, State.FAILED)]

        await worker.exchange(finish, slots=1, number=worker.number)

        after = [await scene.listed(state) for state in (State.ENQUEUED, State.PROCESSING, State.FAILED)]
        assert after == before
        assert await scene.total("failed") == 1
        assert await scene.events(grant.id) == ["failed"]
        assert (await scene.record(grant.id)).failures == 1

    async def test_the_same_exchange_again_grants_nothing_more_though_jobs_have_come(
        self, scene: Scene
    ) -> None:
        worker = await scene.worker()
        assert (await worker.exchange(slots=1)).grants == []
        await scene.create()

        assert (await worker.exchange(slots=1, number=worker.number)).grants == []

        assert len(await worker.take()) == 1

    async def test_a_lower_exchange_number_is_refused(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.exchange()
        await worker.exchange()

        with pytest.raises(StorageError):
            await worker.exchange(slots=1, number=1)

        assert await scene.state(job_id) is State.ENQUEUED

    async def test_a_worker_that_is_not_registered_gets_nothing(self, scene: Scene) -> None:
        job_id = await scene.create()
        request = ExchangeRequest(worker="nobody", number=1, slots=1, queues=["default"])

        with pytest.raises(WorkerGone):
            await scene.storage.exchange(scene.shard, request)

        assert await scene.state(job_id) is State.ENQUEUED

    # -- due jobs --

    async def test_a_due_job_is_enqueued_and_granted_in_one_exchange(self, scene: Scene) -> None:
        job_id = await scene.create(delay_ms=100)
        worker = await scene.worker()
        scene.clock.advance(99)
        assert await worker.take() == []

        now = scene.clock.advance(1)
        (grant,) = await worker.take()

        assert (grant.id, grant.enqueued_ms) == (job_id, now)
        assert (await scene.record(job_id)).due_ms == 0

    async def test_due_jobs_of_queues_that_this_worker_does_not_serve_wake_others(self, scene: Scene) -> None:
        await scene.create("mail", delay_ms=100)
        await scene.take_marker("mail")
        scene.clock.advance(100)
        worker = await scene.worker()

        await worker.exchange(slots=1, queues=["default"])

        assert await scene.take_marker("mail") == "mail"
        assert await scene.length("mail") == 1

    async def test_a_due_job_of_a_priority_is_ranked_by_it(self, scene: Scene) -> None:
        due = await scene.create(delay_ms=100, priority=1)
        await scene.create()
        scene.clock.advance(100)
        worker = await scene.worker()

        assert (await worker.take_one()).id == due

    async def test_very_many_due_jobs_are_moved_in_bounded_chunks(self, scene: Scene) -> None:
        await scene.create_many(PROMOTE_LIMIT + 20, delay_ms=100)
        scene.clock.advance(100)
        worker = await scene.worker()

        reply = await worker.exchange()
        assert reply.more
        assert await scene.length() == PROMOTE_LIMIT

        reply = await worker.exchange()
        assert not reply.more
        assert await scene.length() == PROMOTE_LIMIT + 20

    async def test_the_next_due_time_is_told(self, scene: Scene) -> None:
        worker = await scene.worker()
        assert (await worker.exchange()).next_due_ms is None

        now = scene.clock()
        await scene.create(delay_ms=500)
        assert (await worker.exchange()).next_due_ms == now + 500

        await scene.create()
        await worker.run(Outcome.RETRY, delay_ms=200)
        assert (await worker.exchange()).next_due_ms == now + 200

    async def test_one_worker_claims_the_next_due_time(self, scene: Scene) -> None:
        await scene.create(delay_ms=500)
        first, second = await scene.worker(), await scene.worker()

        assert (await first.exchange()).due_claimed
        assert not (await second.exchange()).due_claimed
        assert (await first.exchange()).due_claimed

    async def test_an_earlier_due_time_is_claimed_anew(self, scene: Scene) -> None:
        await scene.create(delay_ms=500)
        first, second = await scene.worker(), await scene.worker()
        await first.exchange()
        await scene.create(delay_ms=400)

        assert (await second.exchange()).due_claimed
        assert not (await first.exchange()).due_claimed

    async def test_the_claim_of_a_worker_that_has_gone_is_free(self, scene: Scene) -> None:
        await scene.create(delay_ms=500)
        first, second = await scene.worker(), await scene.worker()
        await first.exchange()
        await scene.storage.unregister(scene.shard, first.id)

        assert (await second.exchange()).due_claimed

    async def test_nothing_is_claimed_where_nothing_waits(self, scene: Scene) -> None:
        worker = await scene.worker()

        assert not (await worker.exchange()).due_claimed
