"""Workers as a part of somebody else's program: several clients and workers, other loops, other storages."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from collections.abc import AsyncIterator

import anyio
import pytest

from asyncjobs import Client, JobContext, Registry, Retry, State, Worker
from asyncjobs.errors import JobFailed
from asyncjobs.ids import shard_of
from asyncjobs.storage.memory import MemoryStorage
from tests.reaching import reaches
from tests.waiting import eventually


@pytest.fixture
async def client(redis_url: str, registry: Registry) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry) as client:
        yield client


async def test_it_runs_beside_the_programs_own_tasks(client: Client, registry: Registry) -> None:
    ticks = 0
    shared = {"greeting": "hello"}

    async def own_work() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    @registry.job
    async def greet(name: str) -> str:
        await asyncio.sleep(0.02)
        return f"{shared['greeting']} {name}"

    async with asyncio.TaskGroup() as program:
        ticking = program.create_task(own_work())
        async with Worker(registry, client):
            assert await (await client.enqueue(greet, "ada")).result(timeout=10) == "hello ada"
            shared["greeting"] = "goodbye"
            assert await (await client.enqueue(greet, "ada")).result(timeout=10) == "goodbye ada"
        assert ticks > 5
        ticking.cancel()


async def test_its_client_is_opened_and_closed_for_it(redis_url: str, registry: Registry) -> None:
    @registry.job
    async def double(number: int) -> int:
        return number * 2

    worker = Worker(registry, Client(redis_url))
    async with worker, Client(redis_url, registry=registry) as client:
        assert await (await client.enqueue(double, 2)).result(timeout=10) == 4


async def test_several_workers_share_a_client_and_every_job_runs_once(
    client: Client, registry: Registry
) -> None:
    runs: Counter[str] = Counter()

    @registry.job(context=True)
    async def count(context: JobContext) -> None:
        runs[context.id] += 1
        await asyncio.sleep(random.uniform(0, 0.002))

    async with Worker(registry, client, concurrency=5) as one, Worker(registry, client, concurrency=5) as two:
        jobs = await client.enqueue_many(count.call() for _ in range(300))
        for job in jobs:
            await job.result(timeout=10)
        assert {info.id for info in await client.workers()} == {one.id, two.id}
        workers = {(await job.refresh()).worker for job in jobs}
    assert runs == Counter({job.id: 1 for job in jobs})
    assert workers == {one.id, two.id}


async def test_the_client_outlives_its_workers(client: Client, registry: Registry) -> None:
    @registry.job
    async def double(number: int) -> int:
        return number * 2

    for number in range(3):
        job = await client.enqueue(double, number)
        async with Worker(registry, client):
            assert await job.result(timeout=10) == number * 2
        assert await job.result(timeout=0) == number * 2


async def test_two_registries_on_one_server_serve_their_own_queues(client: Client) -> None:
    mail, images = Registry(queue="mail"), Registry(queue="images")

    @mail.job
    async def send() -> str:
        return "sent"

    @images.job
    async def resize() -> str:
        return "resized"

    async with Worker(mail, client, queues=["mail"]), Worker(images, client, queues=["images"]):
        assert await (await client.enqueue(send)).result(timeout=10) == "sent"
        assert await (await client.enqueue(resize)).result(timeout=10) == "resized"


async def test_cancelling_the_task_that_runs_it_puts_its_jobs_back(
    client: Client, registry: Registry
) -> None:
    @registry.job
    async def long() -> None:
        await asyncio.sleep(3600)

    running = asyncio.create_task(Worker(registry, client, grace=3600).run())
    job = await reaches(await client.enqueue(long), State.PROCESSING)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)
    assert ((await job.refresh()).state, job.attempt) == (State.ENQUEUED, 0)
    assert await client.workers() == []


async def test_so_does_an_error_in_the_program_around_it(client: Client, registry: Registry) -> None:
    @registry.job
    async def long() -> None:
        await asyncio.sleep(3600)

    async def program() -> None:
        async with Worker(registry, client, grace=0):
            await reaches(job, State.PROCESSING)
            raise LookupError("the program's own")

    job = await client.enqueue(long)
    with pytest.raises(LookupError, match="the program's own"):
        await program()
    assert (await job.refresh()).state is State.ENQUEUED
    assert await client.workers() == []


def test_each_loop_has_its_own_client_and_worker(redis_url: str) -> None:
    registry = Registry()
    seen: set[int] = set()

    @registry.job
    async def where() -> int:
        return threading.get_ident()

    async def program() -> None:
        client = Client(redis_url, registry=registry, namespace=f"n{threading.get_ident()}")
        async with client, Worker(registry, client):
            job = await client.enqueue(where)
            assert await job.result(timeout=10) == threading.get_ident()
            seen.add(threading.get_ident())

    threads = [threading.Thread(target=lambda: anyio.run(program)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == 3


def test_it_runs_on_uvloop(redis_url: str) -> None:
    uvloop = pytest.importorskip("uvloop")
    registry = Registry()

    @registry.job
    async def loop_type() -> str:
        return type(asyncio.get_running_loop()).__module__

    @registry.job
    def in_a_thread() -> bool:
        return threading.current_thread() is not threading.main_thread()

    async def program() -> None:
        async with Client(redis_url, registry=registry) as client, Worker(registry, client):
            assert await (await client.enqueue(loop_type)).result(timeout=10) == "uvloop"
            assert await (await client.enqueue_in(0.05, in_a_thread)).result(timeout=10)

    uvloop.run(program())


class TestShards:
    """Everything works alike with the namespace spread over several parts."""

    @pytest.fixture
    async def sharded(self, redis_url: str, registry: Registry) -> AsyncIterator[Client]:
        async with Client(redis_url, registry=registry, shards=3) as client:
            yield client

    async def test_jobs_on_every_shard_run(self, sharded: Client, registry: Registry) -> None:
        @registry.job(retry=Retry(max_retries=1, delay=0), context=True)
        async def double(context: JobContext, number: int) -> int:
            context.log("number", number)
            if number % 7 == 0 and context.attempt == 1:
                raise ValueError
            return number * 2

        async with Worker(registry, sharded, concurrency=10):
            many = await sharded.enqueue_many(double.call(n) for n in range(90))
            single = [await sharded.enqueue(double, n) for n in range(90, 100)]
            later = [await sharded.enqueue_in(0.05, double, n) for n in range(100, 110)]
            jobs = [*many, *single, *later]
            assert [await job.result(timeout=10) for job in jobs] == [2 * n for n in range(110)]
            assert [line.text for line in await jobs[7].logs()] == ["number 7"] * 2
        assert await sharded.count("succeeded") == 110
        assert (await sharded.stats()).totals["retried"] == 16
        assert {job.id for job in await sharded.jobs("succeeded", limit=200)} == {job.id for job in jobs}

    @pytest.mark.parametrize("concurrency", [1, 2, 5])
    async def test_however_few_the_slots_every_shard_has_its_turn(
        self, sharded: Client, registry: Registry, concurrency: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # No worker looks by itself while this runs: whoever frees a slot has to call the next.
        monkeypatch.setattr("asyncjobs.worker.pump.BACKSTOP", 30.0)
        order: list[int] = []

        @registry.job(context=True)
        async def note(context: JobContext) -> None:
            order.append(shard_of(context.id, 3))

        jobs = await sharded.enqueue_many(note.call() for _ in range(300))
        async with Worker(registry, sharded, concurrency=concurrency):
            for job in jobs:
                await job.result(timeout=10)
        assert Counter(order) == {0: 100, 1: 100, 2: 100}
        # One may be through before the others' connections stand; two must not shut the third out.
        assert set(order[:150]) == {0, 1, 2}

    async def test_verbs_find_a_job_wherever_it_is(self, sharded: Client, registry: Registry) -> None:
        @registry.job
        async def long() -> None:
            await asyncio.sleep(3600)

        jobs = [await sharded.enqueue(long) for _ in range(6)]
        async with Worker(registry, sharded, grace=0):
            for job in jobs:
                await reaches(job, State.PROCESSING)
            for job in jobs:
                assert await job.cancel()
            for job in jobs:
                await reaches(job, State.CANCELLED)
            (info,) = await sharded.workers()
            assert info.running == 0
        await sharded.pause("default")
        for job in jobs[:3]:
            await job.requeue()
        (queue,) = [queue for queue in await sharded.queues() if queue.name == "default"]
        assert (queue.length, queue.paused) == (3, True)
        for job in jobs:
            await job.delete()
        assert sum((await sharded.stats()).counts.values()) == 0

    async def test_a_shutdown_puts_jobs_of_all_shards_back(self, sharded: Client, registry: Registry) -> None:
        @registry.job
        async def long() -> None:
            await asyncio.sleep(3600)

        jobs = [await sharded.enqueue(long) for _ in range(9)]
        async with Worker(registry, sharded, grace=0):
            for job in jobs:
                await reaches(job, State.PROCESSING)
        for job in jobs:
            assert ((await job.refresh()).state, job.attempt) == (State.ENQUEUED, 0)
        assert await sharded.workers() == []


class TestMemory:
    """`Client(MemoryStorage())` needs no server, and does the same."""

    @pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
    async def in_memory(self, request: pytest.FixtureRequest, registry: Registry) -> AsyncIterator[Client]:
        async with Client(MemoryStorage(shards=request.param), registry=registry) as client:
            yield client

    async def test_jobs_run_fail_retry_and_answer(self, in_memory: Client, registry: Registry) -> None:
        @registry.job(retry=Retry(max_retries=1, delay=0), context=True)
        async def flaky(context: JobContext, number: int) -> int:
            context.progress(0.5)
            context.log("attempt", context.attempt)
            if context.attempt == 1:
                raise ValueError("at first")
            return number

        @registry.job(retry=Retry(max_retries=0))
        def broken() -> None:
            raise ValueError("for good")

        async with Worker(registry, in_memory):
            job = await in_memory.enqueue(flaky, 5)
            assert await job.result(timeout=10) == 5
            assert [entry.error_message for entry in await job.history()] == ["at first"]
            assert [line.text for line in await job.logs()] == ["attempt 1", "attempt 2"]
            assert job.progress == 0.5
            with pytest.raises(JobFailed, match="for good"):
                await (await in_memory.enqueue(broken)).result(timeout=10)
        stats = await in_memory.stats()
        assert (stats.totals["succeeded"], stats.totals["failed"], stats.totals["retried"]) == (1, 1, 1)

    async def test_timers_queues_and_cancellation(self, in_memory: Client, registry: Registry) -> None:
        ran: list[str] = []

        @registry.job
        async def note(label: str) -> None:
            ran.append(label)

        @registry.job
        async def long() -> None:
            await asyncio.sleep(3600)

        async with Worker(registry, in_memory, queues=["first", "default"], grace=0):
            later = await in_memory.enqueue_in(0.1, note.options(queue="first"), "later")
            now = await in_memory.enqueue(note, "now")
            await later.result(timeout=10)
            await now.result(timeout=10)
            assert ran == ["now", "later"]
            endless = await reaches(await in_memory.enqueue(long), State.PROCESSING)
            await endless.cancel()
            await reaches(endless, State.CANCELLED)
            await in_memory.pause("default")
            held = await in_memory.enqueue(note, "held")
            await (await in_memory.enqueue(note.options(queue="first"), "first")).result(timeout=10)
            assert (await held.refresh()).state is State.ENQUEUED
            await in_memory.resume("default")
            await held.result(timeout=10)
            stopped = await reaches(await in_memory.enqueue(long), State.PROCESSING)
        assert (await stopped.refresh()).state is State.ENQUEUED
        assert await in_memory.workers() == []

    async def test_workers_and_clients_of_one_storage_share_its_jobs(self, registry: Registry) -> None:
        storage = MemoryStorage()

        @registry.job
        async def double(number: int) -> int:
            return number * 2

        async with (
            Client(storage, registry=registry) as producer,
            Client(storage, registry=registry) as consumer,
            Worker(registry, consumer),
            Worker(registry, consumer),
        ):
            jobs = await producer.enqueue_many(double.call(n) for n in range(50))
            assert [await job.result(timeout=10) for job in jobs] == [2 * n for n in range(50)]

    async def test_nothing_outlives_it(self, registry: Registry) -> None:
        @registry.job
        async def nothing() -> None: ...

        async with Client(MemoryStorage(), registry=registry) as client:
            await client.enqueue(nothing)
            await eventually(lambda: client.count("enqueued"))
        async with Client(MemoryStorage(), registry=registry) as client:
            assert await client.count("enqueued") == 0
