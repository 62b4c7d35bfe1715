"""Moving jobs to other queues."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

from asyncjobs.storage.base import LimitUse, Moved, Numbers, Outcome, State
from asyncjobs.storage.conformance.scene import Scene


class MovingTests:
    """`move`."""

    async def test_an_enqueued_job_goes_to_the_tail_of_its_new_queue(self, scene: Scene) -> None:
        moved, stays = await scene.create_many(2)
        there = await scene.create(queue="mail")

        assert await scene.storage.move(moved, "mail") is Moved.MOVED

        assert [job.id for job in (await scene.storage.jobs(State.ENQUEUED, queue="mail")).jobs] == [
            there,
            moved,
        ]
        assert [job.id for job in (await scene.storage.jobs(State.ENQUEUED, queue="default")).jobs] == [stays]
        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(5, "mail")] == [there, moved]
        assert [grant.id for grant in await worker.take(5, "default")] == [stays]

    async def test_the_new_queue_gets_its_marker(self, scene: Scene) -> None:
        job = await scene.create()
        assert await scene.take_marker() == "default"

        await scene.storage.move(job, "mail")

        assert await scene.take_marker("mail") == "mail"

    async def test_a_job_that_is_moved_away_and_back_runs_once(self, scene: Scene) -> None:
        job, other = await scene.create_many(2)

        await scene.storage.move(job, "mail")
        await scene.storage.move(job, "default")

        worker = await scene.worker()
        grants = await worker.take(5, "mail", "default")
        assert sorted(grant.id for grant in grants) == sorted([job, other])
        assert await worker.take(5, "mail", "default") == []
        assert await scene.length() == 0

    async def test_a_job_of_a_priority_keeps_it(self, scene: Scene) -> None:
        await scene.create(queue="mail")
        job = await scene.create(priority=5)

        await scene.storage.move(job, "mail")

        worker = await scene.worker()
        assert (await worker.take_one("mail")).id == job

    async def test_a_scheduled_job_is_run_from_its_new_queue(self, scene: Scene) -> None:
        job = await scene.create(delay_ms=100)

        assert await scene.storage.move(job, "mail") is Moved.MOVED

        scene.clock.advance(100)
        worker = await scene.worker()
        assert await worker.take(5) == []
        assert (await worker.take_one("mail")).id == job

    async def test_a_job_that_has_ended_is_requeued_into_its_new_queue(self, scene: Scene) -> None:
        job = await scene.finished()

        assert await scene.storage.move(job, "mail") is Moved.MOVED
        await scene.storage.requeue(job, "request1")

        worker = await scene.worker()
        assert (await worker.take_one("mail")).id == job

    async def test_a_running_job_and_one_that_is_gone_stay_as_they_are(self, scene: Scene) -> None:
        job = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()

        assert await scene.storage.move(job, "mail") is Moved.RUNNING
        assert await scene.storage.move(scene.new_id(), "mail") is Moved.MISSING

        await worker.finish(grant, Outcome.RELEASED)
        assert (await worker.take_one("default")).id == job

    async def test_a_throttled_job_waits_in_its_new_queue(self, scene: Scene) -> None:
        limits = (LimitUse("one", "", Numbers(1)),)
        first, second = await scene.create(limits=limits), await scene.create(limits=limits)
        assert (await scene.storage.get(second)).state is State.THROTTLED  # type: ignore[union-attr]

        assert await scene.storage.move(second, "mail") is Moved.MOVED

        worker = await scene.worker()
        assert (await worker.take_one("mail")).id == second
        assert await worker.take(5, "default") == []
        assert (await scene.storage.get(first)).state is State.THROTTLED  # type: ignore[union-attr]
