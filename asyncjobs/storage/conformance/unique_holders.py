"""Unique keys whose holder is sure never to run: they are as good as free, or a call would be lost to it."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import (
    STAGING_MS,
    HistoryEntry,
    Outcome,
    Requeued,
    State,
    UniqueClaim,
    Until,
)
from asyncjobs.storage.conformance.scene import Scene
from asyncjobs.storage.conformance.unique_jobs import (
    FOR_A_TIME,
    KEY,
    REPLACES,
    STARTED,
    holder_in,
    try_to_create,
)

EXPIRES = 100
PERIOD = UniqueClaim(KEY, Until.PERIOD, 10 * STAGING_MS)


class UniqueHolderTests:
    """Holders that count no longer."""

    # -- that never appeared --

    @pytest.mark.parametrize("how", ["delete", "sweep"])
    async def test_a_member_that_never_appears_holds_no_key_for_a_time(self, scene: Scene, how: str) -> None:
        member = await scene.create(batch=await scene.open_batch(), unique=PERIOD)
        assert await try_to_create(scene) == f"held by {member}"

        if how == "delete":
            await scene.storage.delete(member)
        else:
            scene.clock.advance(STAGING_MS)
            await scene.storage.sweep_batches(scene.shard)
            await scene.carry_on()

        assert not (await try_to_create(scene)).startswith("held")

    async def test_a_member_that_has_appeared_holds_a_key_for_a_time_though_it_is_deleted(
        self, scene: Scene
    ) -> None:
        batch = await scene.open_batch()
        member = await scene.create(batch=batch, unique=PERIOD)
        await scene.storage.commit_batch(batch)
        await scene.carry_on()
        await scene.storage.delete(member)

        assert await try_to_create(scene) == f"held by {member}"

    async def test_a_member_that_never_appears_frees_no_key_that_another_has_by_now(
        self, scene: Scene
    ) -> None:
        member = await scene.create(batch=await scene.open_batch(), unique=PERIOD)
        other = await try_to_create(scene, REPLACES)
        await scene.storage.delete(member)

        assert await try_to_create(scene) == f"held by {other}"

    # -- past their deadline --

    @pytest.mark.parametrize("state", [State.ENQUEUED, State.THROTTLED, State.RETRYING])
    @pytest.mark.parametrize("claim", [UniqueClaim(KEY), REPLACES])
    async def test_a_holder_that_waits_and_is_past_its_deadline_expires_at_once(
        self, scene: Scene, state: State, claim: UniqueClaim
    ) -> None:
        holder = await holder_in(scene, state, expires_ms=EXPIRES)
        scene.clock.advance(EXPIRES - 1)
        assert await try_to_create(scene) == f"held by {holder}"
        now = scene.clock.advance(1)

        other = await try_to_create(scene, claim)

        record = await scene.record(holder)
        assert (record.state, record.finished_ms) == (State.CANCELLED, now)
        last = (await scene.storage.history(holder))[-1]
        assert last == HistoryEntry(now, "expired", record.attempt, "")
        assert await scene.listed(State.CANCELLED) == [holder]
        assert await scene.total("cancelled") == 1
        assert await try_to_create(scene) == f"held by {other}"
        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(5, "others")] == [other]

    async def test_the_deadline_of_a_holder_that_runs_is_over(self, scene: Scene) -> None:
        holder = await holder_in(scene, State.PROCESSING, expires_ms=EXPIRES)
        scene.clock.advance(EXPIRES)

        assert await try_to_create(scene) == f"held by {holder}"

    async def test_the_deadline_of_who_holds_a_key_for_a_time_changes_nothing(self, scene: Scene) -> None:
        holder = await holder_in(scene, State.ENQUEUED, FOR_A_TIME, expires_ms=EXPIRES)
        scene.clock.advance(EXPIRES)

        assert await try_to_create(scene) == f"held by {holder}"
        assert await scene.state(holder) is State.ENQUEUED

    async def test_a_member_takes_the_key_of_an_expired_one(self, scene: Scene) -> None:
        holder = await holder_in(scene, State.ENQUEUED, STARTED, expires_ms=EXPIRES)
        scene.clock.advance(EXPIRES)

        member = await try_to_create(scene, batch=await scene.open_batch())

        assert await scene.state(holder) is State.CANCELLED
        assert await try_to_create(scene) == f"held by {member}"

    async def test_a_requeued_job_takes_the_key_of_an_expired_one(self, scene: Scene) -> None:
        job_id = await holder_in(scene, State.FAILED)
        holder = await try_to_create(scene, expires_ms=EXPIRES)
        scene.clock.advance(EXPIRES - 1)
        assert await scene.storage.requeue(job_id, "request1") is Requeued.NOT_UNIQUE
        scene.clock.advance(1)

        assert await scene.storage.requeue(job_id, "request1") is Requeued.REQUEUED

        assert await scene.events(holder) == ["expired"]
        assert await try_to_create(scene) == f"held by {job_id}"

    # -- that are to be cancelled --

    async def test_a_holder_that_runs_and_is_to_be_cancelled_goes_on_without_the_key(
        self, scene: Scene
    ) -> None:
        holder = await scene.create(unique=UniqueClaim(KEY))
        worker = await scene.worker()
        grant = await worker.take_one()
        await scene.storage.cancel(holder, "request1")

        other = await try_to_create(scene)

        assert await scene.state(holder) is State.PROCESSING
        await worker.finish(grant, Outcome.CANCELLED)
        assert await scene.events(holder) == ["cancelled"]
        assert await try_to_create(scene) == f"held by {other}"
