"""Unique jobs: who holds a key, for how long, and what becomes of others that claim it."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

from typing import Any

import pytest

from asyncjobs.storage.base import (
    STAGING_MS,
    Conflict,
    Created,
    On,
    Outcome,
    Parent,
    Requeued,
    State,
    UniqueClaim,
    Until,
)
from asyncjobs.storage.conformance.limiting import Limited
from asyncjobs.storage.conformance.scene import Scene

KEY = "key"
PERIOD = 100_000
"""Longer than a test takes: a storage may forget keys by its own clock, too."""
CLAIM = UniqueClaim(KEY)
STARTED = UniqueClaim(KEY, Until.STARTED)
FOR_A_TIME = UniqueClaim(KEY, Until.PERIOD, PERIOD)
REPLACES = UniqueClaim(KEY, replaces=True)
WAITING = [
    *(State.STAGING, State.AWAITING, State.SCHEDULED, State.ENQUEUED, State.THROTTLED),
    State.RETRYING,
]


async def try_to_create(scene: Scene, claim: UniqueClaim = CLAIM, **fields: Any) -> str:
    """Make a job that claims a key: its id if it is made, else its holder's and that nothing was written."""
    job = scene.new_job("others", unique=claim, **fields)
    (code,) = await scene.storage.create([job])
    if isinstance(code, Conflict):
        assert await scene.storage.get(job.id) is None
        return f"held by {code.holder}"
    assert code is Created.CREATED
    return job.id


async def holder_in(scene: Scene, state: State, claim: UniqueClaim = CLAIM, **fields: Any) -> str:
    """Make a job that claims a key, and bring it into a state; its id."""
    fields |= {"unique": claim}
    match state:
        case State.STAGING:
            return await scene.create(batch=await scene.open_batch(), **fields)
        case State.AWAITING:
            return await scene.continuation(await scene.create("parents"), **fields)
        case State.SCHEDULED:
            return await scene.create(delay_ms=1_000, **fields)
        case State.THROTTLED:
            limit = Limited(scene)
            await limit.create("parents")
            await limit.create()
            return await limit.create(**fields)
        case _:
            job_id = await scene.create(**fields)
    if state is not State.ENQUEUED:
        worker = await scene.worker()
        grant = await worker.take_one()
        outcomes = {State.RETRYING: Outcome.RETRY, State.SUCCEEDED: Outcome.SUCCEEDED}
        outcomes |= {State.FAILED: Outcome.FAILED, State.CANCELLED: Outcome.CANCELLED}
        if state is not State.PROCESSING:
            await worker.finish(grant, outcomes[state], delay_ms=1_000)
    assert await scene.state(job_id) is state
    return job_id


