"""Limits on how many jobs start within a span of time, to the millisecond; and whose numbers count."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import (
    WINDOWS_LIMIT,
    LimitRecord,
    LimitSetting,
    LimitUse,
    Numbers,
    Outcome,
    State,
)
from asyncjobs.storage.conformance.limiting import Limited, states
from asyncjobs.storage.conformance.scene import Scene

PER = 1_000


class RateLimitingTests:
    """So many within a span, and numbers."""

    # -- the window --

    @pytest.mark.parametrize("step", [400, 250, 1])
    async def test_no_span_ever_sees_more_starts_than_the_limit_allows(self, scene: Scene, step: int) -> None:
        limit = Limited(scene, most=3, per_ms=PER)
        ids = await scene.create_many(10, limits=[limit.use()])
        worker = await scene.worker()
        began = scene.clock()
        started: list[tuple[int, str]] = []
        while len(started) < len(ids):
            # The first come one after another, so that the window isn't full and empty by turns.
            reply = await worker.exchange(slots=1 if len(started) < 3 else 10)
            started += [(reply.now_ms, grant.id) for grant in reply.grants]
            due = reply.next_due_ms
            soon = scene.clock() + step
            scene.clock.now_ms = soon if len(started) < 3 or due is None else max(due, scene.clock())

        assert [job_id for _, job_id in started] == ids
        times = [at - began for at, _ in started]
        for before, after in zip(times, times[3:], strict=False):
            # Not more, and not less.
            assert after == max(before + PER, times[2]), times

    async def test_the_opening_of_a_window_is_a_due_time_that_one_worker_claims(self, scene: Scene) -> None:
        limit = Limited(scene, per_ms=PER)
        first, second = await limit.create_many(2)
        worker, other = await scene.worker(), await scene.worker()
        began = scene.clock()
        reply = await worker.exchange(slots=2)

        assert [grant.id for grant in reply.grants] == [first]
        assert (reply.next_due_ms, reply.due_claimed) == (began + PER, True)
        reply = await other.exchange(slots=2)
        assert (reply.next_due_ms, reply.due_claimed) == (began + PER, False)
        scene.clock.advance(PER - 1)
        assert await worker.take(2) == []
        assert await scene.state(second) is State.THROTTLED
        scene.clock.advance(1)
        assert [grant.id for grant in await worker.take(2)] == [second]
        assert (await worker.exchange()).next_due_ms is None

    async def test_who_waits_for_a_window_first_has_a_worker_hear_of_it(self, scene: Scene) -> None:
        limit = Limited(scene, per_ms=PER)
        await limit.create()
        worker = await scene.worker()
        await worker.run()
        assert await scene.take_marker() == "default"
        assert await scene.take_marker() is None

        await limit.create()
        assert await scene.take_marker() == "default"
        await limit.create()
        assert await scene.take_marker() is None

    async def test_whoever_comes_when_a_window_is_open_waits_behind_those_that_wait(
        self, scene: Scene
    ) -> None:
        limit = Limited(scene, per_ms=PER)
        _, waiting = await limit.create_many(2)
        worker = await scene.worker()
        await worker.run()
        scene.clock.advance(PER)
        late = await limit.create()

        assert await states(scene, [waiting, late]) == [State.ENQUEUED, State.THROTTLED]

    async def test_those_that_wait_for_a_window_are_let_in_by_priority(self, scene: Scene) -> None:
        limit = Limited(scene, per_ms=PER)
        ids = [await limit.create(priority=priority) for priority in (9, 0, 3)]
        worker = await scene.worker()
        ran: list[str] = []
        for _ in ids:
            ran.append(await worker.run())
            scene.clock.advance(PER)

        assert [ids.index(job_id) for job_id in ran] == [0, 2, 1]

    @pytest.mark.parametrize("outcome", list(Outcome))
    async def test_nobody_gives_a_start_back(self, scene: Scene, outcome: Outcome) -> None:
        limit = Limited(scene, per_ms=PER)
        first, second = await limit.create_many(2)
        worker = await scene.worker()
        began = scene.clock()
        await worker.run(outcome, delay_ms=5 * PER)

        assert await worker.take(2) == []

        waiting = [second] if outcome is not Outcome.RELEASED else [first, second]
        assert sorted(await scene.listed(State.THROTTLED)) == sorted(waiting)
        record = await limit.record()
        assert record == LimitRecord(limit.id, limit.numbers, 0, 1, 0, len(waiting))
        scene.clock.now_ms = began + PER
        grant = await worker.take_one()
        assert (grant.id, grant.attempt) == (waiting[0], 1)

    async def test_an_attempt_that_is_tried_again_is_another_start(self, scene: Scene) -> None:
        limit = Limited(scene, most=2, per_ms=PER)
        job_id = await limit.create()
        worker = await scene.worker()
        await worker.run(Outcome.RETRY)
        await worker.run(Outcome.RETRY)

        assert await worker.take() == []
        assert await scene.state(job_id) is State.THROTTLED

    async def test_starts_are_forgotten_when_they_have_left_the_window(self, scene: Scene) -> None:
        limit = Limited(scene, most=5, per_ms=PER)
        ids = await scene.create_many(6, limits=[limit.use()])
        worker = await scene.worker()
        await worker.run()
        scene.clock.advance(PER // 2)
        await worker.run()
        assert (await limit.record()) == LimitRecord(limit.id, limit.numbers, 0, 2, 3, 1)

        scene.clock.advance(PER // 2)

        assert (await limit.record()) == LimitRecord(limit.id, limit.numbers, 0, 1, 3, 1)
        assert (await limit.record()) == LimitRecord(limit.id, limit.numbers, 0, 1, 4, 0)
        assert [await worker.run() for _ in range(4)] == ids[2:]
        scene.clock.advance(PER)
        assert await scene.storage.limits() == ([], 0)

    @pytest.mark.parametrize("how", ["cancel", "delete", "clear"])
    async def test_a_window_that_nobody_waits_for_is_no_due_time(self, scene: Scene, how: str) -> None:
        limit = Limited(scene, per_ms=PER)
        _, waiting = await limit.create_many(2)
        worker = await scene.worker()
        await worker.run()
        assert (await worker.exchange()).next_due_ms is not None

        if how == "cancel":
            await scene.storage.cancel(waiting, "request1")
        elif how == "delete":
            await scene.storage.delete(waiting)
        else:
            await scene.storage.clear(scene.shard, State.THROTTLED, 10)

        assert (await worker.exchange()).next_due_ms is None

    async def test_a_job_under_a_rate_and_a_number_at_once_waits_for_each_in_turn(self, scene: Scene) -> None:
        rate, slots = Limited(scene, per_ms=PER), Limited(scene, nth=1)
        uses = [rate.use(), slots.use()]
        first, second = [await scene.create(limits=uses) for _ in range(2)]
        worker = await scene.worker()
        grant = await worker.take_one()
        assert (await scene.record(second)).throttled_by == rate.id
        scene.clock.advance(PER)
        assert await worker.take() == []
        assert (await scene.record(second)).throttled_by == slots.id
        assert (await worker.exchange()).next_due_ms is None

        await worker.finish(grant)

        assert (grant.id, await worker.run()) == (first, second)

    async def test_very_many_windows_open_by_and_by(self, scene: Scene) -> None:
        keys = [Limited(scene, per_ms=PER, key=str(number)) for number in range(WINDOWS_LIMIT + 10)]
        ids = [await key.create() for key in keys]
        waiting = [await key.create() for key in keys]
        worker = await scene.worker()
        assert sorted(grant.id for grant in await worker.take(len(ids))) == sorted(ids)
        scene.clock.advance(PER)

        reply = await worker.exchange()
        assert reply.more
        while reply.more:
            reply = await worker.exchange()

        assert sorted(await scene.listed(State.ENQUEUED, "default")) == sorted(waiting)

    # -- numbers --

    async def test_the_numbers_of_the_last_job_that_was_made_count(self, scene: Scene) -> None:
        limit, other = Limited(scene, key="one"), Limited(scene, key="two")
        ids = [await each.create() for each in (limit, limit, other, other)]
        assert await scene.listed(State.THROTTLED) == [ids[1], ids[3]]

        last = await scene.create(limits=[LimitUse(limit.name, "three", Numbers(2))])
        await scene.carry_on()

        assert await states(scene, [*ids, last]) == [State.ENQUEUED] * 5
        # How many it was made with is the job's own affair.
        assert (await scene.record(ids[0])).limits == (limit.use(),)
        assert await scene.storage.limit_settings() == [LimitSetting(limit.name, Numbers(2), False)]

    async def test_a_job_that_moves_on_brings_no_numbers(self, scene: Scene) -> None:
        limit = Limited(scene)
        await limit.create(delay_ms=10)
        await scene.create(limits=[LimitUse(limit.name, "", Numbers(5))])
        await scene.carry_on()
        scene.clock.advance(10)
        worker = await scene.worker()
        await worker.take(5)

        assert await scene.storage.limit_settings() == [LimitSetting(limit.name, Numbers(5), False)]

    async def test_numbers_set_by_hand_count_more_than_those_of_jobs(self, scene: Scene) -> None:
        limit = Limited(scene)
        await limit.set(3)

        ids = await limit.create_many(4)

        assert await states(scene, ids) == [*[State.ENQUEUED] * 3, State.THROTTLED]
        assert await scene.storage.limit_settings() == [LimitSetting(limit.name, Numbers(3), True)]

    async def test_numbers_set_by_hand_count_for_all_keys_at_once(self, scene: Scene) -> None:
        limit, other = Limited(scene, key="one"), Limited(scene, key="two: ä")
        ids = [await each.create() for each in (limit, limit, other, other)]
        while await scene.take_marker() is not None:
            pass

        await limit.set(2)

        assert await states(scene, ids) == [State.ENQUEUED] * 4
        assert await scene.take_marker() == "default"

    async def test_fewer_than_run_stops_none_of_them_and_lets_nobody_in(self, scene: Scene) -> None:
        limit = Limited(scene, most=3)
        *_, waiting = await limit.create_many(4)
        worker = await scene.worker()
        grants = await worker.take(3)

        await limit.set(1)

        for grant in grants[:2]:
            assert await scene.state(waiting) is State.THROTTLED
            await worker.finish(grant)
        assert await limit.counts() == (1, 0, 1)
        await worker.finish(grants[2])
        assert await limit.counts() == (0, 1, 0)

    async def test_fewer_than_are_enqueued_throttles_them_when_they_are_fetched(self, scene: Scene) -> None:
        limit = Limited(scene, most=3)
        ids = await limit.create_many(3)

        await limit.set(1)

        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(3)] == ids[:1]
        assert await states(scene, ids[1:]) == [State.THROTTLED] * 2
        assert await limit.counts() == (1, 0, 2)

    async def test_numbers_are_given_back_to_the_next_jobs_maker(self, scene: Scene) -> None:
        limit = Limited(scene)
        await limit.set(3)
        await scene.storage.set_limit(limit.name, None)
        assert await scene.storage.limit_settings() == [LimitSetting(limit.name, Numbers(3), False)]

        ids = await limit.create_many(2)
        await scene.carry_on()

        assert await states(scene, ids) == [State.ENQUEUED, State.THROTTLED]
        assert await scene.storage.limit_settings() == [LimitSetting(limit.name, Numbers(1), False)]

    async def test_nothing_is_known_of_a_limit_that_is_given_back_before_it_is_used(
        self, scene: Scene
    ) -> None:
        await scene.storage.set_limit(Limited(scene).name, None)
        await scene.carry_on()

        assert await scene.storage.limit_settings() == []

    async def test_another_number_and_span_of_a_rate_count_from_now_on(self, scene: Scene) -> None:
        limit = Limited(scene, most=2, per_ms=PER)
        ids = await scene.create_many(5, limits=[limit.use()])
        worker = await scene.worker()
        began = scene.clock()
        await worker.run()
        scene.clock.advance(300)
        await worker.run()

        await limit.set(1, PER)
        assert (await worker.exchange()).next_due_ms == began + PER
        scene.clock.now_ms = began + PER
        assert await worker.take(5) == []
        assert (await worker.exchange()).next_due_ms == began + 300 + PER
        await limit.set(1, PER + 500)
        scene.clock.now_ms = began + 300 + PER
        assert await worker.take(5) == []
        await limit.set(3, PER)
        assert [grant.id for grant in await worker.take(5)] == ids[2:]

    @pytest.mark.parametrize("by_hand", [True, False])
    async def test_a_longer_span_counts_what_has_started_under_a_shorter_one(
        self, scene: Scene, by_hand: bool
    ) -> None:
        limit = Limited(scene, most=2, per_ms=PER)
        await limit.create_many(2)
        worker = await scene.worker()
        began = scene.clock()
        await worker.take(2)

        longer = LimitUse(limit.name, "", Numbers(2, 100 * PER))
        if by_hand:
            await limit.set(2, 100 * PER)
        last = await scene.create(limits=[limit.use() if by_hand else longer])
        await scene.carry_on()

        assert await limit.record() == LimitRecord(limit.id, longer.numbers, 0, 2, 0, 1)
        scene.clock.now_ms = began + 100 * PER - 1
        assert await worker.take(2) == []
        scene.clock.advance(1)
        assert [grant.id for grant in await worker.take(2)] == [last]

    @pytest.mark.parametrize(
        ("before", "after"), [(Numbers(1), Numbers(1, PER)), (Numbers(1, PER), Numbers(1))]
    )
    async def test_a_limit_that_becomes_one_of_the_other_kind_lets_all_run_in_the_end(
        self, scene: Scene, before: Numbers, after: Numbers
    ) -> None:
        limit = Limited(scene, before.most, before.per_ms)
        ids = await limit.create_many(3)
        worker = await scene.worker()
        ran = [await worker.run()]

        ids.append(await scene.create(limits=[LimitUse(limit.name, "", after)]))
        await scene.carry_on()
        while len(ran) < len(ids):
            grants = await worker.take(5)
            assert len(grants) <= 1
            for grant in grants:
                await worker.finish(grant)
                ran.append(grant.id)
            scene.clock.advance(PER)

        assert ran == ids
        assert await scene.storage.limits() == ([], 0)
        # What was set by hand for the one kind says nothing of the other.
        await limit.set(7, before.per_ms)
        await scene.create(limits=[LimitUse(limit.name, "", after)])
        assert await scene.storage.limit_settings() == [LimitSetting(limit.name, after, False)]
