"""Waiting: for work, and for a job's end."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import asyncio
import time

import pytest

from asyncjobs.storage.base import Finish, Outcome, State
from asyncjobs.storage.conformance.scene import BRIEFLY, SOON, Scene


class WaitingTests:
    """`wait_for_work`, `watch`, `receive`."""

    # -- markers --

    async def test_a_waiting_worker_is_woken_by_a_new_job(self, scene: Scene) -> None:
        waiting = asyncio.create_task(scene.storage.wait_for_work(scene.shard, ["default", "mail"], SOON))
        await asyncio.sleep(0)

        await scene.create("mail")

        assert await waiting == "mail"

    async def test_waiting_for_work_ends_by_itself(self, scene: Scene) -> None:
        began = time.monotonic()

        assert await scene.storage.wait_for_work(scene.shard, ["default"], BRIEFLY) is None

        assert time.monotonic() - began < SOON

    async def test_one_marker_wakes_one_worker(self, scene: Scene) -> None:
        await scene.create_many(3)

        woken = await asyncio.gather(
            *(scene.storage.wait_for_work(scene.shard, ["default"], BRIEFLY) for _ in range(3))
        )

        assert sorted(woken, key=str) == [None, None, "default"]

    async def test_of_several_markers_that_of_the_queue_named_first_is_taken(self, scene: Scene) -> None:
        await scene.create("second")
        await scene.create("first")

        assert await scene.take_marker("first", "second") == "first"
        assert await scene.take_marker("first", "second") == "second"

    async def test_an_exchange_puts_the_marker_back_while_jobs_are_left(self, scene: Scene) -> None:
        await scene.create_many(2)
        worker = await scene.worker()
        assert await scene.take_marker() == "default"

        await worker.exchange(slots=1, popped=["default"])
        assert await scene.take_marker() == "default"

        await worker.exchange(slots=1, popped=["default"])
        assert await scene.take_marker() is None

    async def test_an_exchange_puts_the_marker_back_of_a_queue_it_had_no_slots_for(
        self, scene: Scene
    ) -> None:
        await scene.create("low")
        await scene.create("high")
        worker = await scene.worker()
        assert await scene.take_marker("low") == "low"

        await worker.exchange(slots=1, queues=["high", "low"], popped=["low"])

        assert await scene.take_marker("low") == "low"

    async def test_a_marker_taken_by_a_worker_that_serves_its_queue_no_more_is_put_back(
        self, scene: Scene
    ) -> None:
        await scene.create()
        worker = await scene.worker()
        assert await scene.take_marker() == "default"

        await worker.exchange(queues=[], popped=["default"])

        assert await scene.take_marker() == "default"

    async def test_an_exchange_puts_no_marker_of_a_paused_queue(self, scene: Scene) -> None:
        await scene.create()
        worker = await scene.worker()
        await scene.take_marker()
        await scene.storage.pause("default")

        await worker.exchange(slots=1, popped=["default"])
        await worker.exchange(queues=[], popped=["default"])

        assert await scene.take_marker() is None

    async def test_suspects_wake_the_next_worker_but_not_the_same_one_again(self, scene: Scene) -> None:
        await scene.create_many(3)
        dead = await scene.worker()
        await dead.take(3)
        await scene.storage.reap(scene.shard, dead.id)
        first, second = await scene.worker(), await scene.worker()
        assert await scene.take_marker() == "default"

        assert len(await first.take(5)) == 1
        assert await scene.take_marker() == "default"

        assert await first.take(5) == []
        assert await scene.take_marker() is None

        assert len(await second.take(5)) == 1
        assert await scene.take_marker() == "default"

    # -- ends of jobs --

    @pytest.mark.parametrize(
        ("outcome", "state"),
        [
            (Outcome.SUCCEEDED, State.SUCCEEDED),
            (Outcome.FAILED, State.FAILED),
            (Outcome.CANCELLED, State.CANCELLED),
        ],
    )
    async def test_a_watched_jobs_end_is_told(self, scene: Scene, outcome: Outcome, state: State) -> None:
        job_id = await scene.create()
        watched = await scene.storage.watch(job_id, "inbox-1")
        assert watched == await scene.record(job_id)
        receiving = asyncio.create_task(scene.storage.receive(scene.shard, "inbox-1", SOON))
        worker = await scene.worker()

        await worker.run(outcome)

        assert await receiving == [job_id]
        assert await scene.state(job_id) is state

    async def test_ends_are_kept_until_they_are_received(self, scene: Scene) -> None:
        jobs = await scene.create_many(3)
        for job_id in jobs:
            await scene.storage.watch(job_id, "inbox-1")
        worker = await scene.worker()
        for _ in jobs:
            await worker.run()

        assert await scene.storage.receive(scene.shard, "inbox-1", SOON) == jobs
        assert await scene.storage.receive(scene.shard, "inbox-1", BRIEFLY) == []

    async def test_what_is_there_is_received_without_waiting(self, scene: Scene) -> None:
        job_id = await scene.create()
        await scene.storage.watch(job_id, "inbox-1")
        await scene.storage.cancel(job_id, "request1")

        async with asyncio.timeout(SOON):
            assert await scene.storage.receive(scene.shard, "inbox-1", 0) == [job_id]
            assert await scene.storage.receive(scene.shard, "inbox-1", 0) == []
            assert await scene.storage.wait_for_work(scene.shard, ["default"], 0) == "default"
            assert await scene.storage.wait_for_work(scene.shard, ["default"], 0) is None

    async def test_all_who_watch_are_told_once(self, scene: Scene) -> None:
        job_id = await scene.create()
        for inbox in ("inbox-1", "inbox-2", "inbox-1"):
            await scene.storage.watch(job_id, inbox)

        await scene.storage.cancel(job_id, "request1")

        assert await scene.storage.receive(scene.shard, "inbox-1", SOON) == [job_id]
        assert await scene.storage.receive(scene.shard, "inbox-2", SOON) == [job_id]
        assert await scene.storage.receive(scene.shard, "inbox-3", BRIEFLY) == []

    async def test_an_attempt_that_is_retried_is_not_the_end(self, scene: Scene) -> None:
        job_id = await scene.create()
        await scene.storage.watch(job_id, "inbox-1")
        worker = await scene.worker()
        await worker.run(Outcome.RETRY)
        assert await scene.storage.receive(scene.shard, "inbox-1", BRIEFLY) == []

        await worker.run()

        assert await scene.storage.receive(scene.shard, "inbox-1", SOON) == [job_id]

    async def test_a_job_that_has_ended_is_not_watched(self, scene: Scene) -> None:
        job_id = await scene.finished()

        watched = await scene.storage.watch(job_id, "inbox-1")

        assert watched is not None
        assert watched.state is State.SUCCEEDED
        await scene.storage.requeue(job_id, "request1")
        await scene.storage.cancel(job_id, "request2")
        assert await scene.storage.receive(scene.shard, "inbox-1", BRIEFLY) == []

    async def test_a_job_that_is_not_there_is_not_watched(self, scene: Scene) -> None:
        removed = await scene.create()
        await scene.storage.delete(removed)

        assert await scene.storage.watch(scene.new_id(), "inbox-1") is None
        assert await scene.storage.watch(removed, "inbox-1") is None

    async def test_the_end_of_a_job_that_is_not_kept_is_told(self, scene: Scene) -> None:
        job_id = await scene.create()
        await scene.storage.watch(job_id, "inbox-1")
        worker = await scene.worker()

        await worker.run(retention_ms=0)

        assert await scene.storage.receive(scene.shard, "inbox-1", SOON) == [job_id]
        assert await scene.storage.get(job_id) is None

    async def test_whoever_waits_for_a_job_that_is_deleted_is_told(self, scene: Scene) -> None:
        deleted, purged = await scene.create(delay_ms=100), await scene.create()
        for job_id in (deleted, purged):
            await scene.storage.watch(job_id, "inbox-1")

        await scene.storage.delete(deleted)
        await scene.storage.purge(scene.shard, "default", 10)

        assert await scene.storage.receive(scene.shard, "inbox-1", SOON) == [deleted, purged]

    async def test_the_end_of_a_job_whose_worker_died_is_told(self, scene: Scene) -> None:
        poisoned, cancelled = await scene.create(max_recoveries=0), await scene.create()
        worker = await scene.worker()
        await worker.take(2)
        await scene.storage.cancel(cancelled, "request1")
        for job_id in (poisoned, cancelled):
            await scene.storage.watch(job_id, "inbox-1")

        await scene.storage.reap(scene.shard, worker.id)

        received = await scene.storage.receive(scene.shard, "inbox-1", SOON)
        assert sorted(received) == [poisoned, cancelled]

    async def test_a_job_ended_by_an_exchange_sent_again_is_told_once(self, scene: Scene) -> None:
        job_id = await scene.create()
        await scene.storage.watch(job_id, "inbox-1")
        worker = await scene.worker()
        grant = await worker.take_one()
        finish = Finish(grant.id, grant.exchange, Outcome.SUCCEEDED)
        await worker.exchange(finish)
        await worker.exchange(finish, number=worker.number)

        assert await scene.storage.receive(scene.shard, "inbox-1", SOON) == [job_id]
        assert await scene.storage.receive(scene.shard, "inbox-1", BRIEFLY) == []
