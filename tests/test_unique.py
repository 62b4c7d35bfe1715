"""Unique jobs as users declare and enqueue them; in memory, at a time that stands still."""

from __future__ import annotations

import math
import pickle
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from asyncjobs import Client, Job, Registry, State, Unique
from asyncjobs.errors import (
    DefinitionError,
    JobNotFound,
    JobStateError,
    OptionError,
    UniqueConflict,
    WrongDefinition,
)
from asyncjobs.storage.base import Outcome, Until
from asyncjobs.storage.conformance import MovableClock
from asyncjobs.storage.memory import MemoryStorage
from tests.by_hand import HandWorker

SECOND = 1_000

registry = Registry()


@registry.job(name="unique.greet", unique="greet:{to}")
async def greet(to: str, text: str = "Hi") -> str:
    return f"{text}, {to}"


@registry.job(name="unique.insist", unique=Unique("greet:{to}", on_conflict="raise"))
async def insist(to: str) -> str:
    return to


@registry.job(name="unique.latest", unique=Unique("latest:{to}", on_conflict="replace"))
async def latest(to: str, text: str) -> str:
    return f"{text}, {to}"


@registry.job(name="unique.unstarted", unique=Unique("unstarted:{to}", until="started"))
async def unstarted(to: str) -> None: ...


@registry.job(name="unique.hourly", unique=Unique("hourly:{to}", until=timedelta(hours=1)))
async def hourly(to: str) -> None: ...


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(1_700_000_000_000)


@pytest.fixture
def worker(client: Client) -> HandWorker:
    return HandWorker(client)


@pytest.fixture
async def client(clock: MovableClock) -> AsyncIterator[Client]:
    async with Client(MemoryStorage(clock=clock), registry=registry) as client:
        yield client


class TestDeclaring:
    def test_the_defaults(self) -> None:
        unique = Unique("a")
        assert (unique.until, unique.on_conflict) == ("finished", "return")
        assert (unique.kind, unique.period_ms) == (Until.FINISHED, 0)

    @pytest.mark.parametrize(
        ("until", "kind", "ms"),
        [
            ("started", Until.STARTED, 0),
            (timedelta(minutes=1), Until.PERIOD, 60_000),
            (1.5, Until.PERIOD, 1_500),
            (0.0001, Until.PERIOD, 1),
        ],
    )
    def test_until_when(self, until: Any, kind: Until, ms: int) -> None:
        unique = Unique("a", until=until)
        assert (unique.kind, unique.period_ms) == (kind, ms)

    @pytest.mark.parametrize("key", ["", None, 5, b"a", ["a"]])
    def test_what_makes_no_key(self, key: Any) -> None:
        with pytest.raises(OptionError, match=r"a unique key is .*: give a template over the arguments"):
            Unique(key)

    @pytest.mark.parametrize("until", ["ended", "", None, True, 0, timedelta(0), -1, math.nan, [1], "5"])
    def test_what_is_no_time(self, until: Any) -> None:
        with pytest.raises(OptionError, match=r"until is|no time at all"):
            Unique("a", until=until)

    @pytest.mark.parametrize("on_conflict", ["ignore", "", None, True, ["raise"]])
    def test_what_cannot_be_done_about_a_conflict(self, on_conflict: Any) -> None:
        with pytest.raises(OptionError, match=r"on_conflict is .*: give 'return', 'replace' or 'raise'"):
            Unique("a", on_conflict=on_conflict)

    def test_a_key_alone_stands_for_the_defaults(self) -> None:
        assert Registry().job(unique="a")(greet.fn).settings.unique == Unique("a")
        assert greet.options(unique="b").settings.unique == Unique("b")

    @pytest.mark.parametrize("unique", ["", 5, True, []])
    def test_what_is_none_is_refused_where_it_is_declared(self, unique: Any) -> None:
        with pytest.raises(OptionError, match="a unique key is"):
            Registry().job(unique=unique)
        with pytest.raises(OptionError, match="a unique key is"):
            greet.options(unique=unique)
        with pytest.raises(DefinitionError, match=r"names {nobody}"):
            greet.options(unique="{nobody}")

    def test_the_error_of_a_conflict(self) -> None:
        error = UniqueConflict("mail.send", "greet:ada", "0" * 20)
        assert str(error) == f"mail.send wasn't created: job {'0' * 20} holds its unique key 'greet:ada'"
        again = pickle.loads(pickle.dumps(error))
        assert (again.name, again.key, again.job_id) == ("mail.send", "greet:ada", "0" * 20)


