"""Workers and their leases."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from asyncjobs.errors import WorkerGone
from asyncjobs.storage.base import HeartbeatReply, State, WorkerRecord
from asyncjobs.storage.conformance.scene import BRIEFLY, LEASE_MS, SOON, Scene, WorkerHand


class LeaseTests:
    """`register`, `unregister`, `heartbeat_link`, `command`, `workers`."""

    async def test_a_registered_worker_is_known_with_its_lease(self, scene: Scene) -> None:
        info: dict[str, object] = {"host": "web-1", "pid": 7, "queues": ["default"]}

        now = await scene.storage.register(scene.shard, "worker-a", info, 5_000)

        assert now == scene.clock()
        assert await scene.storage.workers() == [
            WorkerRecord(id="worker-a", info=info, deadline_ms=now + 5_000, running=0)
        ]
        assert (await scene.storage.stats()).workers == 1

    async def test_registering_again_renews_the_lease_and_keeps_what_is_held(self, scene: Scene) -> None:
        await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        now = scene.clock.advance(100)

        await scene.storage.register(scene.shard, worker.id, {}, LEASE_MS)

        (record,) = await scene.storage.workers()
        assert (record.running, record.deadline_ms) == (1, now + LEASE_MS)
        await worker.finish(grant)
        assert await scene.state(grant.id) is State.SUCCEEDED

    async def test_a_worker_on_several_shards_is_one(self, scene: Scene) -> None:
        for shard in range(scene.storage.shards):
            await scene.storage.register(shard, "worker-a", {"pid": 7}, LEASE_MS)

        (record,) = await scene.storage.workers()

        assert (record.id, record.info) == ("worker-a", {"pid": 7})

    async def test_a_worker_without_leases_can_be_unregistered(self, scene: Scene) -> None:
        worker = await scene.worker()

        assert await scene.storage.unregister(scene.shard, worker.id)
        assert await scene.storage.unregister(scene.shard, worker.id)

        assert await scene.storage.workers() == []
        with pytest.raises(WorkerGone):
            await worker.exchange()

    async def test_a_worker_with_leases_is_not_unregistered(self, scene: Scene) -> None:
        await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()

        assert not await scene.storage.unregister(scene.shard, worker.id)

        await worker.finish(grant)
        assert await scene.storage.unregister(scene.shard, worker.id)

    async def test_a_heartbeat_renews_the_lease(self, scene: Scene) -> None:
        worker = await scene.worker()
        now = scene.clock.advance(3_000)

        reply = await worker.beat()

        assert reply == HeartbeatReply(
            now, cancelled=[], held=None, expired=False, follow_ups=False, command=""
        )
        (record,) = await scene.storage.workers()
        assert record.deadline_ms == now + LEASE_MS

    async def test_a_heartbeat_replaces_what_the_worker_says_of_itself(self, scene: Scene) -> None:
        worker = await scene.worker(info={"running": 1, "host": "web-1"})

        await worker.beat(info={"running": 2})
        await worker.beat()

        (record,) = await scene.storage.workers()
        assert record.info == {"running": 2}

    async def test_a_heartbeat_tells_the_leases_if_their_number_is_another(self, scene: Scene) -> None:
        await scene.create_many(2)
        worker = await scene.worker()
        first = await worker.take_one()
        second = await worker.take_one()

        held = (await worker.beat(held=1)).held
        assert held is not None
        assert sorted(held) == sorted([(first.id, 1), (second.id, 2)])
        assert (await worker.beat(held=2)).held is None

        await worker.finish(first)
        assert (await worker.beat(held=2)).held == [(second.id, 2)]

    async def test_a_heartbeat_tells_what_is_to_be_cancelled_until_it_has_ended(self, scene: Scene) -> None:
        await scene.create_many(2)
        worker = await scene.worker()
        first, second = await worker.take(2)
        await scene.storage.cancel(first.id, "request1")

        assert (await worker.beat(held=2)).cancelled == [first.id]
        assert (await worker.beat(held=2)).cancelled == [first.id]
        await worker.finish(first)
        assert (await worker.beat(held=1)).cancelled == []
        assert await scene.state(second.id) is State.PROCESSING

    async def test_a_heartbeat_tells_the_workers_command(self, scene: Scene) -> None:
        worker, other = await scene.worker(), await scene.worker()

        assert await scene.storage.command(worker.id, "quiet")

        assert (await worker.beat()).command == "quiet"
        assert (await other.beat()).command == ""
        assert await scene.storage.command(worker.id, "stop")
        assert (await worker.beat()).command == "stop"

    async def test_a_command_to_nobody_is_refused(self, scene: Scene) -> None:
        assert not await scene.storage.command("nobody", "quiet")
        assert await scene.storage.workers() == []

    async def test_a_heartbeat_tells_that_another_workers_lease_has_run_out(self, scene: Scene) -> None:
        dead, witness = await scene.worker(), await scene.worker()
        scene.clock.advance(LEASE_MS // 2)
        assert not (await witness.beat()).expired
        scene.clock.advance(LEASE_MS // 2 - 1)
        assert not (await witness.beat()).expired
        scene.clock.advance(1)

        assert (await witness.beat()).expired

        await scene.storage.reap(scene.shard, dead.id)
        assert not (await witness.beat()).expired

    async def test_a_worker_past_its_deadline_that_nobody_reaped_goes_on(self, scene: Scene) -> None:
        await scene.create()
        worker = await scene.worker()
        await scene.die(worker)

        assert (await worker.beat()).now_ms == scene.clock()
        assert len(await worker.take()) == 1
        assert (await scene.storage.reap(scene.shard)).recovered == []

    async def test_a_worker_that_is_not_registered_has_no_heartbeat(self, scene: Scene) -> None:
        worker = WorkerHand(scene, "nobody", LEASE_MS)

        with pytest.raises(WorkerGone):
            await worker.beat()
        assert await scene.storage.workers() == []

    async def test_a_heartbeat_gets_through_while_the_event_loop_is_blocked(self, scene: Scene) -> None:
        worker = await scene.worker()
        now = scene.clock.advance(3_000)
        link = scene.storage.heartbeat_link(scene.shard, worker.id, LEASE_MS)
        replies: list[HeartbeatReply] = []
        thread = threading.Thread(target=lambda: replies.append(link.beat(0)), daemon=True)
        thread.start()

        thread.join(SOON)

        assert [reply.now_ms for reply in replies] == [now]
        link.close()
        (record,) = await scene.storage.workers()
        assert record.deadline_ms == now + LEASE_MS

    async def test_a_cancel_ends_the_heartbeats_wait(self, scene: Scene) -> None:
        await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()

        told, seconds = await _wait_while(scene, worker, lambda: scene.storage.cancel(grant.id, "request1"))

        assert told
        assert seconds < SOON

    async def test_a_command_ends_the_heartbeats_wait(self, scene: Scene) -> None:
        worker = await scene.worker()

        told, seconds = await _wait_while(scene, worker, lambda: scene.storage.command(worker.id, "quiet"))

        assert told
        assert seconds < SOON

    async def test_the_heartbeats_wait_ends_by_itself(self, scene: Scene) -> None:
        worker = await scene.worker()
        link = scene.storage.heartbeat_link(scene.shard, worker.id, LEASE_MS)

        assert not await asyncio.to_thread(link.wait, BRIEFLY)
        await asyncio.to_thread(link.close)


async def _wait_while(
    scene: Scene, worker: WorkerHand, act: Callable[[], Awaitable[object]]
) -> tuple[bool, float]:
    """What a heartbeat's wait gives while something is done, and how many seconds it took."""
    link = scene.storage.heartbeat_link(scene.shard, worker.id, LEASE_MS)
    begun = threading.Event()

    def wait() -> bool:
        begun.set()
        return link.wait(2 * SOON)

    began = time.monotonic()
    waiting = asyncio.create_task(asyncio.to_thread(wait))
    await asyncio.to_thread(begun.wait, SOON)
    await act()
    told = await waiting
    await asyncio.to_thread(link.close)
    return told, time.monotonic() - began
