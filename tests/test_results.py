"""Waiting for what a job returned."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

from asyncjobs import Client, Registry, Retry, State, Worker
from asyncjobs.errors import (
    JobCancelled,
    JobFailed,
    JobNotFound,
    ResultNotKept,
    ResultTimeout,
    SerializationError,
)
from tests.proxy import ThreadedProxy
from tests.reaching import reaches
from tests.servers import Server
from tests.waiting import eventually


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    colour: Colour


registry = Registry(retry=Retry(max_retries=0))


@registry.job(name="results.double")
async def double(number: int) -> int:
    return number * 2


@registry.job(name="results.nothing")
async def nothing() -> None: ...


@registry.job(name="results.fail")
async def fail(message: str) -> None:
    raise ValueError(message)


@registry.job(name="results.echo")
async def echo(value: Any, _types: Point | None = None) -> Any:
    return value


@registry.job(name="results.unpackable")
async def unpackable() -> object:
    return {"deep": [object()]}


@registry.job(name="results.too_large")
async def too_large() -> str:
    return "x" * 2_000_000


@registry.job(name="results.not_kept", keep_result=False)
async def not_kept() -> int:
    return 5


@registry.job(name="results.gone_at_once", retention=0)
async def gone_at_once(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry) as client:
        yield client


@pytest.fixture
async def worker(client: Client) -> AsyncIterator[Worker]:
    async with Worker(registry, client) as worker:
        yield worker


def blocked(server: Server, at_least: int = 1) -> bool:
    """Whether so many connections wait in a blocking command."""
    return server.command("INFO", "clients")["blocked_clients"] >= at_least


@pytest.mark.usefixtures("worker")
class TestValues:
    async def test_what_the_job_returned(self, client: Client) -> None:
        assert await (await client.enqueue(double, 21)).result(timeout=10) == 42
        assert await (await client.enqueue(nothing)).result(timeout=timedelta(seconds=10)) is None

    @pytest.mark.parametrize(
        "value",
        [
            None,
            b"bytes",
            ("a", ("tuple", 1)),
            {"a": {1, 2}, "b": frozenset({3})},
            datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC),
            timedelta(days=1, microseconds=1),
            Decimal("1.10"),
            UUID(int=7),
            [Colour.RED, Point(1, Colour.RED)],
            2**100,
        ],
    )
    async def test_arguments_and_results_come_back_as_what_they_were(
        self, client: Client, value: Any
    ) -> None:
        result = await (await client.enqueue(echo, value)).result(timeout=10)
        assert (type(result), result) == (type(value), value)

    async def test_asked_for_again_it_is_still_there(self, client: Client) -> None:
        job = await client.enqueue(double, 21)
        assert await job.result(timeout=10) == await job.result(timeout=0) == 42
        assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
        assert job.started_at is not None
        assert job.finished_at is not None
        assert job.finished_at >= job.started_at

    async def test_a_result_that_is_not_kept_says_so(self, client: Client) -> None:
        job = await client.enqueue(not_kept)
        with pytest.raises(ResultNotKept, match="keep_result=False"):
            await job.result(timeout=10)
        assert job.state is State.SUCCEEDED

    async def test_options_of_one_call_decide_as_well(self, client: Client) -> None:
        job = await client.enqueue(double.options(keep_result=False), 1)
        with pytest.raises(ResultNotKept):
            await job.result(timeout=10)

    async def test_a_result_that_cannot_be_packed_fails_the_job_and_is_not_tried_again(
        self, client: Client
    ) -> None:
        for definition, reason in ((unpackable, r"result\['deep'\]\[0\]"), (too_large, "limit is 1,048,576")):
            job = await client.enqueue(definition.options(retry=Retry(max_retries=5)))
            with pytest.raises(JobFailed, match=reason):
                await job.result(timeout=10)
            assert (job.state, job.attempt) == (State.FAILED, 1)


@pytest.mark.usefixtures("worker")
class TestOtherEnds:
    async def test_a_failed_job_tells_its_error(self, client: Client) -> None:
        job = await client.enqueue(fail, "no such address")
        with pytest.raises(JobFailed, match="ValueError: no such address") as caught:
            await job.result(timeout=10)
        error = caught.value
        assert (error.job_id, error.error_type, error.error_message) == (
            job.id,
            "ValueError",
            "no such address",
        )
        assert "raise ValueError(message)" in error.traceback
        assert "asyncjobs/worker" not in error.traceback

    async def test_a_cancelled_job(self, client: Client) -> None:
        job = await client.enqueue_in(60, double, 1)
        waiting = asyncio.create_task(job.result(timeout=10))
        await asyncio.sleep(0)
        await job.cancel()
        with pytest.raises(JobCancelled, match=job.id):
            await waiting

    async def test_a_deleted_job(self, client: Client, server: Server) -> None:
        job = await client.enqueue_in(60, double, 1)
        waiting = asyncio.create_task(job.result(timeout=20))
        await eventually(lambda: blocked(server, 2), because="the worker and the client wait for messages")
        await job.delete()
        with pytest.raises(JobNotFound):
            await asyncio.wait_for(waiting, 4)
        with pytest.raises(JobNotFound):
            await job.result(timeout=10)


class TestTimeouts:
    async def test_a_job_that_is_not_ready_in_time_goes_on(self, client: Client) -> None:
        job = await client.enqueue(double, 21)
        with pytest.raises(ResultTimeout, match=r"not ended within 0\.05 s; it goes on"):
            await job.result(timeout=0.05)
        with pytest.raises(TimeoutError):
            await job.result(timeout=0)
        async with Worker(registry, client):
            assert await job.result(timeout=10) == 42

    async def test_a_waiter_that_is_cancelled_leaves_the_others_alone(
        self, client: Client, server: Server
    ) -> None:
        job = await client.enqueue(double, 21)
        gone, stays = (asyncio.create_task(job.result(timeout=10)) for _ in range(2))
        await eventually(lambda: blocked(server), because="the client waits for a message")
        gone.cancel()
        async with Worker(registry, client):
            assert await stays == 42
        assert gone.cancelled()


class TestWaiters:
    async def test_many_wait_for_one_and_one_for_many(self, client: Client, redis_url: str) -> None:
        async with Client(redis_url, registry=registry) as other:
            jobs = await client.enqueue_many(double.call(n) for n in range(50))
            elsewhere = await other.get(jobs[0].id, double)
            assert elsewhere is not None
            waiting = [
                asyncio.create_task(job.result(timeout=20)) for job in [*jobs, *[jobs[0]] * 20, elsewhere]
            ]
            async with Worker(registry, client):
                results = await asyncio.gather(*waiting)
        assert results == [*(2 * n for n in range(50)), *[0] * 21]

    async def test_they_are_told_and_need_not_ask(self, client: Client) -> None:
        async with Worker(registry, client):
            job = await client.enqueue_in(0.3, double, 21)
            assert await job.result(timeout=10) == 42
            told = datetime.now(UTC)
        assert job.finished_at is not None
        assert told - job.finished_at < timedelta(seconds=1)

    async def test_a_job_that_is_removed_at_once_leaves_nothing_to_wait_for(self, client: Client) -> None:
        jobs = [await client.enqueue(gone_at_once, number) for number in (5, -1)]
        waiting = [asyncio.create_task(job.result(timeout=20)) for job in jobs]
        async with Worker(registry, client):
            ends = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 4)
        assert [type(end) for end in ends] == [JobNotFound, JobNotFound]
        for job in jobs:
            assert await client.get(job.id) is None
        assert await client.jobs("succeeded") == await client.jobs("failed") == []
        totals = (await client.stats()).totals
        assert (totals["succeeded"], totals["failed"]) == (1, 1)

    async def test_a_result_survives_the_connection_being_cut(
        self, client: Client, server: Server, proxy: ThreadedProxy
    ) -> None:
        async with Client(proxy.url, registry=registry) as far:
            job = await client.enqueue(double, 21)
            found = await far.get(job.id, double)
            assert found is not None
            waiting = asyncio.create_task(found.result(timeout=20))
            await eventually(lambda: blocked(server), because="the client waits for a message")
            assert proxy.cut()
            async with Worker(registry, client):
                began = time.monotonic()
                assert await waiting == 42
                assert time.monotonic() - began < 10


async def test_a_result_of_an_unknown_type_says_what_to_do(client: Client, redis_url: str) -> None:
    async with Worker(registry, client):
        job = await client.enqueue(echo, Point(1, Colour.RED))
        await reaches(job, State.SUCCEEDED)
    async with Client(redis_url, registry=Registry()) as stranger:
        found = await stranger.get(job.id)
        assert found is not None
        with pytest.raises(SerializationError, match=r"Colour.*register"):
            await found.result(timeout=10)
