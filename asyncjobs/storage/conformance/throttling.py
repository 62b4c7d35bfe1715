"""Throttled jobs: in several queues, as suspects, by hand, in batches, and very many of them."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import (
    FOLLOW_LIMIT,
    BatchState,
    Cancelled,
    Deleted,
    Numbers,
    On,
    Opened,
    Outcome,
    Parent,
    Requeued,
    State,
)
from asyncjobs.storage.conformance.limiting import Limited, states
from asyncjobs.storage.conformance.scene import Scene

MANY = 2 * FOLLOW_LIMIT + 100


class ThrottlingTests:
    """What becomes of those that wait for a limit."""

    # -- several queues --

    async def test_a_queue_that_nobody_serves_keeps_no_slot_from_others(self, scene: Scene) -> None:
        limit = Limited(scene)
        asleep = await limit.create("asleep")
        awake = await limit.create_many(2, "awake")
        assert await states(scene, [asleep, *awake]) == [State.ENQUEUED, State.ENQUEUED, State.THROTTLED]
        worker = await scene.worker()

        assert [await worker.run(Outcome.SUCCEEDED, "awake") for _ in awake] == awake
        assert await limit.counts() == (0, 1, 0)

    async def test_a_paused_queue_keeps_no_slot_from_others(self, scene: Scene) -> None:
        limit = Limited(scene)
        paused = await limit.create("paused")
        await scene.storage.pause("paused")
        other = await limit.create()
        worker = await scene.worker()
        assert await worker.run(Outcome.SUCCEEDED, "paused", "default") == other

        await scene.storage.resume("paused")

        assert await worker.run(Outcome.SUCCEEDED, "paused", "default") == paused

    async def test_a_job_let_into_a_paused_queue_puts_no_marker(self, scene: Scene) -> None:
        limit = Limited(scene)
        await limit.create_many(2)
        worker = await scene.worker()
        grant = await worker.take_one()
        await scene.storage.pause("default")

        await worker.finish(grant)

        assert await limit.counts() == (0, 1, 0)
        assert await scene.take_marker() is None

    async def test_who_comes_too_late_waits_at_its_old_place(self, scene: Scene) -> None:
        limit = Limited(scene)
        early, later = await limit.create_many(2, "slow")
        quick = await limit.create("quick")
        worker = await scene.worker()
        grant = await worker.take_one("quick")
        assert grant.id == quick

        assert await worker.take(2, "slow") == []

        assert await states(scene, [early, later]) == [State.THROTTLED, State.THROTTLED]
        assert await limit.counts() == (1, 0, 2)
        await worker.finish(grant)
        assert [await worker.run(Outcome.SUCCEEDED, "slow") for _ in range(2)] == [early, later]

    async def test_one_exchange_grants_no_more_of_several_queues(self, scene: Scene) -> None:
        limit = Limited(scene)
        one, two = await limit.create("one"), await limit.create("two")
        worker = await scene.worker()

        assert [grant.id for grant in await worker.take(2, "one", "two")] == [one]

        assert await scene.state(two) is State.THROTTLED
        assert await scene.listed(State.THROTTLED) == [two]

    async def test_a_job_that_is_let_in_and_throttled_in_one_exchange_is_listed(self, scene: Scene) -> None:
        limit = Limited(scene)
        worker = await scene.worker()
        await limit.create("one")
        running = await worker.take_one("one")
        waiting = [await limit.create(queue) for queue in ("one", "two")]

        # There is room for one, in each of the queues.
        finish = await worker.exchange(slots=0, queues=())
        assert finish.grants == []
        await worker.finish(running)
        grants = await worker.take(2, "one", "two")

        assert [grant.id for grant in grants] == waiting[:1]
        assert await scene.listed(State.THROTTLED) == waiting[1:]

    # -- suspects --

    async def test_a_recovered_job_keeps_its_room(self, scene: Scene) -> None:
        limit = Limited(scene)
        first, second = await limit.create_many(2)
        worker = await scene.worker()
        await worker.take_one()

        assert (await scene.storage.reap(scene.shard, worker.id)).recovered == [first]

        assert await limit.counts() == (0, 1, 1)
        assert await scene.state(second) is State.THROTTLED

    async def test_a_suspect_that_was_throttled_is_a_suspect_still(self, scene: Scene) -> None:
        limit = Limited(scene)
        suspect = await limit.create(max_recoveries=1)
        first = await scene.worker()
        await first.take_one()
        await scene.storage.reap(scene.shard, first.id)
        busy = await limit.create("other")
        second, third = await scene.worker(), await scene.worker()
        grant = await second.take_one("other")
        assert grant.id == busy
        assert await third.take() == []
        assert await scene.state(suspect) is State.THROTTLED
        plain = await scene.create()

        await second.finish(grant)

        assert await scene.take_marker() == "default"
        assert [grant.id for grant in await third.take(2)] == [suspect, plain]
        # It runs as the only suspect of its worker, so that this death is its own.
        assert (await scene.storage.reap(scene.shard, third.id)).failed == [suspect]
        assert await limit.counts() == (0, 0, 0)

    @pytest.mark.parametrize("cancelled", [False, True])
    async def test_reaping_a_job_that_ends_by_it_lets_the_next_one_in(
        self, scene: Scene, cancelled: bool
    ) -> None:
        limit = Limited(scene)
        first, second = await limit.create_many(2, max_recoveries=0)
        worker = await scene.worker()
        await worker.take_one()
        if cancelled:
            await scene.storage.cancel(first, "request1")

        await scene.storage.reap(scene.shard, worker.id)

        assert await states(scene, [first, second]) == [
            State.CANCELLED if cancelled else State.FAILED,
            State.ENQUEUED,
        ]
        assert await scene.take_marker() == "default"

    # -- by hand --

    async def test_cancelling_an_enqueued_job_lets_the_next_one_in(self, scene: Scene) -> None:
        limit = Limited(scene)
        ids = await limit.create_many(4)
        worker = await scene.worker()

        assert await scene.storage.cancel(ids[0], "request1") is Cancelled.CANCELLED
        # One that was let in is to be found there as well.
        assert await scene.storage.cancel(ids[1], "request1") is Cancelled.CANCELLED
        assert await scene.storage.delete(ids[2]) is Deleted.DELETED

        assert await limit.counts() == (0, 1, 0)
        assert await scene.length() == 1
        assert [grant.id for grant in await worker.take(4)] == ids[3:]

    async def test_purging_a_queue_ends_in_its_throttled_jobs_gone_too(self, scene: Scene) -> None:
        limit = Limited(scene, most=2)
        ids = await limit.create_many(5)
        deleted, more = 0, True

        while more:
            count, more = await scene.storage.purge(scene.shard, "default", 10)
            deleted += count

        assert (deleted, await states(scene, ids)) == (5, [None] * 5)
        assert await scene.storage.limits() == ([], 0)

    async def test_a_throttled_job_can_be_cancelled_and_deleted(self, scene: Scene) -> None:
        limit = Limited(scene)
        first, second, third, fourth = await limit.create_many(4)

        assert await scene.storage.cancel(second, "request1") is Cancelled.CANCELLED
        assert await scene.storage.delete(third) is Deleted.DELETED

        assert await limit.counts() == (0, 1, 1)
        assert await scene.listed(State.THROTTLED) == [fourth]
        assert await scene.events(second) == ["cancelled"]
        assert (await scene.record(second)).throttled_by == ""
        worker = await scene.worker()
        assert [await worker.run() for _ in range(2)] == [first, fourth]
        assert await scene.storage.limits() == ([], 0)

    async def test_throttled_jobs_can_be_cleared(self, scene: Scene) -> None:
        limit = Limited(scene)
        first, *others = await limit.create_many(4)

        assert await scene.storage.clear(scene.shard, State.THROTTLED, 2) == (2, True)
        assert await scene.storage.clear(scene.shard, State.THROTTLED, 2) == (1, False)

        assert await states(scene, [first, *others]) == [State.ENQUEUED, None, None, None]
        assert await limit.counts() == (0, 1, 0)

    async def test_a_throttled_job_waits_for_no_time_and_has_not_ended(self, scene: Scene) -> None:
        limit = Limited(scene)
        _, waiting = await limit.create_many(2)

        assert await scene.storage.promote(waiting, "request1") is Requeued.WRONG_STATE
        assert await scene.storage.requeue(waiting, "request1") is Requeued.WRONG_STATE
        assert await scene.state(waiting) is State.THROTTLED

    @pytest.mark.parametrize("verb", ["requeue", "promote"])
    async def test_what_is_enqueued_by_hand_waits_if_there_is_no_room(self, scene: Scene, verb: str) -> None:
        limit = Limited(scene)
        job_id = await limit.create()
        worker = await scene.worker()
        await worker.run(Outcome.FAILED if verb == "requeue" else Outcome.RETRY, delay_ms=1_000)
        first, second = await limit.create_many(2)
        assert await scene.take_marker() == "default"

        for _ in range(2):
            assert await getattr(scene.storage, verb)(job_id, "request1") is Requeued.REQUEUED

        assert await scene.state(job_id) is State.THROTTLED
        assert await limit.counts() == (0, 1, 2)
        assert await scene.take_marker() is None
        assert [await worker.run() for _ in range(3)] == [first, second, job_id]

    async def test_a_job_cancelled_in_its_queue_and_requeued_waits_and_is_let_in_once(
        self, scene: Scene
    ) -> None:
        limit = Limited(scene)
        job_id, other = await limit.create_many(2)
        await scene.storage.cancel(job_id, "request1")
        assert await scene.storage.requeue(job_id, "request2") is Requeued.REQUEUED
        assert await states(scene, [job_id, other]) == [State.THROTTLED, State.ENQUEUED]
        assert await scene.length() == 1
        await scene.storage.cancel(other, "request1")

        assert (await scene.state(job_id), await scene.length()) == (State.ENQUEUED, 1)
        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(3)] == [job_id]
        assert await scene.length() == 0

    # -- continuations and batches --

    async def test_a_continuation_is_throttled_only_when_its_parents_are_met(self, scene: Scene) -> None:
        limit = Limited(scene)
        parent = await scene.create("parents")
        children = [await scene.continuation(parent, limits=[limit.use()]) for _ in range(2)]
        assert await limit.counts() == (0, 0, 0)

        await scene.run(Outcome.SUCCEEDED, "parents")

        assert sorted(map(str, await states(scene, children))) == ["enqueued", "throttled"]
        assert await limit.counts() == (0, 1, 1)

    async def test_members_of_a_batch_are_throttled_when_it_is_committed(self, scene: Scene) -> None:
        limit = Limited(scene)
        batch = await scene.open_batch()
        members = await scene.create_many(3, batch=batch, limits=[limit.use()])
        after = await scene.continuation(Parent(batch, On.FINISHED, batch=True), queue="after")
        assert await limit.counts() == (0, 0, 0)
        assert await scene.storage.commit_batch(batch) is Opened.DONE
        await scene.carry_on()

        assert await states(scene, members) == [State.ENQUEUED, State.THROTTLED, State.THROTTLED]
        worker = await scene.worker()
        assert [await worker.run() for _ in members] == members
        assert await scene.batch_state(batch) is BatchState.SUCCEEDED
        assert await scene.state(after) is State.ENQUEUED
        await scene.recount(batch)

    async def test_a_cancelled_batch_takes_its_throttled_members_along(self, scene: Scene) -> None:
        limit = Limited(scene)
        batch = await scene.open_batch()
        members = await scene.create_many(3, batch=batch, limits=[limit.use()])
        await scene.storage.commit_batch(batch)
        await scene.carry_on()
        other = await limit.create()

        assert await scene.storage.cancel_batch(batch) is Opened.DONE
        await scene.carry_on()

        assert await states(scene, members) == [State.CANCELLED] * 3
        assert await scene.batch_state(batch) is BatchState.CANCELLED
        assert await limit.counts() == (0, 1, 0)
        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(5)] == [other]

    # -- very many --

    async def test_very_many_that_wait_are_let_in_by_and_by(self, scene: Scene) -> None:
        limit = Limited(scene)
        first, *others = await scene.create_many(MANY, limits=[limit.use()])
        assert await limit.counts() == (0, 1, MANY - 1)

        await limit.set(MANY)

        assert await limit.counts() == (0, MANY, 0)
        assert await scene.listed(State.THROTTLED) == []
        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(MANY)] == [first, *others]

    async def test_very_many_keys_are_looked_at_when_the_numbers_change(self, scene: Scene) -> None:
        keys = [Limited(scene, key=f"key {number:03}") for number in range(120)]
        for key in keys:
            await scene.create_many(2, limits=[key.use()])

        await keys[0].set(2)

        assert await scene.listed(State.THROTTLED) == []
        assert {await key.counts() for key in keys[:3]} == {(0, 2, 0)}
        setting = (await scene.storage.limit_settings())[0]
        assert (setting.numbers, setting.by_hand) == (Numbers(2), True)
