"""Continuations: jobs that wait for others."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

from typing import Any

import pytest

from asyncjobs.storage.base import (
    STUB_MS,
    Cancelled,
    Created,
    Deleted,
    Finish,
    NewJob,
    On,
    Outcome,
    Parent,
    Requeued,
    Retention,
    State,
)
from asyncjobs.storage.conformance.scene import Scene

ENDINGS = (State.SUCCEEDED, State.FAILED, State.CANCELLED, None)
"""How a parent may end; None: it is removed."""
NOTHING_KEPT = Retention(succeeded_ms=0, failed_ms=0, cancelled_ms=0)
_OUTCOMES = {
    State.SUCCEEDED: Outcome.SUCCEEDED,
    State.FAILED: Outcome.FAILED,
    State.CANCELLED: Outcome.CANCELLED,
}
_RUNS, _WAITS, _ENDS = State.ENQUEUED, State.AWAITING, State.CANCELLED
TABLE = {
    (On.SUCCEEDED, False): (_RUNS, _WAITS, _WAITS, _ENDS),
    (On.SUCCEEDED, True): (_RUNS, _ENDS, _ENDS, _ENDS),
    (On.FAILED, False): (_ENDS, _RUNS, _ENDS, _ENDS),
    (On.FINISHED, False): (_RUNS, _RUNS, _RUNS, _ENDS),
}
"""What becomes of a continuation, in the order of `ENDINGS`."""
ROWS = [
    pytest.param(on, cancel, ending, becomes, id=f"{on}{'-or-cancel' * cancel}-{ending or 'removed'}")
    for (on, cancel), row in TABLE.items()
    for ending, becomes in zip(ENDINGS, row, strict=True)
]


async def end(scene: Scene, job_id: str, ending: State | None) -> None:
    """Bring an enqueued job to its end."""
    if ending is None:
        assert await scene.storage.delete(job_id) is Deleted.DELETED
        return
    record = await scene.record(job_id)
    assert await scene.run(_OUTCOMES[ending], record.queue) == job_id


class ContinuingTests:
    """One continuation, and few."""

    # -- the table of `dependencies` --

    @pytest.mark.parametrize(("on", "cancel", "ending", "becomes"), ROWS)
    async def test_a_continuation_follows_its_parents_end(
        self, scene: Scene, on: On, cancel: bool, ending: State | None, becomes: State
    ) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(Parent(parent, on, cancel=cancel))
        assert await scene.state(child) is State.AWAITING
        assert await scene.listed(State.AWAITING) == [child]

        scene.clock.advance(10)
        await end(scene, parent, ending)

        await self.became(scene, child, becomes, parent, ending)

    @pytest.mark.parametrize(("on", "cancel", "ending", "becomes"), ROWS)
    async def test_a_parents_end_counts_that_came_before_the_continuation(
        self, scene: Scene, on: On, cancel: bool, ending: State | None, becomes: State
    ) -> None:
        parent = await scene.create("parents")
        await end(scene, parent, ending)
        scene.clock.advance(10)

        job = scene.new_job(parents=[Parent(parent, on, cancel=cancel)])
        created = await scene.storage.create([job])

        if ending is None:
            assert created == [Created.PARENT_GONE]
            assert await scene.state(job.id) is None
            assert "default" not in [queue.name for queue in await scene.storage.queues()]
        else:
            assert created == [Created.CREATED]
            await self.became(scene, job.id, becomes, parent, ending)

    async def became(self, scene: Scene, child: str, state: State, parent: str, ending: State | None) -> None:
        """Check a continuation in all that can be seen of it, `parent` having ended just now."""
        record = await scene.record(child)
        history = await scene.storage.history(child)
        assert record.state is state
        assert [job for job in State if child in await scene.listed(job)] == [state]
        stats = await scene.storage.stats()
        assert stats.counts[State.AWAITING] == (state is State.AWAITING)
        assert [one.id for one in record.parents] == [parent]
        if state is State.ENQUEUED:
            assert (record.unmet, record.enqueued_ms, history) == (0, scene.clock(), [])
            assert await scene.take_marker() == "default"
            worker = await scene.worker()
            assert (await worker.take_one()).id == child
        elif state is State.AWAITING:
            assert (record.unmet, record.enqueued_ms, history) == (1, 0, [])
            worker = await scene.worker()
            assert await worker.take() == []
        else:
            assert record.finished_ms == scene.clock()
            (entry,) = history
            assert (entry.event, entry.at_ms, entry.worker) == ("cancelled", scene.clock(), "")
            assert entry.error_type == ("ParentUnmet" if ending else "ParentGone")
            assert parent in entry.error_message
            assert (ending or "removed") in entry.error_message

    # -- several parents, and several children --

    async def test_a_continuation_waits_for_all_its_parents(self, scene: Scene) -> None:
        first, second, third = [await scene.create("parents") for _ in range(3)]
        await end(scene, first, State.FAILED)
        child = await scene.continuation(Parent(first, On.FINISHED), second, Parent(third, On.FAILED))
        assert (await scene.record(child)).unmet == 2

        await end(scene, second, State.SUCCEEDED)
        assert (await scene.record(child)).unmet == 1
        assert await scene.state(child) is State.AWAITING

        await end(scene, third, State.FAILED)
        assert (await scene.record(child)).unmet == 0
        assert await scene.listed(State.ENQUEUED, "default") == [child]

    async def test_one_parent_is_enough_to_end_a_continuation(self, scene: Scene) -> None:
        ended, other = await scene.finished(State.FAILED), await scene.create("parents")
        early = await scene.continuation(Parent(ended, cancel=True), other)
        late = await scene.continuation(Parent(other, On.FAILED), ended)
        assert await scene.state(early) is State.CANCELLED

        await end(scene, other, State.SUCCEEDED)

        assert await scene.state(late) is State.CANCELLED
        assert await scene.events(early) == await scene.events(late) == ["cancelled"]
        # Neither is in the way of its parents' removal.
        await scene.storage.trim(scene.shard, NOTHING_KEPT, 100)
        assert await scene.state(ended) is None
        assert await scene.state(other) is None

    async def test_what_is_met_stays_met(self, scene: Scene) -> None:
        first, second = await scene.create("parents"), await scene.create("others")
        child = await scene.continuation(first, second)
        await end(scene, first, State.SUCCEEDED)
        await scene.storage.requeue(first, "request1")
        await end(scene, first, State.FAILED)
        await scene.storage.delete(first)
        assert await scene.state(child) is State.AWAITING

        await end(scene, second, State.SUCCEEDED)

        assert await scene.state(child) is State.ENQUEUED

    async def test_a_diamond_runs_its_last_once(self, scene: Scene) -> None:
        top = await scene.create("top")
        left, right = await scene.continuation(top), await scene.continuation(top)
        bottom = await scene.continuation(left, right, queue="bottom")
        await end(scene, top, State.SUCCEEDED)
        assert sorted(await scene.listed(State.ENQUEUED, "default")) == sorted([left, right])
        worker = await scene.worker()

        both = await worker.take(2)
        await worker.exchange(*(Finish(grant.id, grant.exchange, Outcome.SUCCEEDED) for grant in both))

        assert await scene.listed(State.ENQUEUED, "bottom") == [bottom]
        assert await scene.total("succeeded") == 3

    async def test_a_chain_runs_one_after_another(self, scene: Scene) -> None:
        chain = [await scene.create()]
        for _ in range(4):
            chain.append(await scene.continuation(chain[-1]))
        worker = await scene.worker()

        assert [await worker.run() for _ in chain] == chain

    async def test_the_end_of_a_chain_hears_at_once_that_its_beginning_is_gone(self, scene: Scene) -> None:
        chain = [await scene.create()]
        for _ in range(4):
            chain.append(await scene.continuation(Parent(chain[-1], cancel=True)))
        after = await scene.continuation(chain[-1], on=On.FINISHED)
        watched = await scene.storage.watch(chain[-1], "inbox")
        assert watched is not None

        await scene.storage.cancel(chain[0], "request1")

        assert await scene.listed(State.CANCELLED) == sorted(chain)
        assert await scene.listed(State.ENQUEUED, "default") == [after]
        assert await scene.storage.receive(scene.shard, "inbox", 1) == [chain[-1]]
        assert await scene.total("cancelled") == 5

    async def test_parents_and_children_can_be_made_in_one_call(self, scene: Scene) -> None:
        first = scene.new_job()
        second = scene.new_job(parents=[Parent(first.id)])
        third = scene.new_job(parents=[Parent(first.id), Parent(second.id)])
        plain = scene.new_job()

        assert await scene.storage.create([first, second, third, plain]) == 4 * [Created.CREATED]

        worker = await scene.worker()
        assert [await worker.run() for _ in range(4)] == [first.id, plain.id, second.id, third.id]

    async def test_jobs_of_one_call_are_enqueued_in_order_whether_or_not_they_had_to_wait(
        self, scene: Scene
    ) -> None:
        parent = await scene.finished()
        batch, _ = await scene.batch(1, "other")
        waits: dict[str, Any] = {"parents": [Parent(parent)]}
        fields: list[dict[str, Any]] = [{}, waits, {}, {"batch": batch}, {}]
        jobs = [scene.new_job(**each) for each in fields]

        await scene.storage.create(jobs)

        assert await scene.listed(State.ENQUEUED, "default") == [job.id for job in jobs]

    async def test_a_continuation_makes_its_queue_known(self, scene: Scene) -> None:
        await scene.continuation(await scene.create(), queue="later")

        assert [queue.name for queue in await scene.storage.queues()] == ["default", "later"]

    async def test_created_twice_it_waits_once(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        job = scene.new_job(parents=[Parent(parent)])
        assert await scene.storage.create([job]) == [Created.CREATED]

        assert await scene.storage.create([job]) == [Created.EXISTS]
        assert await scene.storage.create([NewJob(job.id, "other", "default")]) == [Created.EXISTS]

        assert (await scene.record(job.id)).unmet == 1
        await end(scene, parent, State.SUCCEEDED)
        assert await scene.storage.create([job]) == [Created.EXISTS]
        assert await scene.listed(State.ENQUEUED, "default") == [job.id]

    async def test_one_parent_that_is_gone_refuses_a_continuation_and_leaves_the_others(
        self, scene: Scene
    ) -> None:
        parent = await scene.create("parents")
        gone = scene.new_job(parents=[Parent(parent), Parent(scene.new_id())])
        fine, plain = scene.new_job(parents=[Parent(parent)]), scene.new_job()

        created = await scene.storage.create([gone, fine, plain])

        assert created == [Created.PARENT_GONE, Created.CREATED, Created.CREATED]
        assert await scene.state(gone.id) is None
        assert await scene.listed(State.AWAITING) == [fine.id]

    async def test_a_batch_that_is_not_there_is_no_parent(self, scene: Scene) -> None:
        job = scene.new_job(parents=[Parent(scene.new_id(), batch=True)])

        assert await scene.storage.create([job]) == [Created.PARENT_GONE]

    # -- parents that run again --

    async def test_a_parent_that_failed_may_succeed_when_it_is_requeued(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(Parent(parent, output=True))
        await end(scene, parent, State.FAILED)
        assert await scene.state(child) is State.AWAITING

        assert await scene.storage.requeue(parent, "request1") is Requeued.REQUEUED
        await scene.run(Outcome.SUCCEEDED, "parents", result=b"\x07")

        worker = await scene.worker()
        grant = await worker.take_one()
        assert (grant.id, grant.outputs) == (child, {parent: b"\x07"})

    async def test_a_retried_parent_has_not_ended(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent, on=On.FINISHED)
        await scene.run(Outcome.RETRY, "parents", delay_ms=10)
        assert await scene.state(child) is State.AWAITING

        scene.clock.advance(10)
        await scene.run(Outcome.FAILED, "parents")

        assert await scene.state(child) is State.ENQUEUED

    async def test_a_parent_poisoned_by_dead_workers_has_failed(self, scene: Scene) -> None:
        parent = await scene.create("parents", max_recoveries=0)
        child = await scene.continuation(parent, on=On.FAILED)
        worker = await scene.worker()
        await worker.take_one("parents")

        reply = await scene.storage.reap(scene.shard, worker.id)

        assert reply.failed == [parent]
        assert await scene.state(child) is State.ENQUEUED
        assert await scene.take_marker() == "default"

    # -- delays and priorities --

    async def test_a_delay_begins_when_the_wait_is_over(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent, delay_ms=1_000)
        scene.clock.advance(5_000)
        await end(scene, parent, State.SUCCEEDED)

        record = await scene.record(child)
        assert (record.state, record.due_ms) == (State.SCHEDULED, scene.clock() + 1_000)
        assert await scene.listed(State.AWAITING) == []

        scene.clock.advance(1_000)
        worker = await scene.worker()
        assert (await worker.take_one()).id == child

    async def test_a_due_time_that_is_past_when_the_wait_is_over_does_not_delay(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent, due_ms=scene.clock() + 1_000)
        later = await scene.continuation(parent, due_ms=scene.clock() + 1_001)
        scene.clock.advance(1_000)

        await end(scene, parent, State.SUCCEEDED)

        assert await scene.state(child) is State.ENQUEUED
        assert (await scene.record(later)).due_ms == scene.clock() + 1

    async def test_priorities_hold_for_continuations(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        low = await scene.continuation(parent, priority=-1)
        high = await scene.continuation(parent, priority=5)
        plain = await scene.create()
        await end(scene, parent, State.SUCCEEDED)
        worker = await scene.worker()

        assert [grant.id for grant in await worker.take(3)] == [high, plain, low]

    # -- a continuation that is cancelled or removed --

    async def test_a_cancelled_continuation_does_not_wait_any_more(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent)

        assert await scene.storage.cancel(child, "request1") is Cancelled.CANCELLED

        assert await scene.listed(State.AWAITING) == []
        await end(scene, parent, State.SUCCEEDED)
        assert await scene.state(child) is State.CANCELLED
        assert await scene.events(child) == ["cancelled"]

    async def test_a_cancelled_continuation_that_is_requeued_waits_for_nothing(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent)
        await scene.storage.cancel(child, "request1")

        assert await scene.storage.requeue(child, "request2") is Requeued.REQUEUED

        assert await scene.state(child) is State.ENQUEUED
        await end(scene, parent, State.SUCCEEDED)
        assert await scene.listed(State.ENQUEUED, "default") == [child]

    @pytest.mark.parametrize("way", ["delete", "clear"])
    async def test_a_removed_continuation_is_forgotten(self, scene: Scene, way: str) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent)
        grandchild = await scene.continuation(child)
        if way == "delete":
            assert await scene.storage.delete(child) is Deleted.DELETED
        else:
            assert await scene.storage.clear(scene.shard, State.AWAITING, 1) == (1, False)

        assert await scene.state(child) is None
        assert await scene.state(grandchild) is State.CANCELLED
        await end(scene, parent, State.SUCCEEDED)
        assert await scene.state(child) is None
        scene.clock.advance(STUB_MS)
        assert await scene.listed(State.AWAITING) == []

    async def test_purging_a_queue_ends_what_waits_for_its_jobs(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent)

        assert await scene.storage.purge(scene.shard, "parents", 10) == (1, False)

        assert await scene.state(child) is State.CANCELLED
