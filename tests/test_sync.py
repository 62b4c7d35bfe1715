"""The client for code that isn't async."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from asyncjobs import (
    PREVIOUS,
    BatchBuilder,
    Client,
    Job,
    JobContext,
    Registry,
    State,
    SyncClient,
    SyncJob,
    Worker,
)
from asyncjobs.errors import (
    AsyncjobsError,
    BatchClosed,
    CallError,
    OptionError,
    OutputError,
    StorageUnavailable,
)

registry = Registry()


@registry.job(name="sync.double")
async def double(number: int) -> int:
    return number * 2


@registry.job(name="sync.chain", context=True)
def enqueue_from_a_thread(context: JobContext, number: int) -> int:
    return context.sync_client.enqueue(double, number).result(timeout=10) + 1


def test_a_script_enqueues_looks_and_cancels(redis_url: str) -> None:
    with SyncClient(redis_url, registry=registry) as client:
        job = client.enqueue(double, 21)
        assert client.stats().counts[State.ENQUEUED] == 1
        found = client.get(job.id, double)
        assert found is not None
        assert found.job.arguments() == ([21], {})
        assert job.cancel()
        assert job.refresh().state is State.CANCELLED
        job.requeue()
        assert client.get(job.id, double).state is State.ENQUEUED  # type: ignore[union-attr]
        job.move("bulk")
        client.move(job.id, "mail")
        assert [queue.length for queue in client.queues()] == [0, 0, 1]
        assert job.refresh().job.queue == "mail"
        job.delete()
        assert client.get(job.id) is None


def test_a_job_has_the_verbs_of_the_async_one() -> None:
    verbs = {name for name, verb in inspect.getmembers(Job, inspect.iscoroutinefunction)}
    assert {"result", "move"} <= verbs
    assert {name for name in verbs if not hasattr(SyncJob, name)} == set()


def test_a_script_checks_a_namespace(redis_url: str) -> None:
    with SyncClient(redis_url, registry=registry) as client:
        client.enqueue(double, 21)
        assert client.check(pause=0) == []


def test_several_threads_share_one(redis_url: str) -> None:
    with SyncClient(redis_url, registry=registry) as client:
        threads = [
            threading.Thread(target=lambda: [client.enqueue(double, n) for n in range(20)]) for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.stats().counts[State.ENQUEUED] == 100


async def test_a_plain_function_enqueues_through_the_workers_client(redis_url: str) -> None:
    async with Client(redis_url, registry=registry) as client, Worker(registry, client):
        job = await client.enqueue(enqueue_from_a_thread, 4)
        assert await job.result(timeout=10) == 9


async def test_using_it_on_the_loop_that_does_its_work_is_refused(redis_url: str) -> None:
    @registry.job(name="sync.deadlock", context=True)
    async def on_the_loop(context: JobContext) -> str:
        try:
            context.sync_client.enqueue(double, 1)
        except AsyncjobsError as error:
            return str(error)
        return "it was let through"

    async with Client(redis_url, registry=registry) as client, Worker(registry, client):
        said = await (await client.enqueue(on_the_loop)).result(timeout=10)
    assert "use the Client there" in said


@registry.job(name="sync.add")
async def add(number: int, more: list[int]) -> int:
    return number + sum(more)


@registry.job(name="sync.split", context=True)
def split(context: JobContext, depth: int) -> int:
    batch = context.sync_batch
    assert batch is not None
    return sum(batch.enqueue(split, depth - 1).job.batch == batch.id for _ in range(2)) if depth else 0


@pytest.fixture
def shared(redis_url: str) -> Iterator[SyncClient]:
    """A client, and a worker on the same loop."""
    with SyncClient(redis_url, registry=registry) as client:
        stopping = asyncio.Event()

        async def work() -> None:
            async with Worker(registry, client.client):
                await stopping.wait()

        async def stop() -> None:
            stopping.set()
            await task

        async def start() -> asyncio.Task[None]:
            return asyncio.create_task(work())

        task = client.run(start())
        yield client
        client.run(stop())


class TestContinuations:
    def test_of_one_job_and_of_several(self, shared: SyncClient) -> None:
        first = shared.enqueue(double, 2)
        second = shared.continue_with(first, double, first.output)
        third = shared.continue_with([first, second], add.call(first.output, [second.output]), on="succeeded")
        assert third.result(timeout=10) == 12
        assert [parent.id for parent in third.job.parents] == [first.id, second.id]

    def test_of_a_chain(self, shared: SyncClient) -> None:
        chained = shared.chain(double.call(1), double.call(PREVIOUS), add.call(PREVIOUS, [1]))
        assert chained[-1].result(timeout=10) == 5

    def test_what_is_refused(self, shared: SyncClient) -> None:
        job = shared.enqueue(double, 2)
        with pytest.raises(OptionError, match="not waiting for it"):
            shared.enqueue(double, job.output)
        with pytest.raises(OutputError, match="stands for a result"):
            shared.continue_with(job, double, job.output + 1)


class TestBatches:
    def test_it_appears_when_its_block_ends(self, shared: SyncClient) -> None:
        with shared.batch("numbers") as batch:
            jobs = batch.enqueue_many(double.call(number) for number in range(10))
            with batch.batch("inner") as inner:
                total = inner.continue_with(jobs, add, 0, [job.output for job in jobs])
            assert shared.get(jobs[0].id) is None
            assert shared.get_batch(batch.id) is None
        after = shared.continue_with(batch, double, 1)
        assert after.result(timeout=10) == 2
        assert SyncJob(shared, total).result(timeout=0) == 90
        stored = shared.get_batch(batch.id)
        assert stored is not None
        assert (stored.state, stored.total, stored.name) == ("succeeded", 10, "numbers")
        ended = stored.pending, stored.succeeded, stored.failed, stored.cancelled, stored.progress
        assert ended == (0, 10, 0, 0, 1.0)
        assert [job.id for job in stored.jobs(limit=3)] == [job.id for job in jobs[:2]]
        assert [nested.id for nested in stored.nested()] == [inner.id]
        assert {found.id for found in shared.batches()} == {batch.id, inner.id}

    def test_nothing_of_it_is_there_if_its_block_raises(self, shared: SyncClient) -> None:
        def build() -> None:
            with shared.batch() as batch:
                batch.enqueue(double, 1)
                built.append(batch)
                raise ZeroDivisionError

        built: list[BatchBuilder] = []
        with pytest.raises(ZeroDivisionError):
            build()
        assert shared.batches() == []
        with pytest.raises(OptionError, match="is built already"):
            built[0].enqueue(double, 1)

    def test_a_stored_one(self, shared: SyncClient) -> None:
        with shared.batch() as batch:
            batch.enqueue(double, 1)
        stored = shared.batch_of(batch.id).wait(timeout=10)
        assert stored.state == "succeeded"
        assert stored.enqueue(double, 2).result(timeout=10) == 4
        assert len(stored.enqueue_many(double.call(number) for number in range(5))) == 5
        with stored.nest("late") as late:
            late.enqueue(double, 3)
        child = shared.continue_with(stored, double, 8)
        assert child.result(timeout=10) == 16
        assert (stored.refresh().total, stored.batch.record.nested) == (7, 1)
        shared.pause("default")
        stored.enqueue(double, 2)
        stored.cancel()
        assert stored.wait(timeout=10).state == "cancelled"
        with pytest.raises(BatchClosed):
            stored.enqueue(double, 2)
        assert "cancelled" in repr(stored)

    def test_adding_to_a_stored_one_what_runs_later(self, shared: SyncClient) -> None:
        with shared.batch() as batch:
            batch.enqueue(double, 1)
        stored = shared.batch_of(batch.id)
        soon = stored.enqueue_in(0.05, double, 2)
        past = stored.enqueue_at(datetime.now(UTC), double.call(3))
        after = stored.continue_with([soon, past], add, soon.output, [past.output])
        assert {job.job.batch for job in (soon, past, after)} == {batch.id}
        assert after.result(timeout=10) == 10
        with pytest.raises(OptionError, match="can't wait for that batch"):
            stored.continue_with(stored, double, 1)
        assert stored.wait(timeout=10).succeeded == 4

    def test_a_plain_function_adds_to_its_own(self, shared: SyncClient) -> None:
        with shared.batch() as batch:
            batch.enqueue(split, 3)
        assert shared.batch_of(batch.id).wait(timeout=20).succeeded == 15


def test_errors_come_out_where_the_call_is(redis_url: str) -> None:
    with SyncClient(redis_url, registry=registry) as client, pytest.raises(CallError):
        client.enqueue(double, "too", "many")  # type: ignore[call-arg]  # pyright: ignore
    with pytest.raises(AsyncjobsError, match="isn't open"):
        client.enqueue(double, 1)
    with pytest.raises(StorageUnavailable), SyncClient("redis://127.0.0.1:1/0", patience=0.1):
        pass


def test_recurring_jobs_are_put_seen_and_triggered(redis_url: str) -> None:
    with SyncClient(redis_url, registry=registry) as client:
        put = client.recurring.put("nightly", "0 3 * * *", double.call(4), timezone="Europe/Berlin")
        assert client.recurring.get("nightly") == put
        assert client.recurring.list() == [put]
        assert client.recurring.count() == 1
        job = client.recurring.trigger("nightly")
        assert job.job.arguments() == ([4], {})
        client.recurring.pause("nightly")
        client.recurring.resume("nightly")
        client.recurring.remove("nightly")
        assert client.recurring.get("nightly") is None