class TestReturning:
    async def test_the_job_that_is_there_is_returned(self, client: Client) -> None:
        first = await client.enqueue(greet, "ada")
        second = await client.enqueue(greet, "ada", "Hello")
        assert second.id == first.id
        assert second.arguments() == (["ada"], {}), "it is the other one, with its arguments"
        assert (second.unique, second.state) == ("greet:ada", State.ENQUEUED)
        assert second.created_at is not None
        assert await client.count("enqueued") == 1
        assert (await client.enqueue(greet, "bob")).id != first.id

    async def test_however_it_is_enqueued(self, client: Client) -> None:
        first = await client.enqueue_in(60, greet, "ada")
        assert first.state is State.SCHEDULED
        jobs: list[Job[str]] = [
            await client.enqueue(greet.call("ada")),
            await client.enqueue_in(5, greet, "ada"),
            *await client.enqueue_many([greet.call("ada"), greet.call("ada", "Hello")]),
            await client.continue_with(first, greet, "ada"),
            (await client.chain(greet.call("ada")))[0],
        ]
        assert {job.id for job in jobs} == {first.id}
        assert {job.state for job in jobs} == {State.SCHEDULED}
        assert {job.due_at for job in jobs} == {(await first.refresh()).due_at}

    async def test_of_many_of_a_key_the_first_is_there(self, client: Client) -> None:
        calls = [greet.call(f"user{number % 3}", str(number)) for number in range(600)]
        jobs = await client.enqueue_many(calls)
        assert len(jobs) == 600
        assert len({job.id for job in jobs}) == await client.count("enqueued") == 3
        assert all(jobs[at].id == jobs[at % 3].id for at in range(600))

    async def test_keys_are_those_of_all_definitions(self, client: Client) -> None:
        first = await client.enqueue(greet, "ada")
        with pytest.raises(WrongDefinition, match=f"job {first.id} is there instead, but is a unique.greet"):
            await client.enqueue(insist.options(unique="greet:{to}"), "ada")
        assert await client.count("enqueued") == 1

    async def test_a_job_of_an_older_name_is_of_the_same_definition(self) -> None:
        storage = MemoryStorage()
        before, after = Registry(), Registry()
        old = before.job(name="old", unique="{to}")(greet.fn)
        new = after.job(name="new", aliases=["old"], unique="{to}")(greet.fn)
        async with Client(storage, registry=before) as one, Client(storage, registry=after) as other:
            first = await one.enqueue(old, "ada")
            assert (await other.enqueue(new, "ada")).id == first.id

    async def test_other_options_of_a_call_do_not_matter(self, client: Client) -> None:
        first = await client.enqueue(greet, "ada")
        assert (await client.enqueue(greet.options(queue="bulk", priority=5), "ada")).id == first.id
        assert (await client.enqueue(greet.options(unique=None), "ada")).id != first.id


class TestUntil:
    async def test_finished(self, client: Client, worker: HandWorker) -> None:
        first = await client.enqueue(greet, "ada")
        assert await first.cancel()
        second = await client.enqueue(greet, "ada")
        assert second.id != first.id
        await worker.run()
        assert (await second.refresh()).state is State.SUCCEEDED
        third = await client.enqueue(greet, "ada")
        assert third.id not in (first.id, second.id)
        await third.delete()
        assert (await client.enqueue(greet, "ada")).id != third.id

    async def test_a_period_counts_from_its_creation_whatever_becomes_of_it(
        self, client: Client, worker: HandWorker, clock: MovableClock
    ) -> None:
        first = await client.enqueue(hourly, "ada")
        await worker.run()
        assert (await first.refresh()).state is State.SUCCEEDED
        clock.advance(3599 * SECOND)
        again = await client.enqueue(hourly, "ada")
        assert (again.id, again.state) == (first.id, State.SUCCEEDED)
        clock.advance(2 * SECOND)
        assert (await client.enqueue(hourly, "ada")).id != first.id

    async def test_a_period_outlives_its_job(self, client: Client) -> None:
        first = await client.enqueue(hourly, "ada")
        await first.delete()
        again = await client.enqueue(hourly, "ada")
        assert again.id == first.id
        with pytest.raises(JobNotFound):
            await again.refresh()

    async def test_a_job_that_waits_for_its_retry_holds_its_key(
        self, client: Client, clock: MovableClock
    ) -> None:
        first = await client.enqueue(greet, "ada")
        await HandWorker(client).run(outcome=Outcome.RETRY, delay_ms=1_000)
        assert (await first.refresh()).state is State.RETRYING
        assert (await client.enqueue(greet, "ada")).id == first.id


class TestRaising:
    async def test_it_says_which_job_and_which_key(self, client: Client) -> None:
        first = await client.enqueue(insist, "ada")
        with pytest.raises(UniqueConflict, match=r"unique.insist wasn't created") as told:
            await client.enqueue(insist, "ada")
        assert (told.value.job_id, told.value.key, told.value.name) == (
            first.id,
            "greet:ada",
            "unique.insist",
        )
        assert await client.count("enqueued") == 1

    async def test_whatever_job_it_is(self, client: Client) -> None:
        first = await client.enqueue(greet, "ada")
        for attempt in (
            client.enqueue(insist, "ada"),
            client.enqueue_in(5, insist, "ada"),
            client.continue_with(first, insist, "ada"),
            client.chain(insist.call("ada")),
        ):
            with pytest.raises(UniqueConflict) as told:
                await attempt
            assert told.value.job_id == first.id

    async def test_the_others_of_its_chunk_are_there(self, client: Client) -> None:
        with pytest.raises(UniqueConflict):
            await client.enqueue_many(insist.call(to) for to in ("ada", "ada", "bob"))
        assert await client.count("enqueued") == 2


