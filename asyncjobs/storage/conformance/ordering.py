"""The order in which jobs are granted."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

from asyncjobs.storage.base import SKIP_LIMIT, Finish, Outcome, State
from asyncjobs.storage.conformance.scene import Scene


class OrderingTests:
    """The order of a queue, and the places that transitions put a job in."""

    async def test_jobs_run_first_in_first_out(self, scene: Scene) -> None:
        jobs = await scene.create_many(3)
        jobs.append(await scene.create())
        worker = await scene.worker()

        assert await scene.listed(State.ENQUEUED, "default") == jobs
        assert [grant.id for grant in await worker.take(10)] == jobs

    async def test_higher_priorities_run_earlier_and_negative_ones_after_the_plain_queue(
        self, scene: Scene
    ) -> None:
        low = await scene.create(priority=-1)
        lowest = await scene.create(priority=-500)
        plain = await scene.create()
        high = await scene.create(priority=1)
        highest = await scene.create(priority=500)
        expected = [highest, high, plain, low, lowest]
        worker = await scene.worker()

        assert await scene.listed(State.ENQUEUED, "default") == expected
        assert [grant.id for grant in await worker.take(10)] == expected

    async def test_jobs_of_one_priority_run_in_the_order_in_which_they_were_enqueued(
        self, scene: Scene
    ) -> None:
        jobs: list[str] = []
        for _ in range(4):
            jobs.append(await scene.create(priority=5))
            scene.clock.advance(1)
        worker = await scene.worker()

        assert [grant.id for grant in await worker.take(10)] == jobs

    async def test_queues_are_emptied_in_the_order_in_which_they_are_named(self, scene: Scene) -> None:
        second = await scene.create("second", priority=100)
        first = await scene.create("first", priority=-100)
        await scene.create("other")
        worker = await scene.worker()

        assert [grant.id for grant in await worker.take(10, "first", "second")] == [first, second]

    async def test_no_more_jobs_are_granted_than_there_are_slots(self, scene: Scene) -> None:
        jobs = await scene.create_many(5)
        worker = await scene.worker()

        assert [grant.id for grant in await worker.take(2)] == jobs[:2]
        assert await worker.take(0) == []
        assert await scene.listed(State.ENQUEUED) == jobs[2:]

    async def test_very_many_slots_are_filled_at_once(self, scene: Scene) -> None:
        jobs = await scene.create_many(1_200)
        worker = await scene.worker()

        grants = await worker.take(2_000)

        assert [grant.id for grant in grants] == jobs
        reply = await worker.exchange(
            *(Finish(grant.id, grant.exchange, Outcome.SUCCEEDED) for grant in grants)
        )
        assert len(reply.results) == 1_200
        assert len(await scene.listed(State.SUCCEEDED)) == 1_200

    async def test_a_released_job_goes_to_the_head_of_its_queue(self, scene: Scene) -> None:
        first, second, third = await scene.create_many(3)
        worker = await scene.worker()
        grants = await worker.take(2)
        enqueued_ms = scene.clock()
        scene.clock.advance(50)

        await worker.exchange(*(Finish(grant.id, grant.exchange, Outcome.RELEASED) for grant in grants))

        assert await scene.listed(State.ENQUEUED) == [second, first, third]
        assert (await scene.record(first)).enqueued_ms == enqueued_ms

    async def test_a_released_job_of_a_priority_goes_before_the_others_of_that_priority(
        self, scene: Scene
    ) -> None:
        first = await scene.create(priority=5)
        scene.clock.advance(1)
        second = await scene.create(priority=5)
        worker = await scene.worker()
        grant = await worker.take_one()
        higher = await scene.create(priority=6)

        await worker.finish(grant, Outcome.RELEASED)

        assert await scene.listed(State.ENQUEUED) == [higher, first, second]

    async def test_a_due_job_goes_to_the_tail(self, scene: Scene) -> None:
        scheduled = await scene.create(delay_ms=100)
        waiting = await scene.create()
        scene.clock.advance(100)
        worker = await scene.worker()

        assert [grant.id for grant in await worker.take(2)] == [waiting, scheduled]

    async def test_jobs_due_at_once_go_in_order_of_their_due_time(self, scene: Scene) -> None:
        later = await scene.create(delay_ms=300)
        sooner = await scene.create(delay_ms=100)
        scene.clock.advance(1_000)
        worker = await scene.worker()

        assert [grant.id for grant in await worker.take(2)] == [sooner, later]

    async def test_a_requeued_job_goes_to_the_tail(self, scene: Scene) -> None:
        done = await scene.finished()
        waiting = await scene.create()

        await scene.storage.requeue(done, "request1")

        assert await scene.listed(State.ENQUEUED) == [waiting, done]

    async def test_a_cancelled_job_takes_up_its_old_place_when_it_is_requeued(self, scene: Scene) -> None:
        first, second, third = await scene.create_many(3)
        await scene.storage.cancel(second, "request1")
        assert await scene.listed(State.ENQUEUED) == [first, third]
        assert await scene.length() == 2

        await scene.storage.requeue(second, "request2")

        assert await scene.listed(State.ENQUEUED) == [first, second, third]
        assert await scene.length() == 3
        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(10)] == [first, second, third]
        assert await scene.length() == 0

    async def test_a_cancelled_job_whose_place_was_passed_goes_to_the_tail_when_it_is_requeued(
        self, scene: Scene
    ) -> None:
        cancelled, second, third = await scene.create_many(3)
        await scene.storage.cancel(cancelled, "request1")
        worker = await scene.worker()
        assert (await worker.take_one()).id == second

        await scene.storage.requeue(cancelled, "request2")

        assert await scene.listed(State.ENQUEUED) == [third, cancelled]
        assert await scene.length() == 2

    async def test_a_cancelled_job_of_a_priority_goes_to_its_tail_when_it_is_requeued(
        self, scene: Scene
    ) -> None:
        cancelled = await scene.create(priority=5)
        await scene.storage.cancel(cancelled, "request1")
        scene.clock.advance(1)
        other = await scene.create(priority=5)

        scene.clock.advance(1)
        await scene.storage.requeue(cancelled, "request2")

        assert await scene.listed(State.ENQUEUED) == [other, cancelled]
        assert await scene.length() == 2

    async def test_removed_and_cancelled_jobs_are_skipped_and_not_counted(self, scene: Scene) -> None:
        jobs = await scene.create_many(6)
        await scene.storage.cancel(jobs[0], "request1")
        await scene.storage.delete(jobs[2])
        await scene.storage.cancel(jobs[3], "request1")
        await scene.storage.delete(jobs[3])
        assert await scene.length() == 3
        worker = await scene.worker()

        reply = await worker.exchange(slots=10)

        assert [grant.id for grant in reply.grants] == [jobs[1], jobs[4], jobs[5]]
        assert reply.dropped == []
        assert await scene.length() == 0

    async def test_more_removed_jobs_than_one_exchange_may_skip_are_skipped_by_the_next(
        self, scene: Scene
    ) -> None:
        jobs = await scene.create_many(SKIP_LIMIT + 10)
        for job in jobs:
            await scene.storage.delete(job)
        wanted = await scene.create()
        worker = await scene.worker()

        reply = await worker.exchange(slots=1)
        assert reply.grants == []
        assert reply.more

        reply = await worker.exchange(slots=1)
        assert [grant.id for grant in reply.grants] == [wanted]
        assert not reply.more
