"""Limits on how many jobs run at once: who waits, who holds, and who is let in when."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from asyncjobs.ids import shard_for
from asyncjobs.storage.base import (
    Finished,
    LimitRecord,
    LimitUse,
    NewJob,
    Numbers,
    Outcome,
    State,
)
from asyncjobs.storage.conformance.scene import Scene


class Limited:
    """A limit on the scene's shard, and jobs under it."""

    def __init__(self, scene: Scene, most: int = 1, per_ms: int = 0, *, key: str = "", nth: int = 0) -> None:
        self.scene = scene
        self.name = next(itertools.islice(_names_on(scene), nth, None))
        self.key = key
        self.numbers = Numbers(most, per_ms)

    @property
    def id(self) -> str:
        """What is counted."""
        return self.use().id

    def use(self, key: str | None = None) -> LimitUse:
        """What a job under it says, of its own key or of another."""
        return LimitUse(self.name, self.key if key is None else key, self.numbers)

    def new_job(self, queue: str = "default", **fields: Any) -> NewJob:
        """A job under it that isn't made yet."""
        return self.scene.new_job(queue, limits=[self.use()], **fields)

    async def create(self, queue: str = "default", **fields: Any) -> str:
        """Make a job under it; its id."""
        return await self.scene.create(queue, **({"limits": [self.use()]} | fields))

    async def create_many(self, count: int, queue: str = "default", **fields: Any) -> list[str]:
        """Make jobs under it, a millisecond apart; their ids in order."""
        ids: list[str] = []
        for _ in range(count):
            ids.append(await self.create(queue, **fields))
            self.scene.clock.advance(1)
        return ids

    async def set(self, most: int, per_ms: int = 0) -> None:
        """Set its numbers by hand, and have all let in that there is room for."""
        await self.scene.storage.set_limit(self.name, Numbers(most, per_ms))
        await self.scene.carry_on()

    async def record(self) -> LimitRecord | None:
        """It, as it is listed; None if it isn't."""
        records, total = await self.scene.storage.limits(limit=1_000)
        assert len(records) == total
        return next((record for record in records if record.id == self.id), None)

    async def counts(self) -> tuple[int, int, int]:
        """How many run, are enqueued, and wait under it."""
        record = await self.record()
        return (record.running, record.enqueued, record.throttled) if record else (0, 0, 0)


def _names_on(scene: Scene) -> Iterator[str]:
    names = map("limit-{}".format, itertools.count())
    return (name for name in names if shard_for(name, scene.storage.shards) == scene.shard)


async def states(scene: Scene, ids: list[str]) -> list[State | None]:
    """The states of jobs, in order."""
    return [await scene.state(job_id) for job_id in ids]