class TestReplacing:
    async def test_one_that_waits_makes_room_for_the_last_one(self, client: Client) -> None:
        first = await client.enqueue_in(60, latest, "ada", "Hi")
        second = await client.enqueue_in(60, latest, "ada", "Hello")
        third = await client.enqueue(latest, "ada", "Welcome")
        assert len({first.id, second.id, third.id}) == 3
        states = [(await job.refresh()).state for job in (first, second, third)]
        assert states == ["cancelled", "cancelled", "enqueued"]
        (entry,) = await first.history()
        assert (entry.event, entry.error_type) == ("cancelled", "Replaced")
        assert entry.error_message == f"job {second.id} of the same unique key took its place"
        assert third.arguments() == (["ada", "Welcome"], {})

    async def test_of_many_of_a_key_the_last_is_there(self, client: Client) -> None:
        jobs = await client.enqueue_many(latest.call("ada", str(number)) for number in range(10))
        assert len({job.id for job in jobs}) == 10
        (left,) = await client.jobs("enqueued")
        assert left.id == jobs[-1].id
        assert await client.count("cancelled") == 9

    async def test_it_may_be_another_definitions_job(self, client: Client) -> None:
        first = await client.enqueue(greet, "ada")
        await client.enqueue(latest.options(unique=Unique("greet:{to}", on_conflict="replace")), "ada", "x")
        assert (await first.refresh()).state is State.CANCELLED

    async def test_one_that_it_is_to_run_after_is_not_replaced(self, client: Client) -> None:
        first = await client.enqueue(latest, "ada", "Hi")
        with pytest.raises(UniqueConflict, match=r"can't be replaced by what is to run after it") as told:
            await client.continue_with(first, latest, "ada", "Hello")
        assert (told.value.job_id, told.value.key) == (first.id, first.unique)
        assert str(pickle.loads(pickle.dumps(told.value))) == str(told.value)
        assert (await first.refresh()).state is State.ENQUEUED

    async def test_one_of_the_same_batch_neither(self, client: Client) -> None:
        batch = client.batch()
        batch.continue_with(batch.enqueue(latest, "ada", "Hi"), latest, "ada", "Hello")
        with pytest.raises(UniqueConflict, match=r"can't be replaced"):
            await batch.commit()
        assert [await client.count(state) for state in ("enqueued", "awaiting", "cancelled")] == [0, 0, 0]

    async def test_nor_can_two_of_a_chain_have_one_key(self, client: Client) -> None:
        with pytest.raises(OptionError, match="two jobs of this chain have the unique key 'latest:ada'"):
            await client.chain(*[latest.call(to, "Hi") for to in ("ada", "bob", "ada")])
        assert await client.count("enqueued") == 0
        assert len(await client.chain(latest.call("ada", "Hi"), latest.call("bob", "Hi"))) == 2


class TestAgain:
    async def test_a_requeue_is_refused_while_another_holds_the_key(self, client: Client) -> None:
        first = await client.enqueue(greet, "ada")
        await first.cancel()
        second = await client.enqueue(greet, "ada")
        with pytest.raises(JobStateError, match=f"job {first.id} can't be requeued: another job holds its"):
            await first.requeue()
        await second.cancel()
        await first.requeue()
        assert (await client.enqueue(greet, "ada")).id == first.id

    async def test_one_that_was_replaced_is_refused_as_well(self, client: Client) -> None:
        first = await client.enqueue(latest, "ada", "Hi")
        await client.enqueue(latest, "ada", "Hello")
        with pytest.raises(JobStateError, match="another job holds its unique key"):
            await first.requeue()

    async def test_after_a_period_it_is_not_claimed_again(self, client: Client, clock: MovableClock) -> None:
        first = await client.enqueue(hourly, "ada")
        await first.cancel()
        clock.advance(3601 * SECOND)
        await first.requeue()
        assert (await client.enqueue(hourly, "ada")).id != first.id

    async def test_until_started_it_is_claimed_again_and_let_go_of_again(
        self, client: Client, worker: HandWorker
    ) -> None:
        first = await client.enqueue(unstarted, "ada")
        await worker.run()
        await first.requeue()
        assert (await client.enqueue(unstarted, "ada")).id == first.id
        await worker.run()
        assert (await client.enqueue(unstarted, "ada")).id != first.id
