"""How long finished jobs are kept."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import Finish, Outcome, Retention, State
from asyncjobs.storage.conformance.scene import Scene, WorkerHand

FOR_EVER = 10**12


class RetentionTests:
    """Retention at the end of a job, in exchanges, and by `trim`."""

    # -- a retention of the job's own --

    async def test_a_job_with_no_retention_is_removed_as_it_ends(self, scene: Scene) -> None:
        job = scene.new_job()
        await scene.storage.create([job])
        worker = await scene.worker()

        await worker.run(retention_ms=0)

        assert await scene.storage.get(job.id) is None
        assert await scene.listed(State.SUCCEEDED) == []
        assert await scene.total("succeeded") == 1
        assert await scene.total("trimmed") == 0
        await scene.storage.create([job])
        assert await scene.storage.get(job.id) is None

    async def test_a_failed_job_with_no_retention_is_removed_with_its_history(self, scene: Scene) -> None:
        job_id = await scene.finished(State.FAILED, retention_ms=0)

        assert await scene.storage.get(job_id) is None
        assert await scene.storage.history(job_id) == []
        assert await scene.total("failed") == 1

    async def test_a_retention_of_its_own_keeps_a_job_just_so_long(self, scene: Scene) -> None:
        job_id = await scene.finished(retention_ms=500)
        scene.clock.advance(499)
        assert not await scene.storage.trim(scene.shard, Retention(), 100)
        assert await scene.state(job_id) is State.SUCCEEDED

        scene.clock.advance(1)
        await scene.storage.trim(scene.shard, Retention(), 100)

        assert await scene.state(job_id) is None
        assert await scene.listed(State.SUCCEEDED) == []
        assert await scene.total("trimmed") == 1

    async def test_a_retention_of_its_own_outlasts_that_of_the_list(self, scene: Scene) -> None:
        own = await scene.finished(retention_ms=FOR_EVER)
        plain = await scene.finished()
        scene.clock.advance(1_000)

        await scene.storage.trim(scene.shard, Retention(succeeded_ms=1_000), 100)

        assert await scene.state(own) is State.SUCCEEDED
        assert await scene.state(plain) is None

    async def test_a_requeued_job_has_no_retention_of_its_own_any_more(self, scene: Scene) -> None:
        short, long = await scene.finished(retention_ms=500), await scene.finished(retention_ms=FOR_EVER)
        await scene.storage.requeue(short, "request1")
        await scene.storage.requeue(long, "request1")
        scene.clock.advance(1_000)
        await scene.storage.trim(scene.shard, Retention(), 100)
        assert await scene.listed(State.ENQUEUED) == [short, long]

        worker = await scene.worker()
        await worker.run()
        await worker.run()
        await scene.storage.trim(scene.shard, Retention(), 100)
        assert await scene.listed(State.SUCCEEDED) == [short, long]

        scene.clock.advance(1_000)
        await scene.storage.trim(scene.shard, Retention(succeeded_ms=1_000), 100)
        assert await scene.listed(State.SUCCEEDED) == []

    async def test_the_greatest_number_counts_for_jobs_with_a_retention_of_their_own_too(
        self, scene: Scene
    ) -> None:
        own = await scene.finished(retention_ms=FOR_EVER)
        scene.clock.advance(1)
        later = await scene.finished()

        await scene.storage.trim(scene.shard, Retention(max_jobs=1), 100)

        assert await scene.listed(State.SUCCEEDED) == [later]
        assert await scene.state(own) is None

    # -- by exchanges --

    async def test_an_exchange_removes_what_is_over_the_greatest_number(self, scene: Scene) -> None:
        jobs = await self.end_one_by_one(scene, 3)
        worker = await scene.worker()

        last = await self.end_one(scene, worker, Retention(max_jobs=2))

        assert await scene.listed(State.SUCCEEDED) == [jobs[2], last]
        assert await scene.total("trimmed") == 2

    async def test_an_exchange_removes_what_is_too_old(self, scene: Scene) -> None:
        old = await self.end_one_by_one(scene, 1)
        scene.clock.advance(999)
        worker = await scene.worker()

        young = await self.end_one(scene, worker, Retention(succeeded_ms=1_000))

        assert await scene.listed(State.SUCCEEDED) == [young]
        assert await scene.state(old[0]) is None

    async def test_an_exchange_removes_at_most_twice_as_many_as_it_ends(self, scene: Scene) -> None:
        jobs = await self.end_one_by_one(scene, 8)
        worker = await scene.worker()

        last = await self.end_one(scene, worker, Retention(max_jobs=1))

        assert await scene.listed(State.SUCCEEDED) == [*jobs[2:], last]

        scene.clock.advance(1_000)
        await self.end_one(scene, worker, Retention(succeeded_ms=500))
        assert len(await scene.listed(State.SUCCEEDED)) == 6

    async def test_an_exchange_looks_only_at_lists_that_it_added_to(self, scene: Scene) -> None:
        succeeded = await self.end_one_by_one(scene, 3)
        await scene.create()
        worker = await scene.worker()

        grant = await worker.take_one()
        await worker.finish(grant, Outcome.FAILED, retention=Retention(max_jobs=0))

        assert await scene.listed(State.FAILED) == []
        assert await scene.listed(State.SUCCEEDED) == succeeded

    async def test_a_job_that_is_over_the_greatest_number_at_once_is_removed(self, scene: Scene) -> None:
        worker = await scene.worker()

        job_id = await self.end_one(scene, worker, Retention(max_jobs=0))

        assert await scene.state(job_id) is None
        assert await scene.total("succeeded") == 1
        assert await scene.total("trimmed") == 1

    async def test_very_many_jobs_with_a_retention_of_their_own_do_not_hide_older_plain_ones(
        self, scene: Scene
    ) -> None:
        await scene.create_many(250)
        worker = await scene.worker()
        grants = await worker.take(250)
        await worker.exchange(
            *(Finish(grant.id, grant.exchange, Outcome.SUCCEEDED, retention_ms=FOR_EVER) for grant in grants)
        )
        scene.clock.advance(1)
        plain = await self.end_one_by_one(scene, 3)
        scene.clock.advance(1_000)

        for _ in range(5):
            await scene.storage.trim(scene.shard, Retention(succeeded_ms=1_000), 100)

        assert [await scene.state(job_id) for job_id in plain] == [None, None, None]
        assert len(await scene.listed(State.SUCCEEDED)) == 250

    # -- by trim --

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    async def test_each_final_list_has_an_age(self, scene: Scene, state: State) -> None:
        jobs = {
            final: await scene.finished(final) for final in (State.SUCCEEDED, State.FAILED, State.CANCELLED)
        }
        ages = {
            "succeeded_ms": FOR_EVER,
            "failed_ms": FOR_EVER,
            "cancelled_ms": FOR_EVER,
            f"{state}_ms": 1_000,
        }
        scene.clock.advance(999)
        assert not await scene.storage.trim(scene.shard, Retention(**ages), 100)
        assert len([job for job in jobs.values() if await scene.state(job)]) == 3

        scene.clock.advance(1)
        await scene.storage.trim(scene.shard, Retention(**ages), 100)

        assert [final for final, job in jobs.items() if await scene.state(job) is None] == [state]

    async def test_trimming_is_bounded_and_tells_that_more_is_there(self, scene: Scene) -> None:
        jobs = await self.end_one_by_one(scene, 5)
        failed = await scene.finished(State.FAILED)
        retention = Retention(max_jobs=0)

        assert await scene.storage.trim(scene.shard, retention, 5)
        assert await scene.listed(State.SUCCEEDED) == []
        assert await scene.state(failed) is State.FAILED

        while await scene.storage.trim(scene.shard, retention, 5):
            assert await scene.state(failed) is not None
        assert await scene.state(failed) is None
        assert await scene.total("trimmed") == len(jobs) + 1

    async def test_a_job_requeued_before_its_time_is_not_trimmed(self, scene: Scene) -> None:
        job_id = await scene.finished()
        await scene.storage.requeue(job_id, "request1")

        await scene.storage.trim(scene.shard, Retention(max_jobs=0), 100)

        assert await scene.state(job_id) is State.ENQUEUED

    async def end_one(self, scene: Scene, worker: WorkerHand, retention: Retention) -> str:
        """Make a job and end it with a retention; its id."""
        job_id = await scene.create()
        await worker.finish(await worker.take_one(), retention=retention)
        return job_id

    async def end_one_by_one(self, scene: Scene, count: int) -> list[str]:
        """Make jobs and end them well, a millisecond apart; their ids, oldest first."""
        worker = await scene.worker()
        jobs: list[str] = []
        for _ in range(count):
            jobs.append(await self.end_one(scene, worker, Retention()))
            scene.clock.advance(1)
        return jobs
