"""Every verb of the client, used from inside jobs: awaited in coroutines, blocking in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncjobs import PREVIOUS, Client, JobContext, Registry, Retry, State, SyncClient, SyncJob
from tests.reaching import reaches
from tests.worker.conftest import StartWorker

HOUR = timedelta(hours=1)

Coroutine = Callable[[Client], Awaitable[Any]]
Thread = Callable[[SyncClient], Any]


@pytest.fixture
def registry() -> Registry:
    registry = Registry(retry=Retry(max_retries=0))

    @registry.job(name="double")
    async def double(number: int) -> int:
        return number * 2

    @registry.job(name="total")
    async def total(numbers: list[int]) -> int:
        return sum(numbers)

    return registry


class Inside:
    """Runs what a test gives it inside a job of a worker, and hands over what that returns."""

    def __init__(self, client: Client, registry: Registry) -> None:
        self._client = client
        self._code: Any = None

        @registry.job(name="inside.coroutine", context=True)
        async def coroutine(context: JobContext) -> Any:
            return await self._code(context.client)

        @registry.job(name="inside.thread", context=True)
        def thread(context: JobContext) -> Any:
            return self._code(context.sync_client)

        self._jobs = (coroutine, thread)

    async def coroutine(self, code: Coroutine) -> Any:
        return await self._run(code, 0)

    async def thread(self, code: Thread) -> Any:
        return await self._run(code, 1)

    async def _run(self, code: Any, kind: int) -> Any:
        self._code = code
        return await (await self._client.enqueue(self._jobs[kind])).result(timeout=20)


@pytest.fixture
async def inside(client: Client, registry: Registry, start_worker: StartWorker) -> Inside:
    inside = Inside(client, registry)
    await start_worker()
    return inside


@pytest.fixture
def double(registry: Registry) -> Any:
    return registry.get("double")


@pytest.fixture
def total(registry: Registry) -> Any:
    return registry.get("total")


class TestEnqueueing:
    async def test_in_a_coroutine(self, inside: Inside, double: Any) -> None:
        async def code(client: Client) -> list[Any]:
            job = await client.enqueue(double, 1)
            later = await client.enqueue_in(HOUR, double, 2)
            then = await client.enqueue_at(datetime.now(UTC) + HOUR, double, 3)
            many = await client.enqueue_many(double.call(number) for number in range(3))
            results = [await each.result(timeout=10) for each in (job, *many)]
            states = [str((await each.refresh()).state) for each in (later, then)]
            await later.run_now()
            return [*results, *states, await later.result(timeout=10)]

        assert await inside.coroutine(code) == [2, 0, 2, 4, "scheduled", "scheduled", 4]

    async def test_in_a_thread(self, inside: Inside, double: Any) -> None:
        def code(client: SyncClient) -> list[Any]:
            job = client.enqueue(double, 1)
            later = client.enqueue_in(HOUR, double, 2)
            then = client.enqueue_at(datetime.now(UTC) + HOUR, double, 3)
            many = client.enqueue_many(double.call(number) for number in range(3))
            results = [each.result(timeout=10) for each in (job, *many)]
            states = [str(each.refresh().job.state) for each in (later, then)]
            client.run_now(later.id)
            return [*results, *states, later.result(timeout=10)]

        assert await inside.thread(code) == [2, 0, 2, 4, "scheduled", "scheduled", 4]


class TestContinuations:
    async def test_in_a_coroutine(self, inside: Inside, double: Any, total: Any) -> None:
        async def code(client: Client) -> list[Any]:
            first = await client.enqueue(double, 1)
            second = await client.continue_with(first, double, first.output)
            both = await client.continue_with([first, second], total, [first.output, second.output])
            chain = await client.chain(double.call(1), double.call(PREVIOUS), double.call(PREVIOUS))
            return [await job.result(timeout=10) for job in (both, chain[-1])]

        assert await inside.coroutine(code) == [6, 8]

    async def test_in_a_thread(self, inside: Inside, double: Any, total: Any) -> None:
        def code(client: SyncClient) -> list[Any]:
            first = client.enqueue(double, 1)
            second = client.continue_with(first, double, first.output)
            both = client.continue_with([first, second], total, [first.output, second.output])
            chain = client.chain(double.call(1), double.call(PREVIOUS), double.call(PREVIOUS))
            return [job.result(timeout=10) for job in (both, chain[-1])]

        assert await inside.thread(code) == [6, 8]

    async def test_a_job_can_be_continued_while_it_runs_itself(
        self, client: Client, registry: Registry, start_worker: StartWorker, total: Any
    ) -> None:
        @registry.job(context=True)
        async def lead(context: JobContext) -> int:
            me = await context.client.get(context.id, lead)
            assert me is not None
            following = await context.client.continue_with(me, total, [me.output, 1])
            context.log(following.id)
            return 5

        await start_worker()
        job = await client.enqueue(lead)
        await job.result(timeout=10)
        following = await client.get((await job.logs())[0].text, total)
        assert following is not None
        assert await following.result(timeout=10) == 6


class TestBatches:
    async def test_in_a_coroutine(self, inside: Inside, double: Any, total: Any) -> None:
        async def code(client: Client) -> list[Any]:
            async with client.batch("outer") as batch:
                first = batch.enqueue(double, 1)
                with batch.batch("inner") as inner:
                    inner.enqueue_many(double.call(number) for number in range(3))
                last = batch.continue_with(first, double, first.output)
            after = await client.continue_with(batch, total, [10])
            stored = await client.get_batch(batch.id)
            assert stored is not None
            await stored.wait(timeout=10)
            added = await stored.enqueue(double, 5)
            several = await stored.enqueue_many([double.call(6)])
            async with stored.batch("later") as later:
                later.enqueue(double, 7)
            await stored.wait(timeout=10)
            results = [await job.result(timeout=10) for job in (last, after, added, *several)]
            nested = sorted(each.name for each in await stored.nested())
            return [*results, stored.total, str(stored.state), nested, len(await client.batches())]

        assert await inside.coroutine(code) == [4, 10, 10, 12, 4, "succeeded", ["inner", "later"], 3]

    async def test_in_a_thread(self, inside: Inside, double: Any, total: Any) -> None:
        def code(client: SyncClient) -> list[Any]:
            with client.batch("outer") as batch:
                first = batch.enqueue(double, 1)
                with batch.batch("inner") as inner:
                    inner.enqueue_many(double.call(number) for number in range(3))
                last = SyncJob(client, batch.continue_with(first, double, first.output))
            after = client.continue_with(batch, total, [10])
            stored = client.get_batch(batch.id)
            assert stored is not None
            stored.wait(timeout=10)
            added = stored.enqueue(double, 5)
            several = stored.enqueue_many([double.call(6)])
            with stored.nest("later") as later:
                later.enqueue(double, 7)
            stored.wait(timeout=10)
            results = [job.result(timeout=10) for job in (last, after, added, *several)]
            nested = sorted(each.name for each in stored.nested())
            return [*results, stored.total, str(stored.state), nested, len(client.batches())]

        assert await inside.thread(code) == [4, 10, 10, 12, 4, "succeeded", ["inner", "later"], 3]

    async def test_a_batch_is_cancelled(self, inside: Inside, double: Any) -> None:
        async def coroutine(client: Client) -> str:
            async with client.batch() as batch:
                batch.enqueue_in(HOUR, double, 1)
            stored = client.batch_of(batch.id)
            await stored.cancel()
            return str((await stored.wait(timeout=10)).state)

        def thread(client: SyncClient) -> str:
            with client.batch() as batch:
                batch.enqueue_in(HOUR, double, 1)
            stored = client.batch_of(batch.id)
            stored.cancel()
            return str(stored.wait(timeout=10).state)

        assert await inside.coroutine(coroutine) == await inside.thread(thread) == "cancelled"


class TestControl:
    async def test_in_a_coroutine(self, inside: Inside, double: Any) -> None:
        async def code(client: Client) -> list[Any]:
            job = await client.enqueue_in(HOUR, double, 1)
            found = await client.get(job.id, double)
            listed = [each.id for each in await client.jobs("scheduled")]
            told: list[Any] = [found is not None, listed == [job.id]]
            told.append(await client.cancel(job.id))
            await client.requeue(job.id)
            told.append(await job.result(timeout=10))
            await client.delete(job.id)
            told += [await client.get(job.id), await client.count("processing")]
            await client.pause("bulk")
            await client.enqueue(double.options(queue="bulk"), 1)
            told += [(queue.name, queue.paused) for queue in await client.queues() if queue.name == "bulk"]
            told.append(await client.purge("bulk"))
            await client.resume("bulk")
            told += [len(await client.workers()), (await client.stats()).counts["processing"]]
            return told

        expected = [True, True, True, 2, None, 1, ("bulk", True), 1, 1, 1]
        assert await inside.coroutine(code) == expected

    async def test_in_a_thread(self, inside: Inside, double: Any) -> None:
        def code(client: SyncClient) -> list[Any]:
            job = client.enqueue_in(HOUR, double, 1)
            found = client.get(job.id, double)
            listed = [each.id for each in client.jobs("scheduled")]
            told: list[Any] = [found is not None, listed == [job.id]]
            told.append(client.cancel(job.id))
            client.requeue(job.id)
            told.append(job.result(timeout=10))
            client.delete(job.id)
            told += [client.get(job.id), client.count("processing")]
            client.pause("bulk")
            client.enqueue(double.options(queue="bulk"), 1)
            told += [(queue.name, queue.paused) for queue in client.queues() if queue.name == "bulk"]
            told.append(client.purge("bulk"))
            client.resume("bulk")
            told += [len(client.workers()), client.stats().counts["processing"]]
            return told

        expected = [True, True, True, 2, None, 1, ("bulk", True), 1, 1, 1]
        assert await inside.thread(code) == expected

    async def test_a_job_can_cancel_itself(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(context=True)
        async def give_up(context: JobContext) -> None:
            await context.client.cancel(context.id)
            await asyncio.sleep(3600)

        await start_worker()
        await reaches(await client.enqueue(give_up), State.CANCELLED)


class TestRecurring:
    async def test_in_a_coroutine(self, inside: Inside, double: Any) -> None:
        async def code(client: Client) -> list[Any]:
            put = await client.recurring.put("often", HOUR, double.call(4))
            job = await client.recurring.trigger("often")
            told = [put.id, await job.result(timeout=10), await client.recurring.count()]
            await client.recurring.pause("often")
            await client.recurring.resume("often")
            await client.recurring.remove("often")
            return [*told, await client.recurring.get("often"), await client.recurring.list()]

        assert await inside.coroutine(code) == ["often", 8, 1, None, []]

    async def test_in_a_thread(self, inside: Inside, double: Any) -> None:
        def code(client: SyncClient) -> list[Any]:
            put = client.recurring.put("often", HOUR, double.call(4))
            job = client.recurring.trigger("often")
            told = [put.id, job.result(timeout=10), client.recurring.count()]
            client.recurring.pause("often")
            client.recurring.resume("often")
            client.recurring.remove("often")
            return [*told, client.recurring.get("often"), client.recurring.list()]

        assert await inside.thread(code) == ["often", 8, 1, None, []]
