"""What is too much for one step, and what crosses shards: both are carried on by whoever calls next."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import asyncio

import pytest

from asyncjobs.ids import new_id
from asyncjobs.storage.base import (
    FOLLOW_LIMIT,
    NEST_LIMIT,
    STAGING_MS,
    BatchState,
    Created,
    NewBatch,
    On,
    Opened,
    Outcome,
    Parent,
    Requeued,
    Retention,
    State,
)
from asyncjobs.storage.conformance.continuing import ROWS, end
from asyncjobs.storage.conformance.scene import Scene

MANY = 2 * FOLLOW_LIMIT + 50
NOTHING_KEPT = Retention(succeeded_ms=0, failed_ms=0, cancelled_ms=0)


class FollowingUpTests:
    """`carry_on`."""

    async def test_a_job_with_very_many_continuations_lets_all_of_them_run(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        children = await scene.create_many(MANY, parents=[Parent(parent, output=True)])
        await scene.carry_on()
        await scene.run(Outcome.SUCCEEDED, "parents", result=b"\x01", retention_ms=0)
        # It is needed for as long as some haven't heard of it.
        await scene.storage.trim(scene.shard, NOTHING_KEPT, 10)
        await scene.carry_on()

        assert sorted(await scene.listed(State.ENQUEUED, "default")) == sorted(children)
        assert await scene.listed(State.AWAITING) == []
        worker = await scene.worker()
        assert all(grant.outputs == {parent: b"\x01"} for grant in await worker.take(MANY))

    async def test_a_removed_job_with_very_many_continuations_ends_all_of_them(self, scene: Scene) -> None:
        parent, other = await scene.create("parents"), await scene.finished(State.FAILED)
        children = await scene.create_many(MANY, parents=[Parent(parent), Parent(other)])
        await scene.carry_on()

        await scene.storage.delete(parent)
        await scene.carry_on()

        assert sorted(await scene.listed(State.CANCELLED)) == sorted(children)
        assert await scene.listed(State.AWAITING) == []
        # None of them keeps the other parent.
        await scene.storage.trim(scene.shard, Retention(failed_ms=0), 10)
        assert await scene.state(other) is None

    async def test_the_end_of_very_many_parents_is_heard(self, scene: Scene) -> None:
        ended = await scene.create_many(MANY // 2, "parents")
        worker = await scene.worker()
        for grant in await worker.take(len(ended), "parents"):
            await worker.finish(grant)
        later = await scene.create_many(MANY // 2, "parents")
        child = await scene.continuation(*ended, *later)
        await scene.carry_on()
        assert (await scene.record(child)).unmet == len(later)

        for grant in await worker.take(len(later), "parents"):
            assert await scene.state(child) is State.AWAITING
            await worker.finish(grant)

        assert await scene.state(child) is State.ENQUEUED

    async def test_a_child_of_very_many_parents_is_ended_by_the_last_of_them(self, scene: Scene) -> None:
        parents = await scene.create_many(MANY, "parents")
        job = scene.new_job(parents=[Parent(parent) for parent in [*parents, new_id(scene.shard)]])
        (created,) = await scene.storage.create([job])
        await scene.carry_on()

        assert created is Created.PARENT_GONE or await scene.state(job.id) is State.CANCELLED
        assert await scene.listed(State.AWAITING) == []

    @pytest.mark.parametrize("end", ["cancel", "delete"])
    async def test_a_cancelled_child_of_very_many_parents_keeps_none_of_them(
        self, scene: Scene, end: str
    ) -> None:
        parents = await scene.create_many(MANY, "parents")
        child = await scene.continuation(*parents)
        await scene.carry_on()
        if end == "cancel":
            await scene.storage.cancel(child, "request1")
        else:
            await scene.storage.delete(child)
        await scene.carry_on()
        worker = await scene.worker()
        for grant in await worker.take(MANY, "parents"):
            await worker.finish(grant, Outcome.FAILED)

        while await scene.storage.trim(scene.shard, NOTHING_KEPT, 500):
            pass

        assert await scene.listed(State.FAILED) == []

    async def test_a_large_batch_is_committed_whole(self, scene: Scene) -> None:
        outer = await scene.open_batch()
        jobs = await scene.create_many(MANY, batch=outer)
        inner = await scene.open_batch(outer)
        jobs += await scene.create_many(MANY, "inner", batch=inner)
        assert await scene.storage.commit_batch(outer) is Opened.DONE
        # Both are open from now on, however far that has come.
        assert await scene.storage.commit_batch(inner) is Opened.DONE
        early = await scene.create(batch=outer)
        await scene.carry_on()

        assert await scene.storage.commit_batch(inner) is Opened.DONE
        assert sorted(await scene.listed(State.ENQUEUED)) == sorted([*jobs, early])
        assert (await scene.recount(outer)).nested == 1
        for queue in ("default", "inner"):
            worker = await scene.worker()
            for grant in await worker.take(MANY + 1, queue):
                await worker.finish(grant)
        for batch in (outer, inner):
            assert (await scene.recount(batch)).state is BatchState.SUCCEEDED

    async def test_nothing_of_a_large_batch_starts_once_it_is_cancelled(self, scene: Scene) -> None:
        outer = await scene.open_batch()
        await scene.create_many(MANY, batch=outer)
        inner = await scene.open_batch(outer)
        await scene.create_many(MANY, batch=inner, delay_ms=10)
        await scene.storage.commit_batch(outer)
        await scene.carry_on()
        worker = await scene.worker()
        running = await worker.take(3)

        assert await scene.storage.cancel_batch(outer) is Opened.DONE
        while (reply := await worker.exchange(slots=5)).more:
            assert reply.grants == []
        assert reply.grants == []
        await scene.carry_on()

        assert len(await scene.listed(State.CANCELLED)) == 2 * MANY - 3
        assert (await scene.recount(inner)).state is BatchState.CANCELLED
        for grant in running:
            assert (await scene.recount(outer)).state is BatchState.OPEN
            await worker.finish(grant, Outcome.CANCELLED)
        assert (await scene.recount(outer)).state is BatchState.CANCELLED

    async def test_a_large_batch_can_be_cancelled_while_its_commit_is_carried_out(self, scene: Scene) -> None:
        outer = await scene.open_batch()
        await scene.create_many(MANY, batch=outer)
        inner = await scene.open_batch(outer)
        await scene.create_many(3, batch=inner)
        await scene.storage.commit_batch(outer)

        assert await scene.storage.cancel_batch(inner) is Opened.DONE
        assert await scene.storage.cancel_batch(outer) is Opened.DONE
        await scene.carry_on()

        for batch in (outer, inner):
            assert (await scene.recount(batch)).state is BatchState.CANCELLED
        assert len(await scene.listed(State.CANCELLED)) == MANY + 3

    async def test_a_large_batch_that_is_not_committed_is_removed_whole(self, scene: Scene) -> None:
        parent = await scene.finished(State.FAILED)
        outer = await scene.open_batch()
        jobs = await scene.create_many(MANY, batch=outer)
        inner = await scene.open_batch(outer)
        jobs += await scene.create_many(MANY, batch=inner, parents=[Parent(parent)])
        after = await scene.continuation(jobs[-1], on=On.FINISHED)
        await scene.carry_on()
        scene.clock.advance(STAGING_MS)

        await scene.storage.sweep_batches(scene.shard)
        assert await scene.storage.commit_batch(outer) is Opened.MISSING
        await scene.carry_on()

        assert await scene.batch_state(outer) is await scene.batch_state(inner) is None
        assert [await scene.state(job) for job in (jobs[0], jobs[MANY], jobs[-1])] == [None, None, None]
        assert await scene.listed(State.CANCELLED) == [after]
        await scene.storage.trim(scene.shard, Retention(failed_ms=0), 10)
        assert await scene.state(parent) is None

    async def test_what_follows_can_be_carried_on_by_several_at_once(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        await scene.create_many(MANY, batch=batch)
        await scene.storage.commit_batch(batch)
        await scene.create_many(MANY, "last", parents=[Parent(batch, On.FINISHED, batch=True)])

        await asyncio.gather(*(scene.carry_on() for _ in range(4)))
        assert len(await scene.listed(State.ENQUEUED)) == MANY
        await scene.storage.cancel_batch(batch)
        await asyncio.gather(*(scene.carry_on() for _ in range(4)))

        assert len(await scene.listed(State.ENQUEUED, "last")) == MANY
        assert (await scene.recount(batch)).state is BatchState.CANCELLED

    # -- across shards (where there is but one, the same holds within it) --

    @pytest.mark.parametrize(("on", "cancel", "ending", "becomes"), ROWS)
    async def test_word_of_a_parents_end_reaches_another_shard(
        self, scene: Scene, on: On, cancel: bool, ending: State | None, becomes: State
    ) -> None:
        parent = await self.create_elsewhere(scene)
        child = await scene.continuation(Parent(parent, on, cancel=cancel, output=True))
        await scene.carry_on()
        assert await scene.state(child) is State.AWAITING

        await self.end_elsewhere(scene, parent, ending)
        await scene.carry_on()

        assert await scene.state(child) is becomes
        assert await scene.events(child) == ["cancelled"] * (becomes is State.CANCELLED)
        if becomes is State.ENQUEUED:
            assert await scene.take_marker() == "default"
            worker = await scene.worker()
            result = b"\x07" * 100 if ending is State.SUCCEEDED else b""
            assert (await worker.take_one()).outputs == {parent: result}

    @pytest.mark.parametrize(("on", "cancel", "ending", "becomes"), ROWS)
    async def test_so_does_word_of_an_end_that_came_first(
        self, scene: Scene, on: On, cancel: bool, ending: State | None, becomes: State
    ) -> None:
        parent = await self.create_elsewhere(scene)
        await self.end_elsewhere(scene, parent, ending)

        job = scene.new_job(parents=[Parent(parent, on, cancel=cancel)])
        (created,) = await scene.storage.create([job])
        await scene.carry_on()

        assert created is Created.CREATED or (created is Created.PARENT_GONE and ending is None)
        if created is Created.CREATED:
            assert await scene.state(job.id) is becomes

    async def test_parents_on_all_shards_and_their_child_can_be_made_in_one_call(self, scene: Scene) -> None:
        for _ in range(10):
            parents = [scene.new_job("parents") for _ in range(scene.storage.shards)]
            for shard, job in enumerate(parents):
                job.id = new_id(shard)
            child = scene.new_job(parents=[Parent(job.id) for job in parents])
            assert set(await scene.storage.create([*parents, child])) == {Created.CREATED}
            await scene.carry_on()
            assert await scene.state(child.id) is State.AWAITING

            for shard in range(scene.storage.shards):
                await scene.run(Outcome.SUCCEEDED, "parents", shard)
            await scene.carry_on()

            assert await scene.run(Outcome.SUCCEEDED, "default") == child.id

    async def test_continuations_of_all_shards_are_listed_since_when_they_wait(self, scene: Scene) -> None:
        children: list[str] = []
        for shard in (0, scene.shard, 0, scene.shard):
            scene.clock.advance(1)
            parent = await scene.create("parents")
            children.append(await scene.continuation(parent, id=new_id(shard)))
        await scene.carry_on()

        assert await scene.listed(State.AWAITING) == children
        page = await scene.storage.jobs(State.AWAITING, offset=1, limit=2, newest_first=True)
        assert [job.id for job in page.jobs] == [children[2], children[1]]

    async def test_a_batch_elsewhere_is_waited_for(self, scene: Scene) -> None:
        batch = NewBatch(new_id(scene.elsewhere))
        await scene.storage.open_batches([batch])
        member = scene.new_job("parents", id=new_id(scene.elsewhere), batch=batch.id)
        await scene.storage.create([member])
        child = await scene.continuation(Parent(batch.id, batch=True))
        await scene.storage.commit_batch(batch.id)
        await scene.carry_on()
        await scene.run(Outcome.FAILED, "parents", scene.elsewhere)
        await scene.carry_on()
        assert await scene.state(child) is State.AWAITING

        assert await scene.storage.requeue(member.id, "request1") is Requeued.REQUEUED
        await scene.run(Outcome.SUCCEEDED, "parents", scene.elsewhere)
        await scene.carry_on()

        assert await scene.state(child) is State.ENQUEUED

    async def test_a_child_that_was_cancelled_elsewhere_stays_so(self, scene: Scene) -> None:
        parent = await self.create_elsewhere(scene)
        child = await scene.continuation(parent)
        await scene.carry_on()
        await scene.storage.cancel(child, "request1")
        await scene.storage.requeue(child, "request2")

        await self.end_elsewhere(scene, parent, State.SUCCEEDED)
        await scene.carry_on()

        assert await scene.listed(State.ENQUEUED, "default") == [child]

    @pytest.mark.parametrize("end", ["cancel", "delete"])
    async def test_a_child_that_does_not_wait_any_more_keeps_no_parent_elsewhere(
        self, scene: Scene, end: str
    ) -> None:
        parent = await self.create_elsewhere(scene)
        child = await scene.continuation(parent)
        await scene.carry_on()
        if end == "cancel":
            await scene.storage.cancel(child, "request1")
        else:
            await scene.storage.delete(child)
        await scene.carry_on()
        await self.end_elsewhere(scene, parent, State.FAILED)

        await scene.storage.trim(scene.elsewhere, NOTHING_KEPT, 10)

        assert await scene.state(parent) is None

    async def test_very_much_word_crosses_shards(self, scene: Scene) -> None:
        parent = await self.create_elsewhere(scene)
        children = await scene.create_many(MANY, parents=[Parent(parent, output=True)])
        await scene.carry_on()

        await self.end_elsewhere(scene, parent, State.SUCCEEDED)
        await asyncio.gather(scene.carry_on(), scene.carry_on())

        assert sorted(await scene.listed(State.ENQUEUED, "default")) == sorted(children)

    async def create_elsewhere(self, scene: Scene) -> str:
        """Make a job on another shard, if there is one."""
        return await scene.create("parents", id=new_id(scene.elsewhere))

    async def end_elsewhere(self, scene: Scene, job_id: str, ending: State | None) -> None:
        """Bring it to its end, with a result where it succeeds."""
        if ending is State.SUCCEEDED:
            await scene.run(Outcome.SUCCEEDED, "parents", scene.elsewhere, result=b"\x07" * 100)
        elif ending in (State.FAILED, State.CANCELLED):
            outcome = Outcome.FAILED if ending is State.FAILED else Outcome.CANCELLED
            await scene.run(outcome, "parents", scene.elsewhere)
        else:
            await end(scene, job_id, None)

    # -- batches in one another --

    async def test_batches_are_nested_so_deep_and_no_deeper(self, scene: Scene) -> None:
        nested = [NewBatch(scene.new_id())]
        for _ in range(NEST_LIMIT):
            nested.append(NewBatch(scene.new_id(), parent=nested[-1].id))
        assert await scene.storage.open_batches(nested) is Opened.DONE
        too_deep = NewBatch(scene.new_id(), parent=nested[-1].id)
        assert await scene.storage.open_batches([too_deep]) is Opened.TOO_DEEP
        assert await scene.storage.get_batch(too_deep.id) is None
        job = await scene.create(batch=nested[-1].id)
        await scene.storage.commit_batch(nested[0].id)
        await scene.carry_on()

        await scene.run(Outcome.SUCCEEDED, "default")
        await scene.carry_on()
        assert await scene.batch_state(nested[0].id) is BatchState.SUCCEEDED

        assert await scene.storage.requeue(job, "request1") is Requeued.REQUEUED
        assert await scene.batch_state(nested[0].id) is BatchState.OPEN
