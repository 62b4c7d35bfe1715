"""What a parent leaves to its continuations: its result, and that it stays for as long as it is needed."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import (
    PIN_MS,
    BatchState,
    Members,
    On,
    Outcome,
    Parent,
    Retention,
    State,
)
from asyncjobs.storage.conformance.scene import Scene

NOTHING_KEPT = Retention(succeeded_ms=0, failed_ms=0, cancelled_ms=0)
SIZES = [0, 1, 63, 64, 65, 128, 511, 512, 513, 1_025, 100_000]


class HandingOverTests:
    """Results that are handed over, and parents that are pinned."""

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("ended_before", [False, True])
    async def test_a_result_of_any_size_is_handed_over(
        self, scene: Scene, size: int, ended_before: bool
    ) -> None:
        result = bytes(at % 251 for at in range(size))
        parent = await scene.create("parents")
        if ended_before:
            await scene.run(Outcome.SUCCEEDED, "parents", result=result)
        child = await scene.continuation(Parent(parent, output=True))
        if not ended_before:
            await scene.run(Outcome.SUCCEEDED, "parents", result=result)

        worker = await scene.worker()
        grant = await worker.take_one()

        assert (grant.id, grant.outputs) == (child, {parent: result})
        assert (await worker.exchange(number=1)).grants == [grant]

    async def test_a_result_that_is_not_kept_cannot_be_handed_over(self, scene: Scene) -> None:
        parent, other = await scene.create("parents"), await scene.create("others")
        await scene.continuation(Parent(parent, output=True))
        await scene.continuation(Parent(parent, output=True), Parent(other, output=True), queue="both")
        await scene.run(Outcome.SUCCEEDED, "parents", result_kept=False)
        await scene.run(Outcome.SUCCEEDED, "others", result=b"\x01")

        worker = await scene.worker()

        assert (await worker.take_one()).outputs is None
        assert (await worker.take_one("both")).outputs == {other: b"\x01"}

    async def test_only_what_is_asked_for_is_handed_over(self, scene: Scene) -> None:
        first, second, third = [await scene.create("parents") for _ in range(3)]
        await scene.continuation(Parent(first, output=True), second, Parent(third, output=True))
        for result in (b"\x01", b"\x02", b""):
            await scene.run(Outcome.SUCCEEDED, "parents", result=result)

        worker = await scene.worker()

        assert (await worker.take_one()).outputs == {first: b"\x01", third: b""}

    async def test_a_plain_job_is_handed_nothing(self, scene: Scene) -> None:
        parent = await scene.finished(result=b"\x01")
        await scene.create()
        await scene.continuation(parent)
        worker = await scene.worker()

        assert [(grant.outputs, grant.batch) for grant in await worker.take(2)] == [(None, ""), (None, "")]

    async def test_a_batch_has_no_result(self, scene: Scene) -> None:
        batch, _ = await scene.batch(0)
        await scene.continuation(Parent(batch, batch=True, output=True))
        worker = await scene.worker()

        assert (await worker.take_one()).outputs is None

    async def test_a_result_outlives_its_parent_and_further_attempts(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(Parent(parent, output=True))
        await scene.run(Outcome.SUCCEEDED, "parents", result=b"\x01", retention_ms=0)
        await scene.storage.trim(scene.shard, NOTHING_KEPT, 10)
        assert await scene.state(parent) is None
        worker = await scene.worker()

        await worker.run(Outcome.RETRY)
        grant = await worker.take_one()
        assert (grant.attempt, grant.outputs) == (2, {parent: b"\x01"})
        await worker.finish(grant, Outcome.FAILED)
        await scene.storage.requeue(child, "request1")

        assert (await worker.take_one()).outputs == {parent: b"\x01"}

    async def test_a_member_of_a_batch_is_told_its_batch(self, scene: Scene) -> None:
        batch, (first, *_) = await scene.batch(2)
        worker = await scene.worker()

        grants = await worker.take(2)

        assert [grant.batch for grant in grants] == [batch, batch]
        assert grants[0].id == first

    # -- retention --

    async def test_a_parent_that_is_waited_for_is_kept(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        await scene.continuation(parent)
        await scene.run(Outcome.FAILED, "parents")
        scene.clock.advance(1_000)

        for retention in (NOTHING_KEPT, Retention(max_jobs=0)):
            await scene.storage.trim(scene.shard, retention, 10)

        assert await scene.listed(State.FAILED) == [parent]
        assert await scene.total("trimmed") == 0

    @pytest.mark.parametrize("end", ["cancel", "delete", "run"])
    async def test_it_is_kept_no_longer_than_it_is_waited_for(self, scene: Scene, end: str) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent)
        await scene.run(Outcome.FAILED, "parents")
        scene.clock.advance(1_000)
        await scene.storage.trim(scene.shard, NOTHING_KEPT, 10)
        if end == "cancel":
            await scene.storage.cancel(child, "request1")
        elif end == "delete":
            await scene.storage.delete(child)
        else:
            await scene.storage.requeue(parent, "request1")
            await scene.run(Outcome.SUCCEEDED, "parents")

        # One that was kept beyond its time is looked at again only some time later.
        scene.clock.advance(PIN_MS)
        await scene.storage.trim(scene.shard, NOTHING_KEPT, 10)

        assert await scene.state(parent) is None

    async def test_no_retention_of_its_own_removes_a_parent_when_its_end_was_told(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent)

        await scene.run(Outcome.SUCCEEDED, "parents", retention_ms=0)
        assert await scene.state(child) is State.ENQUEUED
        assert not await scene.storage.trim(scene.shard, Retention(), 10)

        assert await scene.state(parent) is None

    async def test_what_is_kept_does_not_hide_what_is_not(self, scene: Scene) -> None:
        parents = await scene.create_many(120, "parents")
        worker = await scene.worker()
        for parent in parents:
            await scene.continuation(parent)
            await worker.run(Outcome.FAILED, "parents")
        scene.clock.advance(1)
        plain = await scene.finished(State.FAILED)
        scene.clock.advance(1_000)

        for _ in range(5):
            await scene.storage.trim(scene.shard, Retention(failed_ms=1_000), 10)

        assert await scene.state(plain) is None
        assert len(await scene.listed(State.FAILED)) == 120

    async def test_members_that_did_not_succeed_are_kept_until_their_batch_has_finished(
        self, scene: Scene
    ) -> None:
        batch, members = await scene.batch(3)
        worker = await scene.worker()
        for outcome in (Outcome.FAILED, Outcome.SUCCEEDED):
            await worker.run(outcome)
        scene.clock.advance(1_000)

        await scene.storage.trim(scene.shard, NOTHING_KEPT, 10)

        assert [await scene.state(job) for job in members] == [State.FAILED, None, State.ENQUEUED]
        await scene.recount(batch, succeeded=1)
        await worker.run()
        scene.clock.advance(PIN_MS)
        await scene.storage.trim(scene.shard, NOTHING_KEPT, 10)
        assert [await scene.state(job) for job in members] == [None, None, None]
        record = await scene.recount(batch, succeeded=2, failed=1)
        assert record.state is BatchState.FAILED
        assert await scene.storage.members(batch) == Members([], 0)

    async def test_an_exchange_keeps_what_is_waited_for(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(Parent(parent, On.SUCCEEDED))
        worker = await scene.worker()

        grant = await worker.take_one("parents")
        await worker.finish(grant, Outcome.FAILED, retention=Retention(max_jobs=0))

        assert await scene.listed(State.FAILED) == [parent]
        await scene.storage.requeue(parent, "request1")
        grant = await worker.take_one("parents")
        await worker.finish(grant, retention=Retention(max_jobs=0))
        assert await scene.state(child) is State.ENQUEUED
        assert await scene.state(parent) is None
