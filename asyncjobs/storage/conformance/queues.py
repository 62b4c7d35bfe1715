"""What people do to whole queues and lists."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import Outcome, Requeued, State
from asyncjobs.storage.conformance.scene import Scene


class QueueTests:
    """`pause`, `resume`, `purge`, `clear`."""

    # -- pause and resume --

    async def test_a_paused_queue_is_known_and_said_to_be_paused(self, scene: Scene) -> None:
        await scene.storage.pause("mail")
        await scene.storage.pause("mail")

        (record,) = await scene.storage.queues()
        assert (record.name, record.paused, record.length, record.oldest_ms) == ("mail", True, 0, None)

        await scene.storage.resume("mail")
        (record,) = await scene.storage.queues()
        assert not record.paused

    async def test_pausing_takes_the_marker_away_and_resuming_puts_it_back(self, scene: Scene) -> None:
        await scene.create()

        await scene.storage.pause("default")
        assert await scene.take_marker() is None

        await scene.storage.resume("default")
        assert await scene.take_marker() == "default"

    async def test_resuming_an_empty_queue_puts_no_marker(self, scene: Scene) -> None:
        await scene.storage.pause("default")
        await scene.storage.resume("default")

        assert await scene.take_marker() is None

    async def test_a_queue_that_was_never_seen_stays_unknown_when_it_is_resumed(self, scene: Scene) -> None:
        await scene.storage.resume("nowhere")

        assert await scene.storage.queues() == []

    async def test_requeueing_and_promoting_into_a_paused_queue_puts_no_marker(self, scene: Scene) -> None:
        done, scheduled = await scene.finished(), await scene.create(delay_ms=100)
        await scene.storage.pause("default")

        await scene.storage.requeue(done, "request1")
        await scene.storage.promote(scheduled, "request1")

        assert await scene.take_marker() is None
        assert await scene.length() == 2

    async def test_a_queue_is_paused_on_all_shards(self, scene: Scene) -> None:
        await scene.create()
        await scene.storage.pause("default")
        for shard in range(scene.storage.shards):
            assert await scene.storage.wait_for_work(shard, ["default"], 0.01) is None

    # -- purge and clear --

    async def test_purging_deletes_enqueued_jobs_in_the_order_in_which_they_would_run(
        self, scene: Scene
    ) -> None:
        low = await scene.create(priority=-1)
        plain = await scene.create_many(2)
        high = await scene.create(priority=1)
        other = await scene.create("other")

        assert await scene.storage.purge(scene.shard, "default", 2) == (2, True)
        assert await scene.listed(State.ENQUEUED, "default") == [plain[1], low]
        assert await scene.storage.purge(scene.shard, "default", 2) == (2, False)

        assert await scene.storage.get(high) is None
        assert await scene.length() == 0
        assert await scene.listed(State.ENQUEUED) == [other]
        assert set((await scene.storage.stats()).totals.values()) == {0}

    async def test_purging_passes_over_jobs_that_were_cancelled(self, scene: Scene) -> None:
        first, second = await scene.create_many(2)
        await scene.storage.cancel(first, "request1")

        assert await scene.storage.purge(scene.shard, "default", 10) == (1, False)

        assert await scene.state(first) is State.CANCELLED
        assert await scene.state(second) is None
        assert await scene.storage.requeue(first, "request2") is Requeued.REQUEUED
        assert await scene.length() == 1

    async def test_purged_jobs_are_not_revived_by_their_create_sent_again(self, scene: Scene) -> None:
        job = scene.new_job()
        await scene.storage.create([job])
        await scene.storage.purge(scene.shard, "default", 10)

        await scene.storage.create([job])

        assert await scene.storage.get(job.id) is None

    async def test_purging_a_queue_that_was_never_seen_does_nothing(self, scene: Scene) -> None:
        assert await scene.storage.purge(scene.shard, "nowhere", 10) == (0, False)

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    async def test_clearing_deletes_the_jobs_of_a_final_state(self, scene: Scene, state: State) -> None:
        jobs: list[str] = []
        for _ in range(3):
            jobs.append(await scene.finished(state))
            scene.clock.advance(1)
        before = (await scene.storage.stats()).totals

        assert await scene.storage.clear(scene.shard, state, 2) == (2, True)
        assert await scene.listed(state) == jobs[2:]
        assert await scene.storage.clear(scene.shard, state, 2) == (1, False)

        assert (await scene.storage.stats()).totals == before

    async def test_clearing_deletes_waiting_jobs(self, scene: Scene) -> None:
        scheduled, running = await scene.create(delay_ms=100), await scene.create()
        worker = await scene.worker()
        await worker.run(Outcome.RETRY, delay_ms=100)

        assert await scene.storage.clear(scene.shard, State.SCHEDULED, 10) == (1, False)
        assert await scene.storage.clear(scene.shard, State.RETRYING, 10) == (1, False)

        assert await scene.storage.get(scheduled) is None
        assert await scene.storage.get(running) is None
        assert (await worker.exchange()).next_due_ms is None
