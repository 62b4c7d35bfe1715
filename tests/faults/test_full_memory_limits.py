"""Redis at its `maxmemory`, and what limits and unique keys do then."""

from __future__ import annotations

import pytest

from asyncjobs import Client, Job, State
from asyncjobs.errors import StorageFull
from asyncjobs.storage.redis.keys import Keys, hash_tag
from tests.conftest import ServerFactory
from tests.faults.apps import limited
from tests.faults.apps.limited import SLOTS
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_ended, all_succeeded, jobs_of
from tests.faults.overlap import limits_are_idle, most_at_once, runs_of
from tests.servers import Server
from tests.waiting import eventually

APP = "tests.faults.apps.limited"
LEASE = 3
KEYS = Keys(hash_tag("asyncjobs", 0, 1))


@pytest.fixture
def server(own_server: ServerFactory) -> Server:
    """A server that isn't full yet."""
    return own_server(maxmemory_policy="noeviction")


def fill(server: Server) -> None:
    """Leave no room for anything."""
    server.command("CONFIG", "SET", "maxmemory", server.client().info("memory")["used_memory"] - 100_000)


def everything(server: Server) -> dict[bytes, bytes]:
    """All keys of ours but those that heartbeats write."""
    kept = (KEYS.key("worker", ""), KEYS.key("workers"), KEYS.key("meta"))
    keys = [key for key in server.command("KEYS", "*") if not key.decode().startswith(kept)]
    return {key: server.command("DUMP", key) for key in keys}


async def test_new_ones_are_refused_whole(server: Server) -> None:
    async with Client(server.url, registry=limited.registry) as client:
        held = await client.enqueue(limited.unique, "held")
        replaced = await client.enqueue(limited.replacing, "replaced", 1)
        await client.enqueue_many(limited.slotted.call() for _ in range(2 * SLOTS))
        await client.enqueue_many(limited.exclusive.call("key") for _ in range(3))
        cancelled = await client.enqueue(limited.unique, "cancelled")
        await cancelled.cancel()
        fill(server)
        before = everything(server)
        elsewhere = limited.slotted.options(queue="new", priority=3)
        for refused in (
            client.enqueue(limited.unique, "new"),
            client.enqueue(limited.replacing, "replaced", 2),
            client.enqueue_in(60, limited.replacing, "replaced", 3),
            client.enqueue(limited.slotted),
            client.enqueue(elsewhere),
            client.enqueue(limited.slotted.options(expires=60)),
            client.enqueue(limited.exclusive, "new key"),
            client.enqueue(limited.rated),
            client.enqueue_many(limited.exclusive.call("key") for _ in range(20)),
            client.requeue(cancelled.id),
        ):
            with pytest.raises(StorageFull, match="maxmemory"):
                await refused
        assert everything(server) == before
        # What makes nothing isn't refused.
        assert (await client.enqueue(limited.unique, "held")).id == held.id
        assert everything(server) == before
        assert (await replaced.refresh()).state is State.ENQUEUED


async def test_what_there_is_goes_on(server: Server, start_worker: WorkerFactory, ledger: Ledger) -> None:
    """Those that wait are let in as others end, are killed, cancelled or deleted; a window opens."""
    async with Client(server.url, registry=limited.registry) as client:
        dead = start_worker(server.url, app=APP, lease=LEASE)
        held = await client.enqueue_many(limited.slotted_at_gate.call("never") for _ in range(SLOTS))
        await eventually(lambda: len(ledger.runs()) == SLOTS)
        jobs: list[Job[int]] = await client.enqueue_many(limited.slotted.call(0.01) for _ in range(20))
        jobs += await client.enqueue_many(limited.exclusive.call("key", 0.01) for _ in range(10))
        jobs += await client.enqueue_many(limited.rated.call() for _ in range(12))
        jobs += await client.enqueue_many(limited.unique.call(f"key {key}") for key in range(10))
        assert (await client.stats()).counts[State.THROTTLED] >= 20
        dead.kill()
        fill(server)
        cancelled, deleted = jobs.pop(15), jobs.pop(15)
        await cancelled.cancel()
        await deleted.delete()
        worker = start_worker(server.url, app=APP, lease=LEASE)
        ids = [job.id for job in (*held, *jobs)]
        await all_ended(client, len(ids) + 1)
        assert {job.state for job in await jobs_of(client, ids)} == {State.SUCCEEDED}
        assert set(ledger.runs()) == set(ids)
        limiting = [job.id for job in (*held, *jobs) if "slots" in job.limits]
        assert most_at_once(await runs_of(client, ledger, limiting)) <= SLOTS
        assert "ERROR" not in worker.log
        with pytest.raises(StorageFull):
            await client.enqueue(limited.unique, "new")
        await limits_are_idle(client)
        assert await client.check() == []

        # And when there is room again, the keys are free.
        server.command("CONFIG", "SET", "maxmemory", 0)
        again = await client.enqueue_many(limited.unique.call(f"key {key}") for key in range(10))
        assert not {job.id for job in again} & set(ids)
        await all_succeeded_too(client, ids, again, cancelled)


async def all_succeeded_too(
    client: Client, ids: list[str], again: list[Job[int]], cancelled: Job[int]
) -> None:
    await client.delete(cancelled.id)
    await all_succeeded(client, [*ids, *(job.id for job in again)])
    assert await client.check() == []


async def test_limits_can_be_changed(server: Server, start_worker: WorkerFactory, ledger: Ledger) -> None:
    async with Client(server.url, registry=limited.registry) as client:
        start_worker(server.url, app=APP, lease=LEASE)
        jobs = await client.enqueue_many(limited.slotted_at_gate.call("gate") for _ in range(SLOTS + 4))
        await eventually(lambda: len(ledger.runs()) == SLOTS)
        fill(server)
        await client.limits.set("slots", concurrency=SLOTS + 2)
        await eventually(lambda: len(ledger.runs()) == SLOTS + 2)
        (limit,) = await client.limits.list()
        assert (limit.running, limit.throttled) == (SLOTS + 2, 2)
        ledger.open_gate("gate")
        await all_succeeded(client, [job.id for job in jobs])
        await client.limits.reset("slots")
        await limits_are_idle(client)
