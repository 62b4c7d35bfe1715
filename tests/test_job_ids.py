"""Ids of the caller's choosing: a job that has one already is returned, and not created again; in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncjobs import Client, Registry, State
from asyncjobs.errors import DefinitionError, JobNotFound, OptionError, WrongDefinition
from asyncjobs.storage.base import STUB_MS
from asyncjobs.storage.conformance import MovableClock
from asyncjobs.storage.memory import MemoryStorage
from tests.by_hand import HandWorker

registry = Registry()


@registry.job(name="ids.send")
async def send(to: str = "ada") -> str:
    return to


@registry.job(name="ids.other")
async def other(to: str = "ada") -> str:
    return to


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
def shards(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
async def client(clock: MovableClock, shards: int) -> AsyncIterator[Client]:
    async with Client(MemoryStorage(shards, clock), registry=registry) as client:
        yield client


@pytest.mark.parametrize("job_id", ["a", "invoice-2026.17", "ada@example.com", "a+b=c_d", "0" * 100])
async def test_the_job_has_it(client: Client, job_id: str) -> None:
    job = await client.enqueue(send.options(job_id=job_id), "bob")
    assert (job.id, job.state) == (job_id, State.ENQUEUED)
    found = await client.get(job_id, send)
    assert found is not None
    assert found.arguments() == (["bob"], {})


@pytest.mark.parametrize(
    "job_id", ["", "a b", "a/b", "a:b", "{a}", "~a", "größe", "a\n", "x" * 101, 5, b"a", True]
)
def test_what_cannot_be_one(job_id: Any) -> None:
    with pytest.raises(
        OptionError, match=r"a job's id can't be .*: give 1 to 100 letters, digits and _ \. - "
    ):
        send.options(job_id=job_id)


def test_it_is_given_to_one_call() -> None:
    for declare in (
        lambda: Registry().job(job_id="a")(send.fn),  # type: ignore[call-overload]  # pyright: ignore
        lambda: Registry().external("a", job_id="a")(send.fn),  # type: ignore[call-arg]  # pyright: ignore
        lambda: Registry(job_id="a"),  # type: ignore[call-arg]  # pyright: ignore
    ):
        with pytest.raises(
            DefinitionError, match=r"job_id is an option of one call: fn\.options\(job_id=…\)"
        ):
            declare()


class TestTheSameTwice:
    async def test_while_it_waits(self, client: Client) -> None:
        first = await client.enqueue_in(60, send.options(job_id="a"), "ada")
        second = await client.enqueue(send.options(job_id="a"), "bob")
        assert second.id == first.id == "a"
        assert (second.state, second.arguments()) == (State.SCHEDULED, (["ada"], {}))
        assert second.due_at is not None
        assert (await client.stats()).counts[State.ENQUEUED] == 0

    async def test_when_it_has_ended(self, client: Client) -> None:
        first = await client.enqueue(send.options(job_id="a"))
        await first.cancel()
        again = await client.enqueue(send.options(job_id="a"))
        assert again.state is State.CANCELLED
        await first.requeue()
        assert (await client.enqueue(send.options(job_id="a"))).state is State.ENQUEUED

    @pytest.mark.parametrize("shards", [1], indirect=True)
    async def test_when_it_has_succeeded(self, client: Client) -> None:
        await client.enqueue(send.options(job_id="a"))
        assert await HandWorker(client).run() == ["a"]
        assert (await client.enqueue(send.options(job_id="a"))).state is State.SUCCEEDED
        assert await client.count("enqueued") == 0

    async def test_for_a_minute_after_it_was_removed(self, client: Client, clock: MovableClock) -> None:
        first = await client.enqueue_in(60, send.options(job_id="a"))
        await first.delete()
        again = await client.enqueue(send.options(job_id="a"))
        with pytest.raises(JobNotFound):
            await again.refresh()
        clock.advance(STUB_MS + 1)
        await client.enqueue(send.options(job_id="a"))
        assert await client.count("enqueued") == 1

    async def test_another_definitions(self, client: Client) -> None:
        await client.enqueue(send.options(job_id="a"))
        with pytest.raises(
            WrongDefinition, match=r"job a is there instead, but is a ids\.send, not a ids\.other"
        ):
            await client.enqueue(other.options(job_id="a"))
        with pytest.raises(WrongDefinition):
            await client.enqueue_many([other.call(), other.options(job_id="a").call()])

    async def test_in_a_chunk(self, client: Client) -> None:
        calls = [send.options(job_id=f"job{number % 5}").call(str(number)) for number in range(20)]
        jobs = await client.enqueue_many(calls)
        assert [job.id for job in jobs] == [f"job{number % 5}" for number in range(20)]
        assert {job.arguments()[0][0] for job in jobs} == {"0", "1", "2", "3", "4"}
        assert await client.count("enqueued") == 5
        with pytest.raises(WrongDefinition, match=r"job b is there instead, but is a ids\.send"):
            await client.enqueue_many([send.options(job_id="b").call(), other.options(job_id="b").call()])


class TestInWorkflows:
    async def test_a_continuation(self, client: Client) -> None:
        parent = await client.enqueue(send)
        for _ in range(2):
            job = await client.continue_with(parent, send.options(job_id="after").call(parent.output))
            assert (job.id, job.state) == ("after", State.AWAITING)
        assert (await client.continue_with(job, other)).parents[0].id == "after"
        assert await client.count("awaiting") == 2

    async def test_a_chain(self, client: Client) -> None:
        first, second = await client.chain(send.options(job_id="first").call(), send.call())
        assert first.id == "first"
        assert second.parents[0].id == "first"

    async def test_a_recurring_job_makes_many(self, client: Client) -> None:
        with pytest.raises(OptionError, match="makes many jobs, which can't all have one job_id"):
            await client.recurring.put("nightly", "@daily", send.options(job_id="a").call())

    @pytest.mark.parametrize("shards", [1], indirect=True)
    async def test_a_batch(self, client: Client) -> None:
        there = await client.enqueue(send.options(job_id="there"))
        async with client.batch() as batch:
            new = batch.enqueue(send.options(job_id="new"))
            old = batch.enqueue(send.options(job_id="there"))
            after = batch.continue_with(new, send)
            twice = batch.enqueue(send.options(job_id="new"), "bob")
        assert twice.arguments() == new.arguments()
        assert (new.id, old.id, after.parents[0].id) == ("new", "there", "new")
        assert [job.id for job in await client.batch_of(batch.id).jobs()] == ["new", after.id]
        assert (await there.refresh()).batch is None
        stored = await client.batch_of(batch.id).enqueue(send.options(job_id="later"))
        assert (await stored.refresh()).batch == batch.id
        assert (await client.batch_of(batch.id).enqueue(send.options(job_id="there"))).id == "there"
        assert (await client.batch_of(batch.id).refresh()).total == 3

    @pytest.mark.parametrize("shards", [3], indirect=True)
    async def test_on_several_shards_it_cannot_be_in_a_batch(self, client: Client) -> None:
        async with client.batch() as batch:
            for _ in range(62):
                with pytest.raises(OptionError, match="3 shards, where id 'a' and its batch needn't be on"):
                    batch.enqueue(send.options(job_id="a"))