class UniqueJobsTests:
    """`NewJob.unique`."""

    # -- who holds it --

    @pytest.mark.parametrize("state", [*WAITING, State.PROCESSING])
    async def test_a_job_that_has_not_ended_holds_its_key(self, scene: Scene, state: State) -> None:
        holder = await holder_in(scene, state)

        assert await try_to_create(scene) == f"held by {holder}"

        assert await scene.state(holder) is state
        assert (await scene.record(holder)).unique == KEY
        assert "others" not in [queue.name for queue in await scene.storage.queues()]

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    async def test_a_job_that_has_ended_holds_no_key(self, scene: Scene, state: State) -> None:
        await holder_in(scene, state)

        other = await try_to_create(scene)

        assert await try_to_create(scene) == f"held by {other}"

    @pytest.mark.parametrize("state", [State.PROCESSING, State.RETRYING, State.SUCCEEDED])
    async def test_a_job_that_has_started_has_let_go_of_a_key_until_then(
        self, scene: Scene, state: State
    ) -> None:
        await holder_in(scene, state, STARTED)

        other = await try_to_create(scene, STARTED)

        assert await try_to_create(scene) == f"held by {other}"

    @pytest.mark.parametrize("state", WAITING[:-1])
    async def test_a_job_that_has_not_started_holds_a_key_until_then(
        self, scene: Scene, state: State
    ) -> None:
        holder = await holder_in(scene, state, STARTED)

        assert await try_to_create(scene) == f"held by {holder}"

    @pytest.mark.parametrize("outcome", [Outcome.RETRY, Outcome.SNOOZE, Outcome.RELEASED])
    async def test_a_job_that_comes_back_does_not_take_a_key_that_it_held_until_it_started(
        self, scene: Scene, outcome: Outcome
    ) -> None:
        first = await scene.create(unique=STARTED)
        worker = await scene.worker()
        grant = await worker.take_one()
        second = await try_to_create(scene, STARTED)
        await worker.finish(grant, outcome)

        assert await worker.run() == first
        assert await try_to_create(scene, STARTED) == f"held by {second}"

    async def test_a_job_holds_a_key_for_a_time_whatever_becomes_of_it(self, scene: Scene) -> None:
        began = scene.clock()
        holder = await holder_in(scene, State.SUCCEEDED, FOR_A_TIME)
        scene.clock.advance(PERIOD - 1)
        assert await try_to_create(scene, FOR_A_TIME) == f"held by {holder}"
        await scene.storage.delete(holder)
        assert await try_to_create(scene, FOR_A_TIME) == f"held by {holder}"

        scene.clock.now_ms = began + PERIOD

        other = await try_to_create(scene, FOR_A_TIME)
        assert await try_to_create(scene) == f"held by {other}"

    async def test_a_time_counts_from_a_jobs_creation(self, scene: Scene) -> None:
        await holder_in(scene, State.SCHEDULED, FOR_A_TIME)
        scene.clock.advance(PERIOD)

        assert not (await try_to_create(scene, FOR_A_TIME)).startswith("held")

    async def test_keys_are_told_apart(self, scene: Scene) -> None:
        keys = ["a", "a b", " a", "a:b", "ä", "a\n", "a\nb", "*", "{a}", "0", "%s", "~a", "a" * 500]

        codes = await scene.storage.create([scene.new_job(unique=UniqueClaim(key)) for key in keys * 2])

        assert codes[: len(keys)] == [Created.CREATED] * len(keys)
        assert all(isinstance(code, Conflict) for code in codes[len(keys) :])
        worker = await scene.worker()
        ids = [grant.id for grant in await worker.take(50)]
        assert [(await scene.record(job_id)).unique for job_id in ids] == keys

    async def test_jobs_of_one_call_hold_their_keys_against_those_behind_them(self, scene: Scene) -> None:
        jobs = [scene.new_job(unique=claim) for claim in (CLAIM, CLAIM, UniqueClaim("other"), None, CLAIM)]

        codes = await scene.storage.create(jobs)

        conflict = Conflict(jobs[0].id)
        assert codes == [Created.CREATED, conflict, Created.CREATED, Created.CREATED, conflict]
        assert await scene.listed(State.ENQUEUED, "default") == [jobs[at].id for at in (0, 2, 3)]

    async def test_a_create_sent_again_is_no_conflict(self, scene: Scene) -> None:
        job = scene.new_job(unique=CLAIM)
        await scene.storage.create([job])

        assert await scene.storage.create([job]) == [Created.EXISTS]
        worker = await scene.worker()
        await worker.run(retention_ms=0)
        assert await scene.storage.create([job]) == [Created.EXISTS]
        assert await try_to_create(scene) != f"held by {job.id}"

    # -- when it lets go --

    @pytest.mark.parametrize("how", ["cancel", "delete", "purge", "removed at once"])
    async def test_an_enqueued_job_that_ends_or_is_removed_lets_go(self, scene: Scene, how: str) -> None:
        holder = await scene.create(unique=CLAIM)
        match how:
            case "cancel":
                await scene.storage.cancel(holder, "request1")
            case "delete":
                await scene.storage.delete(holder)
            case "purge":
                await scene.storage.purge(scene.shard, "default", 10)
            case _:
                await (await scene.worker()).run(retention_ms=0)

        assert not (await try_to_create(scene)).startswith("held")

    @pytest.mark.parametrize("state", [State.AWAITING, State.SCHEDULED, State.THROTTLED, State.RETRYING])
    @pytest.mark.parametrize("how", ["cancel", "delete", "clear"])
    async def test_a_job_that_waits_and_ends_or_is_removed_lets_go(
        self, scene: Scene, state: State, how: str
    ) -> None:
        holder = await holder_in(scene, state)
        if how == "clear":
            await scene.storage.clear(scene.shard, state, 10)
        else:
            await getattr(scene.storage, how)(holder, "request1")

        assert not (await try_to_create(scene)).startswith("held")

    @pytest.mark.parametrize("end", ["poisoned", "cancelled", "recovered"])
    async def test_a_reaped_job_lets_go_if_it_ends_by_that(self, scene: Scene, end: str) -> None:
        holder = await scene.create(unique=CLAIM, max_recoveries=0 if end == "poisoned" else 3)
        worker = await scene.worker()
        await worker.take_one()
        if end == "cancelled":
            await scene.storage.cancel(holder, "request1")
        await scene.storage.reap(scene.shard, worker.id)

        assert (await try_to_create(scene) == f"held by {holder}") == (end == "recovered")

    async def test_a_continuation_that_will_never_run_lets_go(self, scene: Scene) -> None:
        parent = await scene.create("parents")
        child = await scene.continuation(parent, on=On.FAILED, unique=CLAIM)
        await scene.run(Outcome.SUCCEEDED, "parents")
        assert await scene.state(child) is State.CANCELLED

        assert not (await try_to_create(scene)).startswith("held")

    async def test_a_late_finish_frees_no_key(self, scene: Scene) -> None:
        holder = await scene.create(unique=CLAIM)
        worker = await scene.worker()
        grant = await worker.take_one()
        await scene.storage.reap(scene.shard, worker.id)
        other = await scene.worker()
        await other.finish(grant)

        assert await try_to_create(scene) == f"held by {holder}"

    # -- in batches --

    async def test_members_hold_their_keys_while_their_batch_is_staging(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        member = await scene.create(unique=CLAIM, batch=batch)
        assert await try_to_create(scene, batch=batch) == f"held by {member}"

        await scene.storage.commit_batch(batch)
        await scene.carry_on()

        assert await try_to_create(scene) == f"held by {member}"
        assert (await scene.recount(batch)).total == 1

    async def test_a_batch_that_is_given_up_frees_its_members_keys(self, scene: Scene) -> None:
        await holder_in(scene, State.STAGING)
        scene.clock.advance(STAGING_MS)
        await scene.storage.sweep_batches(scene.shard)
        await scene.carry_on()

        assert not (await try_to_create(scene)).startswith("held")

    async def test_a_cancelled_batch_frees_its_members_keys(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        await scene.create(unique=CLAIM, batch=batch)
        await scene.storage.commit_batch(batch)
        await scene.carry_on()
        await scene.storage.cancel_batch(batch)
        await scene.carry_on()

        assert not (await try_to_create(scene)).startswith("held")

    # -- replacing --

    @pytest.mark.parametrize("state", WAITING)
    async def test_a_holder_that_waits_is_replaced(self, scene: Scene, state: State) -> None:
        holder = await holder_in(scene, state)
        now = scene.clock.advance(5)

        other = await try_to_create(scene, REPLACES)

        record = await scene.record(holder)
        assert (record.state, record.finished_ms) == (State.CANCELLED, now)
        last = (await scene.storage.history(holder))[-1]
        assert (last.event, last.error_type) == ("cancelled", "Replaced")
        assert other in last.error_message
        assert await scene.listed(State.CANCELLED) == [holder]
        for listed in (State.AWAITING, State.SCHEDULED, State.THROTTLED, State.RETRYING):
            assert holder not in await scene.listed(listed)
        assert await try_to_create(scene) == f"held by {other}"
        worker = await scene.worker()
        assert [grant.id for grant in await worker.take(5, "others")] == [other]

    async def test_a_holder_that_runs_goes_on_without_the_key(self, scene: Scene) -> None:
        holder = await scene.create(unique=CLAIM)
        worker = await scene.worker()
        grant = await worker.take_one()

        other = await try_to_create(scene, REPLACES)

        record = await scene.record(holder)
        assert (record.state, record.cancel_requested) == (State.PROCESSING, False)
        await worker.finish(grant)
        assert await scene.state(holder) is State.SUCCEEDED
        assert await try_to_create(scene) == f"held by {other}"

    async def test_a_holder_that_has_ended_is_left_alone(self, scene: Scene) -> None:
        holder = await holder_in(scene, State.SUCCEEDED, FOR_A_TIME)

        other = await try_to_create(scene, REPLACES)

        assert await scene.state(holder) is State.SUCCEEDED
        assert await try_to_create(scene) == f"held by {other}"

    async def test_a_replacing_create_sent_again_replaces_nobody(self, scene: Scene) -> None:
        job = scene.new_job(unique=REPLACES)
        await scene.storage.create([job])
        later = await try_to_create(scene, REPLACES)

        assert await scene.storage.create([job]) == [Created.EXISTS]

        assert (await scene.state(job.id), await scene.state(later)) == (State.CANCELLED, State.ENQUEUED)
        assert await try_to_create(scene) == f"held by {later}"

    async def test_of_one_call_the_last_one_replaces_those_before_it(self, scene: Scene) -> None:
        limit = Limited(scene)
        await limit.create("parents")
        first = await limit.create()
        uses = [limit.use()]
        jobs = [scene.new_job(unique=REPLACES, limits=uses) for _ in range(3)]
        codes = await scene.storage.create([*jobs, scene.new_job(unique=CLAIM)])

        assert codes == [*[Created.CREATED] * 3, Conflict(jobs[-1].id)]
        assert await scene.listed(State.THROTTLED) == [jobs[-1].id]
        assert await scene.listed(State.CANCELLED) == [job.id for job in jobs[:-1]]
        worker = await scene.worker()
        assert [await worker.run() for _ in range(2)] == [first, jobs[-1].id]

    async def test_a_replaced_job_lets_the_next_one_of_its_limit_in(self, scene: Scene) -> None:
        limit = Limited(scene)
        await limit.create(unique=CLAIM)
        waiting = await limit.create()

        await try_to_create(scene, REPLACES)

        assert await scene.state(waiting) is State.ENQUEUED
        assert await limit.counts() == (0, 1, 0)

    async def test_a_replaced_jobs_batch_and_continuations_hear_of_it(self, scene: Scene) -> None:
        batch = await scene.open_batch()
        member = await scene.create(unique=CLAIM, batch=batch)
        await scene.storage.commit_batch(batch)
        await scene.carry_on()
        after_it = await scene.continuation(member, on=On.FINISHED)
        after = await scene.continuation(Parent(batch, On.SUCCEEDED, batch=True, cancel=True))

        await try_to_create(scene, REPLACES)

        assert await scene.state(after_it) is State.ENQUEUED
        assert await scene.state(after) is State.CANCELLED
        await scene.recount(batch)

    # -- requeueing --

    @pytest.mark.parametrize("claim", [CLAIM, STARTED, REPLACES])
    async def test_a_requeued_job_claims_its_key_again(self, scene: Scene, claim: UniqueClaim) -> None:
        job_id = await holder_in(scene, State.FAILED, claim)
        assert await scene.storage.requeue(job_id, "request1") is Requeued.REQUEUED

        assert await try_to_create(scene) == f"held by {job_id}"
        assert await scene.storage.requeue(job_id, "request1") is Requeued.REQUEUED

    async def test_a_job_whose_key_another_holds_is_not_requeued(self, scene: Scene) -> None:
        job_id = await holder_in(scene, State.FAILED, REPLACES)
        before = await scene.record(job_id)
        other = await try_to_create(scene)

        assert await scene.storage.requeue(job_id, "request1") is Requeued.NOT_UNIQUE
        assert await scene.record(job_id) == before
        assert (await scene.state(other), await scene.length()) == (State.ENQUEUED, 0)
        await scene.storage.delete(other)
        assert await scene.storage.requeue(job_id, "request1") is Requeued.REQUEUED

    async def test_a_requeued_job_does_not_claim_a_key_that_it_held_for_a_time(self, scene: Scene) -> None:
        job_id = await holder_in(scene, State.FAILED, FOR_A_TIME)
        scene.clock.advance(PERIOD)
        other = await try_to_create(scene)

        assert await scene.storage.requeue(job_id, "request1") is Requeued.REQUEUED
        assert await try_to_create(scene) == f"held by {other}"
