"""Taking back what dead workers held."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.errors import WorkerGone
from asyncjobs.storage.base import Finished, Outcome, ReapReply, State
from asyncjobs.storage.conformance.scene import LEASE_MS, Scene, WorkerHand

NOTHING = ReapReply(recovered=[], failed=[], cancelled=[], more=False)


class ReapingTests:
    """`reap`, suspects and poison pills."""

    async def test_a_worker_within_its_lease_keeps_its_jobs(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.take_one()
        scene.clock.advance(LEASE_MS - 1)

        assert await scene.storage.reap(scene.shard) == NOTHING

        assert await scene.state(job_id) is State.PROCESSING

    async def test_the_jobs_of_a_dead_worker_are_enqueued_again(self, scene: Scene) -> None:
        first, second = await scene.create_many(2)
        worker = await scene.worker()
        await worker.take(2)
        await scene.die(worker)

        reply = await scene.storage.reap(scene.shard)

        assert sorted(reply.recovered) == [first, second]
        assert (reply.failed, reply.cancelled, reply.more) == ([], [], False)
        record = await scene.record(first)
        assert (record.state, record.recoveries, record.failures) == (State.ENQUEUED, 1, 0)
        assert (record.attempt, record.enqueued_ms) == (1, scene.clock())
        (entry,) = await scene.storage.history(first)
        assert (entry.event, entry.attempt, entry.worker) == ("recovered", 1, worker.id)
        assert worker.id not in [entry.id for entry in await scene.storage.workers()]
        assert await scene.total("recovered") == 2

    async def test_a_recovered_job_runs_again_with_the_next_attempt(self, scene: Scene) -> None:
        job_id = await scene.create()
        await self.lose(scene)
        heir = await scene.worker()

        grant = await heir.take_one()

        assert (grant.id, grant.attempt, grant.recoveries) == (job_id, 2, 1)
        assert await heir.finish(grant) is Finished.DONE

    async def test_a_reaped_worker_has_to_register_anew(self, scene: Scene) -> None:
        worker = await scene.worker()
        await scene.die(worker)
        await scene.storage.reap(scene.shard)

        with pytest.raises(WorkerGone):
            await worker.exchange(slots=1)
        with pytest.raises(WorkerGone):
            await worker.beat()

    async def test_the_worker_whose_lease_ran_out_first_is_reaped_first(self, scene: Scene) -> None:
        first, second = await scene.worker(), await scene.worker(lease_ms=LEASE_MS + 4)
        jobs = [await self.take_new(scene, first), await self.take_new(scene, second)]
        await scene.die(second)

        reply = await scene.storage.reap(scene.shard)
        assert (reply.recovered, reply.more) == ([jobs[0]], True)

        reply = await scene.storage.reap(scene.shard)
        assert (reply.recovered, reply.more) == ([jobs[1]], False)

    async def test_a_worker_known_to_be_dead_is_reaped_at_once(self, scene: Scene) -> None:
        dead, living = await scene.worker(), await scene.worker()
        job_id, kept = await self.take_new(scene, dead), await self.take_new(scene, living)

        reply = await scene.storage.reap(scene.shard, dead.id)

        assert (reply.recovered, reply.more) == ([job_id], False)
        assert await scene.state(kept) is State.PROCESSING
        assert await scene.storage.reap(scene.shard, dead.id) == NOTHING

    async def test_very_many_leases_are_taken_back_in_bounded_steps(self, scene: Scene) -> None:
        jobs = await scene.create_many(5)
        worker = await scene.worker()
        await worker.take(5)
        await scene.die(worker)

        replies = [await scene.storage.reap(scene.shard, limit=2) for _ in range(3)]

        assert [len(reply.recovered) for reply in replies] == [2, 2, 1]
        assert [reply.more for reply in replies] == [True, True, False]
        assert sorted(await scene.listed(State.ENQUEUED)) == jobs
        assert await scene.storage.reap(scene.shard) == NOTHING

    async def test_a_worker_that_is_being_reaped_can_do_nothing_more(self, scene: Scene) -> None:
        await scene.create_many(2)
        worker = await scene.worker()
        grants = await worker.take(2)
        await scene.storage.reap(scene.shard, worker.id, limit=1)

        (record,) = await scene.storage.workers()
        assert (record.reaping, record.running) == (True, 1)
        with pytest.raises(WorkerGone):
            await worker.beat()
        with pytest.raises(WorkerGone):
            await worker.finish(grants[1])

        reply = await scene.storage.reap(scene.shard, worker.id)
        assert (len(reply.recovered), reply.more) == (1, False)

    async def test_a_job_asked_to_be_cancelled_is_cancelled_when_its_worker_dies(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.take_one()
        await scene.storage.cancel(job_id, "request1")
        await scene.die(worker)

        reply = await scene.storage.reap(scene.shard)

        assert (reply.recovered, reply.cancelled) == ([], [job_id])
        record = await scene.record(job_id)
        assert (record.state, record.cancel_requested) == (State.CANCELLED, False)
        assert record.finished_ms == scene.clock()
        assert await scene.events(job_id) == ["cancelled"]
        assert await scene.listed(State.CANCELLED) == [job_id]
        assert await scene.total("cancelled") == 1

    async def test_a_recovered_job_puts_its_queues_marker(self, scene: Scene) -> None:
        await scene.create()
        await scene.take_marker()
        await self.lose(scene)

        assert await scene.take_marker() == "default"

    async def test_a_job_recovered_in_a_paused_queue_stays_there(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        await worker.take_one()
        await scene.storage.pause("default")

        await scene.storage.reap(scene.shard, worker.id)

        assert await scene.listed(State.ENQUEUED) == [job_id]
        assert await scene.take_marker() is None

    async def test_after_an_outage_nothing_is_reaped_for_one_lease(self, scene: Scene) -> None:
        first, second = await scene.worker(), await scene.worker()
        kept, lost = await self.take_new(scene, first), await self.take_new(scene, second)
        # Nobody could reach the storage for longer than a lease; then the first one can again.
        scene.clock.advance(LEASE_MS + 1_000)

        reply = await first.beat(held=1)

        assert not reply.expired
        assert await scene.storage.reap(scene.shard) == NOTHING
        for _ in range(4):
            scene.clock.advance(LEASE_MS // 4)
            reply = await first.beat(held=1)
        assert reply.expired
        assert (await scene.storage.reap(scene.shard)).recovered == [lost]
        assert await scene.state(kept) is State.PROCESSING

    async def test_after_an_outage_a_worker_known_to_be_dead_is_reaped_all_the_same(
        self, scene: Scene
    ) -> None:
        first, second = await scene.worker(), await scene.worker()
        job_id = await self.take_new(scene, second)
        scene.clock.advance(LEASE_MS + 1_000)
        await first.beat()

        assert (await scene.storage.reap(scene.shard, second.id)).recovered == [job_id]

    # -- suspects --

    async def test_a_suspect_runs_before_all_others_of_its_queue(self, scene: Scene) -> None:
        suspect = await scene.create(priority=-5)
        await self.lose(scene)
        high = await scene.create(priority=500)
        heir = await scene.worker()

        assert await scene.listed(State.ENQUEUED, "default") == [suspect, high]
        assert [grant.id for grant in await heir.take(2)] == [suspect, high]

    async def test_a_worker_runs_one_suspect_at_a_time(self, scene: Scene) -> None:
        suspects = await scene.create_many(2)
        await self.lose(scene)
        plain = await scene.create()
        first, second = await scene.worker(), await scene.worker()

        grants = await first.take(5)
        assert [grant.id for grant in grants] == [suspects[0], plain]
        assert await first.take(5) == []
        assert (await second.take_one()).id == suspects[1]

        await first.finish(grants[0])
        assert await scene.length() == 0

    async def test_a_worker_may_take_the_next_suspect_when_it_has_finished_one(self, scene: Scene) -> None:
        suspects = await scene.create_many(2)
        await self.lose(scene)
        heir = await scene.worker()
        first = await heir.take_one()

        await heir.finish(first, Outcome.RETRY, delay_ms=60_000)

        assert (await heir.take_one()).id == suspects[1]

    async def test_a_released_suspect_goes_to_the_head_of_the_suspects_and_wakes_others(
        self, scene: Scene
    ) -> None:
        suspects = await scene.create_many(2)
        await self.lose(scene)
        heir, other = await scene.worker(), await scene.worker()
        grant = await heir.take_one()
        await scene.take_marker()

        await heir.finish(grant, Outcome.RELEASED)

        assert await scene.listed(State.ENQUEUED) == suspects
        assert await scene.take_marker() == "default"
        assert (await other.take_one()).id == suspects[0]

    async def test_a_suspect_that_is_retried_is_a_job_like_others(self, scene: Scene) -> None:
        job_id = await scene.create()
        await self.lose(scene)
        heir = await scene.worker()
        await heir.run(Outcome.RETRY, delay_ms=100)
        other = await scene.create()
        scene.clock.advance(100)

        await heir.exchange()

        assert await scene.listed(State.ENQUEUED) == [other, job_id]

    async def test_a_poison_pill_is_failed_after_its_max_recoveries(self, scene: Scene) -> None:
        job_id = await scene.create(max_recoveries=2)

        # The first death makes it a suspect; from then on it is alone to blame.
        assert (await self.lose(scene)).recovered == [job_id]
        assert (await self.lose(scene)).recovered == [job_id]
        reply = await self.lose(scene)

        assert (reply.recovered, reply.failed) == ([], [job_id])
        record = await scene.record(job_id)
        assert (record.state, record.recoveries, record.attempt) == (State.FAILED, 2, 3)
        assert record.finished_ms == scene.clock()
        last = (await scene.storage.history(job_id))[-1]
        assert (last.event, last.error_type) == ("poisoned", "WorkerDied")
        assert last.error_message
        assert await scene.events(job_id) == ["recovered", "recovered", "poisoned"]
        assert await scene.total("failed") == 1

    async def test_bystanders_of_a_poison_pill_are_never_failed(self, scene: Scene) -> None:
        pill = await scene.create(max_recoveries=2)
        assert (await self.lose(scene)).recovered == [pill]
        for failed in ([], [pill]):
            bystander = await scene.create(max_recoveries=1)
            worker = await scene.worker()
            assert [grant.id for grant in await worker.take(2)] == [pill, bystander]

            reply = await scene.storage.reap(scene.shard, worker.id)

            assert reply.failed == failed
            assert bystander in reply.recovered
            heir, other = await scene.worker(), await scene.worker()
            suspects = [await heir.take_one(), *await other.take()]
            for grant, holder in zip(suspects, (heir, other), strict=False):
                await holder.finish(grant, Outcome.SUCCEEDED if grant.id == bystander else Outcome.RELEASED)
            assert await scene.state(bystander) is State.SUCCEEDED

    async def test_a_job_without_recoveries_is_failed_by_the_first_death(self, scene: Scene) -> None:
        job_id = await scene.create(max_recoveries=0)

        reply = await self.lose(scene)

        assert (reply.recovered, reply.failed) == ([], [job_id])
        assert await scene.events(job_id) == ["poisoned"]

    async def test_a_requeued_poison_pill_starts_from_nothing(self, scene: Scene) -> None:
        job_id = await scene.create(max_recoveries=1)
        await self.lose(scene)
        assert (await self.lose(scene)).failed == [job_id]

        await scene.storage.requeue(job_id, "request1")

        assert (await scene.record(job_id)).recoveries == 0
        assert (await self.lose(scene)).recovered == [job_id]

    async def lose(self, scene: Scene) -> ReapReply:
        """Have a worker take all it can get and die."""
        worker = await scene.worker()
        await worker.take(100)
        return await scene.storage.reap(scene.shard, worker.id)

    async def take_new(self, scene: Scene, worker: WorkerHand) -> str:
        """Have a worker run a new job; its id."""
        job_id = await scene.create()
        assert (await worker.take_one()).id == job_id
        return job_id
