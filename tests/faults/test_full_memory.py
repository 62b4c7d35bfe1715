"""Redis at its `maxmemory`: it takes no more jobs and says so, and all that makes room goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asyncjobs import Client
from asyncjobs.errors import StorageFull
from tests.conftest import ServerFactory
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, running_on, states
from tests.servers import Server
from tests.waiting import eventually

ROOM = 3_000_000
FILLING = b"x" * 20_000


@pytest.fixture
def server(own_server: ServerFactory) -> Server:
    """A server with room for some jobs; what it needs for itself differs from flavour to flavour."""
    server = own_server(maxmemory_policy="noeviction")
    limit(server, ROOM)
    return server


def limit(server: Server, room: int) -> None:
    """Let it use so many bytes more than it does now; fewer, if negative."""
    server.command("CONFIG", "SET", "maxmemory", server.client().info("memory")["used_memory"] + room)


async def fill(client: Client, server: Server) -> list[str]:
    """Enqueue from several tasks, one by one and many at once, until Redis is full; the ids that it took."""
    promised: list[str] = []

    async def one() -> None:
        promised.append((await client.enqueue(counted.heavy, FILLING)).id)

    async def some() -> None:
        jobs = await client.enqueue_many(counted.heavy.call(FILLING) for _ in range(7))
        promised.extend(job.id for job in jobs)

    await asyncio.gather(*(until_full(enqueue) for enqueue in (one, some, one, some)))
    # Full for small jobs as well.
    limit(server, -ROOM // 10)
    return promised


async def until_full(enqueue: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await enqueue()
        except StorageFull:
            return


def job_keys(server: Server) -> set[str]:
    """The ids that have a key."""
    return {key.decode().split(":j:")[1] for key in server.command("KEYS", "*:j:*")}


async def test_refused_jobs_leave_nothing_behind(server: Server):
    async with Client(server.url) as client:
        promised = await fill(client, server)
        keys = sorted(server.command("KEYS", "*"))
        new = counted.heavy.options(queue="new", priority=7)
        for _ in range(20):
            for refused in (
                client.enqueue(new, b""),
                client.enqueue_in(60, new, b""),
                client.enqueue_many(new.call(FILLING) for _ in range(20)),
            ):
                with pytest.raises(StorageFull, match="maxmemory"):
                    await refused
        assert sorted(server.command("KEYS", "*")) == keys
        assert job_keys(server) == set(promised)
        (queue,) = await client.queues()
        assert (queue.name, queue.length) == ("default", len(promised))


async def test_workers_finish_what_there_is(server: Server, start_worker: WorkerFactory, ledger: Ledger):
    async with Client(server.url, registry=counted.registry) as client:
        running = start_worker(server.url, concurrency=20, lease=3)
        gated = await client.enqueue_many(counted.gated.call("gate") for _ in range(20))
        await eventually(lambda: len(ledger.runs()) == len(gated))
        promised = [job.id for job in gated] + await fill(client, server)
        assert (await states(client, promised))["processing"] == len(gated)
        # One that starts while Redis is full takes part as well.
        new = start_worker(server.url, concurrency=1, lease=3)
        result = asyncio.create_task(gated[0].result(timeout=30))
        ledger.open_gate("gate")
        await all_succeeded(client, promised)
        assert await result == 1
        assert ledger.runs() == dict.fromkeys(promised, 1)
        assert {line.pid for line in ledger.lines()} == {running.pid, new.pid}
        assert "ERROR" not in running.log + new.log

        with pytest.raises(StorageFull):
            await client.enqueue(counted.brief)
        assert await client.clear("succeeded") == len(promised)
        # Redis gives the memory back in the background.
        late = await eventually(lambda: client.enqueue(counted.brief), ignoring=(StorageFull,))
        assert await late.result(timeout=10) == 1


async def test_a_dead_workers_jobs_are_taken_back(
    server: Server, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(server.url) as client:
        dead = start_worker(server.url, concurrency=20, lease=3)
        gated = await client.enqueue_many(counted.gated_at_first.call("gate") for _ in range(20))
        await eventually(lambda: len(ledger.runs()) == len(gated))
        filling = await fill(client, server)
        dead.kill()
        assert await running_on(client, dead.id) == len(gated)
        start_worker(server.url, lease=3)
        await all_succeeded(client, [job.id for job in gated] + filling)
        assert (await client.stats()).totals["recovered"] == len(gated)


async def test_room_can_be_made_by_hand(server: Server, start_worker: WorkerFactory):
    async with Client(server.url) as client:
        await client.pause("default")
        promised = await fill(client, server)
        worker = start_worker(server.url, queues=["none"], lease=3)
        one, other, *_ = promised
        assert await client.cancel(one)
        await client.delete(one)
        await client.delete(other)
        assert await client.purge("default") == len(promised) - 2
        assert job_keys(server) <= set(promised)
        job = await eventually(lambda: client.enqueue(counted.brief), ignoring=(StorageFull,))
        assert await states(client, [job.id]) == {"enqueued": 1}
        assert worker.alive


async def test_queues_and_workers_can_be_controlled(server: Server, start_worker: WorkerFactory):
    async with Client(server.url) as client:
        await client.pause("default")
        promised = await fill(client, server)
        worker = start_worker(server.url, lease=3)
        await client.resume("default")
        await all_succeeded(client, promised)
        await client.pause("default")
        await client.command(worker.id, "stop")
        await eventually(lambda: not worker.alive)


async def test_locks_are_kept_handed_on_and_taken(server: Server):
    async with Client(server.url) as client:
        storage = client.storage
        first = await storage.acquire_lock("ledger", "one", 60_000)
        await fill(client, server)
        for name, token in (("ledger", "one"), ("another", "one")):
            assert (await storage.acquire_lock(name, token, 60_000)).number >= first.number
            assert await storage.renew_lock(name, token, 60_000)
        assert (await storage.acquire_lock("ledger", "two", 60_000, "inbox")).number == 0
        await storage.release_lock("ledger", "one")
        assert await storage.receive(0, "inbox", 10) == ["two"]
        assert (await storage.acquire_lock("ledger", "two", 60_000, "inbox")).number > first.number
