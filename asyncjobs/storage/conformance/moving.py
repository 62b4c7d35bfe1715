"""Moving jobs to other queues."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import itertools

import pytest

from asyncjobs.storage.base import LimitUse, Moved, Numbers, Outcome, State
from asyncjobs.storage.conformance.limiting import Limited
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

    async def test_a_job_that_is_moved_away_and_back_is_at_the_tail_once(self, scene: Scene) -> None:
        job, other = await scene.create_many(2)

        await scene.storage.move(job, "mail")
        await scene.storage.move(job, "default")

        assert await scene.listed(State.ENQUEUED, "default") == [other, job]
        assert (await scene.length(), await scene.length("mail")) == (2, 0)
        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(1, "mail", "default")] == [other]
        assert await scene.length() == 1
        assert [grant.id for grant in await worker.take(5, "mail", "default")] == [job]
        assert await worker.take(5, "mail", "default") == []
        assert await scene.length() == 0

    async def test_a_job_that_is_moved_on_is_counted_in_its_last_queue_alone(self, scene: Scene) -> None:
        moved, *others = await scene.create_many(3)

        for queue in ("mail", "sms", "fax", "mail", "sms"):
            await scene.storage.move(moved, queue)
            assert await scene.listed(State.ENQUEUED, queue) == [moved]
            assert await self.lengths(scene, queue) == [2, 1]

        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(1)] == others[:1]
        assert await scene.length() == 1
        assert [grant.id for grant in await worker.take(5, "fax", "mail", "sms")] == [moved]
        assert await worker.take(5, "fax", "mail", "sms") == []
        assert await self.lengths(scene, "mail", "sms", "fax") == [1, 0, 0, 0]

    @pytest.mark.parametrize("queues", [("mail",), ("mail", "sms"), ("mail", "default")])
    @pytest.mark.parametrize("way", ["cancelled", "deleted", "purged"])
    async def test_a_moved_job_that_is_taken_away_leaves_all_lengths_right(
        self, scene: Scene, way: str, queues: tuple[str, ...]
    ) -> None:
        job, *_ = await scene.create_many(3)
        for queue in queues:
            await scene.storage.move(job, queue)

        if way == "cancelled":
            await scene.storage.cancel(job, "request1")
        elif way == "deleted":
            await scene.storage.delete(job, "request1")
        else:
            # What comes before it in its queue goes with it, and what it left there doesn't count.
            while (await scene.storage.purge(scene.shard, queues[-1], 1))[1]:
                pass

        left = 0 if way == "purged" and queues[-1] == "default" else 2
        assert await self.lengths(scene, *queues) == [left, *(left if q == "default" else 0 for q in queues)]
        # Nor does it when somebody has come past it.
        worker = await scene.worker()
        assert len(await worker.take(5, "default", "mail", "sms")) == left
        for queue in {"default", *queues}:
            await scene.create(queue)
            assert await scene.length(queue) == 1

    async def test_a_moved_job_that_was_cancelled_is_requeued_at_the_tail(self, scene: Scene) -> None:
        job, other = await scene.create_many(2)
        await scene.storage.cancel(job, "request1")
        await scene.storage.move(job, "mail")
        await scene.storage.move(job, "default")

        await scene.storage.requeue(job, "request2")

        assert await scene.listed(State.ENQUEUED, "default") == [other, job]
        assert await self.lengths(scene, "mail") == [2, 0]

    async def test_a_purge_takes_no_notice_of_jobs_that_were_moved_away(self, scene: Scene) -> None:
        ids = await scene.create_many(5)
        for job in ids[:4]:
            await scene.storage.move(job, "mail")
            await scene.storage.move(job, "sms")

        deleted = 0
        more = True
        while more:
            count, more = await scene.storage.purge(scene.shard, "default", 2)
            deleted += count

        assert deleted == 1
        assert await self.lengths(scene, "mail", "sms") == [0, 0, 4]
        assert await scene.listed(State.ENQUEUED, "sms") == ids[:4]

    async def lengths(self, scene: Scene, *queues: str) -> list[int]:
        """How long `default` and others are."""
        return [await scene.length(queue) for queue in ("default", *queues)]

    async def test_a_recovered_job_stays_a_suspect(self, scene: Scene) -> None:
        suspects = await scene.create_many(2)
        dead = await scene.worker()
        await dead.take(2)
        await scene.storage.reap(scene.shard, dead.id)
        plain = await scene.create("mail")

        for job in suspects:
            await scene.storage.move(job, "mail")

        assert await self.lengths(scene, "mail") == [0, 3]
        assert await scene.listed(State.ENQUEUED, "mail") == [*suspects, plain]
        # Of them, a worker runs one at a time.
        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(5, "default", "mail")] == [suspects[0], plain]

    async def test_a_poison_pill_is_failed_however_often_it_is_moved(self, scene: Scene) -> None:
        job = await scene.create(max_recoveries=2)
        queues = itertools.cycle(["mail", "default"])
        recovered = 0
        worker = await scene.worker()
        await worker.take_one()
        while (await scene.storage.reap(scene.shard, worker.id)).recovered:
            recovered += 1
            assert recovered < 5
            queue = next(queues)
            await scene.storage.move(job, queue)
            worker = await scene.worker()
            await worker.take_one(queue)

        assert await scene.state(job) is State.FAILED
        assert recovered == 2  # its first worker had it when it wasn't under suspicion yet

    async def test_a_suspect_that_is_throttled_stays_one_in_its_new_queue(self, scene: Scene) -> None:
        limit = Limited(scene)
        suspect = await limit.create(max_recoveries=1)
        dead = await scene.worker()
        await dead.take_one()
        await scene.storage.reap(scene.shard, dead.id)
        await limit.create("other")
        busy, heir = await scene.worker(), await scene.worker()
        grant = await busy.take_one("other")
        # Once while it is enqueued, which throttles it, and once more.
        await scene.storage.move(suspect, "mail")
        assert await heir.take(1, "mail") == []
        assert await scene.state(suspect) is State.THROTTLED
        await scene.storage.move(suspect, "sms")

        await busy.finish(grant)

        assert (await heir.take_one("sms")).id == suspect
        assert (await scene.storage.reap(scene.shard, heir.id)).failed == [suspect]

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