class LimitingTests:
    """So many at once."""

    # -- who waits --

    async def test_jobs_beyond_what_a_limit_allows_are_throttled(self, scene: Scene) -> None:
        limit = Limited(scene, most=2)
        now = scene.clock()
        ids = [await limit.create() for _ in range(3)]

        assert await states(scene, ids) == [State.ENQUEUED, State.ENQUEUED, State.THROTTLED]
        assert await scene.listed(State.THROTTLED) == ids[2:]
        assert await scene.length() == 2
        assert (await scene.storage.stats()).counts[State.THROTTLED] == 1
        assert await limit.record() == LimitRecord(limit.id, Numbers(2), 0, 0, 2, 1)
        waiting = await scene.record(ids[2])
        assert (waiting.throttled_by, waiting.throttled_ms, waiting.enqueued_ms) == (limit.id, now, now)
        assert waiting.limits == (limit.use(),)
        let_in = await scene.record(ids[0])
        assert (let_in.throttled_by, let_in.throttled_ms) == ("", 0)

    async def test_no_more_run_than_a_limit_allows(self, scene: Scene) -> None:
        limit = Limited(scene, most=2)
        ids = await limit.create_many(4)
        worker = await scene.worker()

        assert await scene.take_marker() == "default"

        assert [grant.id for grant in await worker.take(10)] == ids[:2]

        assert await limit.counts() == (2, 0, 2)
        assert await worker.take(10) == []
        assert await scene.take_marker() is None

    async def test_jobs_made_in_one_call_are_counted_one_by_one(self, scene: Scene) -> None:
        limit = Limited(scene, most=2)
        ids = await scene.create_many(3, limits=[limit.use()])

        assert await states(scene, ids) == [State.ENQUEUED, State.ENQUEUED, State.THROTTLED]

    async def test_a_job_that_is_due_later_counts_from_when_it_is_due(self, scene: Scene) -> None:
        limit = Limited(scene)
        later = await limit.create(delay_ms=100)
        assert await limit.counts() == (0, 0, 0)
        first = await limit.create()
        now = scene.clock.advance(100)
        worker = await scene.worker()

        assert [grant.id for grant in await worker.take(2)] == [first]

        assert await scene.state(later) is State.THROTTLED
        assert (await scene.record(later)).enqueued_ms == now

    async def test_a_limit_of_none_lets_nobody_in(self, scene: Scene) -> None:
        limit = Limited(scene, most=0)
        job_id = await limit.create()
        assert await scene.state(job_id) is State.THROTTLED

        await limit.set(1)

        assert await scene.state(job_id) is State.ENQUEUED

    # -- who lets go --

    @pytest.mark.parametrize(
        "outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.RETRY, Outcome.SNOOZE, Outcome.CANCELLED]
    )
    async def test_the_exchange_that_ends_an_attempt_grants_the_next_job(
        self, scene: Scene, outcome: Outcome
    ) -> None:
        limit = Limited(scene)
        first, second = await limit.create_many(2)
        worker = await scene.worker()
        grant = await worker.take_one()
        await worker.finish(grant, outcome, delay_ms=1_000)

        assert await limit.counts() == (0, 1, 0)
        assert (await scene.record(second)).throttled_by == ""
        assert await scene.listed(State.THROTTLED) == []
        assert await scene.take_marker() == "default"
        assert (await worker.take_one()).id == second
        assert await scene.state(first) is not State.ENQUEUED

    async def test_a_job_given_back_keeps_its_room_and_goes_first(self, scene: Scene) -> None:
        limit = Limited(scene)
        first, second = await limit.create_many(2)
        worker = await scene.worker()
        await worker.finish(await worker.take_one(), Outcome.RELEASED)

        assert await limit.counts() == (0, 1, 1)
        assert await worker.run() == first
        assert await worker.run() == second

    @pytest.mark.parametrize(
        "outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.RETRY, Outcome.SNOOZE, Outcome.CANCELLED]
    )
    async def test_nothing_is_left_of_a_key_that_no_job_is_under(
        self, scene: Scene, outcome: Outcome
    ) -> None:
        limit = Limited(scene, key="one")
        await limit.create()
        worker = await scene.worker()
        await worker.run(outcome, retention_ms=0, delay_ms=1_000)

        assert await scene.storage.limits() == ([], 0)
        (setting,) = await scene.storage.limit_settings()
        assert (setting.name, setting.numbers, setting.by_hand) == (limit.name, Numbers(1), False)

    async def test_a_late_finish_lets_nobody_in(self, scene: Scene) -> None:
        limit = Limited(scene)
        first, second = await limit.create_many(2)
        worker = await scene.worker()
        grant = await worker.take_one()
        assert (await scene.storage.reap(scene.shard, worker.id)).recovered == [first]
        heir = await scene.worker()
        await heir.exchange()
        assert (await heir.take_one()).id == first

        assert await heir.finish(grant) is Finished.LOST

        assert await limit.counts() == (1, 0, 1)
        assert await scene.state(second) is State.THROTTLED

    async def test_an_exchange_sent_again_counts_once(self, scene: Scene) -> None:
        limit = Limited(scene, most=2)
        await limit.create_many(5)
        worker = await scene.worker()
        before = await worker.exchange(slots=2)

        assert await worker.exchange(slots=2, number=worker.number) == before
        assert await limit.counts() == (2, 0, 3)

    # -- in which order --

    async def test_those_that_wait_run_in_the_order_in_which_they_came(self, scene: Scene) -> None:
        limit = Limited(scene)
        ids = await limit.create_many(5)
        worker = await scene.worker()

        assert [await worker.run() for _ in ids] == ids

    async def test_those_let_in_do_not_overtake_those_let_in_before(self, scene: Scene) -> None:
        # There are fewer slots than the limit allows, so that some stay in the queue.
        limit = Limited(scene, most=3)
        ids = await limit.create_many(8)
        worker = await scene.worker()

        assert [await worker.run() for _ in ids] == ids

    async def test_those_let_in_take_their_turn_behind_what_is_in_the_queue(self, scene: Scene) -> None:
        limit = Limited(scene, most=2)
        before = await limit.create_many(4)
        other = await scene.create()
        scene.clock.advance(1)
        after = await limit.create_many(2)
        worker = await scene.worker()

        assert [await worker.run() for _ in range(7)] == [*before[:2], other, *before[2:], *after]

    async def test_those_that_wait_run_by_priority(self, scene: Scene) -> None:
        limit = Limited(scene)
        priorities = [0, 0, 5, -1, 5, 0]
        ids = [(await limit.create_many(1, priority=priority))[0] for priority in priorities]
        worker = await scene.worker()

        ran = [await worker.run() for _ in ids]

        assert [ids.index(job_id) for job_id in ran] == [0, 2, 4, 1, 5, 3]

    async def test_a_job_let_in_keeps_the_time_at_which_it_was_enqueued(self, scene: Scene) -> None:
        limit = Limited(scene)
        await limit.create()
        then = scene.clock.advance(5)
        waiting = await limit.create()
        scene.clock.advance(100)
        worker = await scene.worker()
        await worker.run()

        assert (await scene.record(waiting)).enqueued_ms == then
        assert (await worker.take_one()).enqueued_ms == then

    async def test_a_job_that_comes_back_waits_behind_those_that_wait(self, scene: Scene) -> None:
        limit = Limited(scene)
        first, second, third = await limit.create_many(3)
        worker = await scene.worker()
        await worker.run(Outcome.RETRY, delay_ms=10)
        scene.clock.advance(10)

        assert [await worker.run() for _ in range(3)] == [second, third, first]

    # -- several keys, several limits --

    @pytest.mark.parametrize("other", ["two", "", "one:a", "one two", "önë\u2028*?[x]", "%s {0}", "~1"])
    async def test_each_key_has_room_of_its_own(self, scene: Scene, other: str) -> None:
        limit, also = Limited(scene, key="one"), Limited(scene, key=other)
        ids = [await each.create() for each in (limit, also, limit, also)]

        assert await states(scene, ids) == [*[State.ENQUEUED] * 2, *[State.THROTTLED] * 2]
        assert (await scene.record(ids[3])).limits == (also.use(),)
        assert await limit.counts() == await also.counts() == (0, 1, 1)
        records, total = await scene.storage.limits(offset=1, limit=1)
        assert ([record.id for record in records], total) == (sorted([limit.id, also.id])[1:], 2)
        worker = await scene.worker()
        assert [await worker.run() for _ in ids] == ids
        assert await scene.storage.limits() == ([], 0)

    async def test_a_job_under_several_limits_gets_all_of_them_or_none(self, scene: Scene) -> None:
        one, two = Limited(scene), Limited(scene, nth=1)
        busy = await one.create()
        both = await scene.create(limits=[two.use(), one.use()])

        assert (await scene.record(both)).throttled_by == one.id
        assert (await one.counts(), await two.counts()) == ((0, 1, 1), (0, 0, 0))
        free = await two.create()
        assert await scene.state(free) is State.ENQUEUED
        worker = await scene.worker()
        grants = {grant.id: grant for grant in await worker.take(3)}
        assert set(grants) == {busy, free}
        # What it waited for is free; another isn't any more: it waits for that, and holds nothing.
        await worker.finish(grants[busy])
        assert (await scene.record(both)).throttled_by == two.id
        assert (await one.counts(), await two.counts()) == ((0, 0, 0), (1, 0, 1))
        await worker.finish(grants[free])
        assert (await worker.take_one()).id == both
        assert (await one.counts(), await two.counts()) == ((1, 0, 0), (1, 0, 0))

    async def test_a_job_that_waits_for_one_limit_keeps_nobody_from_another(self, scene: Scene) -> None:
        one, two = Limited(scene), Limited(scene, nth=1)
        await one.create()
        await scene.create(limits=[one.use(), two.use()])
        ids = await two.create_many(2)

        assert await states(scene, ids) == [State.ENQUEUED, State.THROTTLED]
