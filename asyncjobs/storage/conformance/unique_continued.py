"""Unique keys of jobs that wait for whoever holds them."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import Conflict, Created, Outcome, Parent, State, UniqueClaim, Until
from asyncjobs.storage.conformance.scene import Scene

KEY = "save:7"
REPLACES = UniqueClaim(KEY, replaces=True)
CLAIMS = [
    REPLACES,
    UniqueClaim(KEY, Until.STARTED, replaces=True),
    UniqueClaim(KEY, Until.PERIOD, 60_000, replaces=True),
]


async def try_to_continue(scene: Scene, *parents: Parent | str, claim: UniqueClaim = REPLACES) -> str:
    """Make a job that waits for others and replaces; its id, or who still holds its key."""
    waits = [Parent(parent) if isinstance(parent, str) else parent for parent in parents]
    job = scene.new_job("others", parents=waits, unique=claim)
    (code,) = await scene.storage.create([job])
    if isinstance(code, Conflict):
        assert await scene.storage.get(job.id) is None
        return f"held by {code.holder}"
    assert code is Created.CREATED
    return job.id


class UniqueContinuedTests:
    """`create` of a job that would replace one that it is to run after: then neither would ever run."""

    @pytest.mark.parametrize("claim", CLAIMS)
    async def test_a_job_does_not_replace_its_parent_that_waits(
        self, scene: Scene, claim: UniqueClaim
    ) -> None:
        parent = await scene.create(unique=claim)

        assert await try_to_continue(scene, parent, claim=claim) == f"held by {parent}"

        assert await scene.state(parent) is State.ENQUEUED
        worker = await scene.worker()
        assert (await worker.take_one()).id == parent

    @pytest.mark.parametrize("kind", ["scheduled", "retrying"])
    async def test_whatever_the_parent_waits_for(self, scene: Scene, kind: str) -> None:
        parent = await scene.create(unique=REPLACES, delay_ms=1_000 if kind == "scheduled" else 0)
        if kind == "retrying":
            worker = await scene.worker()
            await worker.run(Outcome.RETRY, delay_ms=1_000)
        assert await scene.state(parent) is State(kind)

        assert await try_to_continue(scene, parent) == f"held by {parent}"

    async def test_nor_one_that_a_parent_waits_for(self, scene: Scene) -> None:
        first = await scene.create(unique=REPLACES)
        second = await scene.continuation(await scene.create(), first)
        third = await scene.continuation(second)

        assert await try_to_continue(scene, await scene.create(), third) == f"held by {first}"

    async def test_nor_one_of_the_same_call(self, scene: Scene) -> None:
        first = scene.new_job(unique=REPLACES)
        second = scene.new_job(parents=[Parent(first.id)])
        third = scene.new_job(parents=[Parent(second.id)], unique=REPLACES)

        codes = await scene.storage.create([first, second, third])

        assert codes == [Created.CREATED, Created.CREATED, Conflict(first.id)]

    async def test_nor_a_member_of_a_batch_that_it_waits_for(self, scene: Scene) -> None:
        outer = await scene.open_batch()
        inner = await scene.open_batch(outer)
        member = await scene.create(unique=REPLACES, batch=inner)
        await scene.storage.commit_batch(outer)
        await scene.carry_on()

        for batch in (outer, inner):
            assert await try_to_continue(scene, Parent(batch, batch=True)) == f"held by {member}"

        other = await scene.open_batch()
        await scene.create(batch=other)
        await scene.storage.commit_batch(other)
        await scene.carry_on()
        job = await try_to_continue(scene, Parent(other, batch=True))
        assert await scene.state(job) is State.AWAITING
        assert await scene.state(member) is State.CANCELLED

    @pytest.mark.parametrize("claim", CLAIMS)
    async def test_a_parent_that_runs_or_has_ended_is_left_alone_as_ever(
        self, scene: Scene, claim: UniqueClaim
    ) -> None:
        parent = await scene.create(unique=claim)
        worker = await scene.worker()
        grant = await worker.take_one()

        first = await try_to_continue(scene, parent, claim=claim)
        await worker.finish(grant)
        assert await scene.state(first) is State.ENQUEUED
        await worker.run(Outcome.SUCCEEDED, "others")
        second = await try_to_continue(scene, parent, claim=claim)

        assert await scene.state(second) is State.ENQUEUED

    async def test_one_that_waits_beside_its_parents_is_replaced_as_ever(self, scene: Scene) -> None:
        parent = await scene.create()
        beside = await scene.continuation(parent, unique=REPLACES)

        job = await try_to_continue(scene, parent)

        assert await scene.state(beside) is State.CANCELLED
        assert await scene.state(job) is State.AWAITING
