"""What a running job knows of itself and can say."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio.to_thread
import pytest

from asyncjobs import Client, JobContext, Registry, Retry, State, Worker, current_context
from asyncjobs.errors import JobFailed, NotInJob
from tests.waiting import eventually


@pytest.fixture
def registry() -> Registry:
    return Registry(retry=Retry(max_retries=0))


@pytest.fixture
async def client(redis_url: str, registry: Registry) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry) as client:
        yield client


@pytest.fixture
async def worker(client: Client, registry: Registry) -> AsyncIterator[Worker]:
    async with Worker(registry, client) as worker:
        yield worker


async def test_what_it_knows(client: Client, registry: Registry) -> None:
    seen: list[JobContext] = []

    @registry.job(name="context.look", queue="mail", context=True)
    async def look(context: JobContext, path: str) -> str:
        seen.append(context)
        return path

    before = datetime.now(UTC)
    async with Worker(registry, client) as worker:
        job = await client.enqueue(look, "a.txt")
        assert await job.result(timeout=10) == "a.txt"
        (context,) = seen
        assert (context.id, context.name, context.queue) == (job.id, "context.look", "mail")
        assert (context.attempt, context.failures, context.cancelled) == (1, 0, False)
        assert abs(context.enqueued_at - before) < timedelta(seconds=30)
        assert context.client is client
        assert job.worker == worker.id


@pytest.mark.usefixtures("worker")
class TestCurrentContext:
    async def test_in_a_coroutine_and_in_what_it_calls(self, client: Client, registry: Registry) -> None:
        async def deep() -> str:
            await asyncio.sleep(0)
            return current_context().id

        @registry.job(context=True)
        async def look(context: JobContext) -> list[bool]:
            in_a_task = await asyncio.create_task(deep())
            in_a_thread = await asyncio.to_thread(lambda: current_context().id)
            in_anyios = await anyio.to_thread.run_sync(lambda: current_context().id)
            return [found == context.id for found in (await deep(), in_a_task, in_a_thread, in_anyios)]

        assert await (await client.enqueue(look)).result(timeout=10) == [True] * 4

    async def test_in_a_plain_function(self, client: Client, registry: Registry) -> None:
        @registry.job
        def look() -> str:
            return current_context().id

        job = await client.enqueue(look)
        assert await job.result(timeout=10) == job.id

    async def test_each_job_has_its_own(self, client: Client, registry: Registry) -> None:
        together = asyncio.Barrier(20)

        @registry.job
        async def look() -> str:
            await together.wait()
            return current_context().id

        jobs = await client.enqueue_many(look.call() for _ in range(20))
        assert [await job.result(timeout=10) for job in jobs] == [job.id for job in jobs]

    async def test_outside_a_job_there_is_none(self) -> None:
        with pytest.raises(NotInJob, match="inside a running job"):
            current_context()


@pytest.mark.usefixtures("worker")
class TestProgressAndLogs:
    async def test_progress_is_seen_while_it_runs(self, client: Client, registry: Registry) -> None:
        go_on = asyncio.Event()

        @registry.job(context=True)
        async def work(context: JobContext) -> None:
            context.progress(0.25, "a quarter")
            await asyncio.wait_for(go_on.wait(), 10)
            context.progress(1)

        job = await client.enqueue(work)

        async def a_quarter() -> bool:
            await job.refresh()
            return (job.progress, job.progress_message, job.state) == (0.25, "a quarter", State.PROCESSING)

        await eventually(a_quarter)
        go_on.set()
        await job.result(timeout=10)
        assert (job.progress, job.progress_message) == (1.0, "")

    async def test_lines_are_made_as_print_does_and_are_kept_in_order(
        self, client: Client, registry: Registry
    ) -> None:
        @registry.job(context=True)
        async def work(context: JobContext) -> None:
            for number in range(200):
                context.log("line", number, None)

        job = await client.enqueue(work)
        await job.result(timeout=10)
        lines = await job.logs()
        assert [line.text for line in lines] == [f"line {number} None" for number in range(200)]
        assert {line.attempt for line in lines} == {1}
        assert all(abs(line.at_ms / 1000 - datetime.now(UTC).timestamp()) < 60 for line in lines)

    async def test_they_are_there_when_the_job_has_ended(self, client: Client, registry: Registry) -> None:
        @registry.job(context=True)
        async def fail(context: JobContext) -> None:
            context.log("last words")
            raise ValueError

        for _ in range(10):
            job = await client.enqueue(fail)
            with pytest.raises(JobFailed):
                await job.result(timeout=10)
            assert [line.text for line in await job.logs()] == ["last words"]

    async def test_from_threads(self, client: Client, registry: Registry) -> None:
        @registry.job(context=True)
        def work(context: JobContext) -> None:
            context.progress(0.5, "from a thread")
            helpers = [threading.Thread(target=context.log, args=("helper", n)) for n in range(5)]
            for helper in helpers:
                helper.start()
            for helper in helpers:
                helper.join()

        job = await client.enqueue(work)
        await job.result(timeout=10)
        assert sorted(line.text for line in await job.logs()) == [f"helper {n}" for n in range(5)]
        assert job.progress == 0.5

    async def test_a_line_may_hold_anything_and_is_cut_at_its_limit(
        self, client: Client, registry: Registry
    ) -> None:
        @registry.job(context=True)
        async def work(context: JobContext) -> None:
            context.log("ünïcode \udcff\n\x00")
            context.log("x" * 10_000)

        job = await client.enqueue(work)
        await job.result(timeout=10)
        first, second = [line.text for line in await job.logs()]
        assert first.startswith("ünïcode")
        assert second == "x" * 4_000

    async def test_the_last_thousand_lines_are_kept(self, client: Client, registry: Registry) -> None:
        @registry.job(context=True)
        async def work(context: JobContext) -> None:
            for number in range(1_500):
                context.log(number)

        job = await client.enqueue(work)
        await job.result(timeout=10)
        assert [line.text for line in await job.logs()] == [str(number) for number in range(500, 1_500)]

    @pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
    async def test_progress_is_from_0_to_1(self, client: Client, registry: Registry, fraction: float) -> None:
        @registry.job(context=True)
        async def work(context: JobContext) -> None:
            context.progress(fraction)

        with pytest.raises(JobFailed, match="from 0 to 1"):
            await (await client.enqueue(work)).result(timeout=10)


@pytest.mark.usefixtures("worker")
async def test_a_job_enqueues_others_with_its_client(client: Client, registry: Registry) -> None:
    @registry.job
    async def child(number: int) -> int:
        return number + 1

    @registry.job(context=True)
    async def parent(context: JobContext) -> int:
        jobs = await context.client.enqueue_many(child.call(number) for number in range(3))
        return sum([await job.result(timeout=10) for job in jobs])

    assert await (await client.enqueue(parent)).result(timeout=10) == 6
