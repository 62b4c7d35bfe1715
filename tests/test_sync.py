"""The client for code that isn't async."""

from __future__ import annotations

import threading

import pytest

from asyncjobs import Client, JobContext, Registry, State, SyncClient, Worker
from asyncjobs.errors import AsyncjobsError, CallError, StorageUnavailable

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
        job.delete()
        assert client.get(job.id) is None


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
