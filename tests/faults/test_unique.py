"""Unique keys whose holders, clients and replies are lost: one job each, and free when that has ended."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Literal

import pytest

from asyncjobs import Client, Unique
from asyncjobs.errors import StorageError, UniqueConflict
from asyncjobs.storage.base import STAGING_MS
from asyncjobs.storage.redis import RedisStorage, scripts
from asyncjobs.storage.redis.keys import Keys, hash_tag
from tests.faults.apps import limited
from tests.faults.conftest import ProcessFactory, WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_ended, all_succeeded, events_of, jobs_of, states
from tests.proxy import ThreadedProxy, script_sha
from tests.servers import Server
from tests.waiting import eventually

APP = "tests.faults.apps.limited"
LEASE = 3
BATCH = 1_000


async def in_order(client: Client, jobs: int) -> None:
    """So many jobs were made, and nothing contradicts itself."""
    assert sum((await client.stats()).counts.values()) == jobs
    assert await client.check() == []


async def test_a_key_is_free_only_when_the_job_of_a_dead_worker_has_ended(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url, registry=limited.registry) as client:
        dead = start_worker(redis_url, app=APP, lease=LEASE)
        job = await client.enqueue(limited.unique_at_gate, "key", "never")
        await eventually(lambda: ledger.runs()[job.id] == 1)
        dead.kill()
        start_worker(redis_url, app=APP, lease=LEASE)
        ids = {job.id}
        while not ledger.ends()[job.id]:
            # When it has ended, this is a new one.
            ids.add((await client.enqueue(limited.unique_at_gate, "key", "never")).id)
        assert await job.result(timeout=20) == 2
        ledger.open_gate("never")
        finished_at = (await job.refresh()).finished_at
        assert finished_at is not None
        assert ledger.runs()[job.id] == 2
        assert await events_of(client, [job.id]) == {job.id: ["recovered"]}
        ids.add((await client.enqueue(limited.unique_at_gate, "key", "never")).id)
        await all_succeeded(client, ids)
        for one in await jobs_of(client, ids - {job.id}):
            assert one.created_at is not None
            assert one.created_at >= finished_at
        assert len(ids) > 1
        await in_order(client, len(ids))


async def test_a_key_is_held_for_no_time_by_a_job_that_could_not_be_created(server: Server) -> None:
    for_a_day = limited.unique_at_gate.options(unique=Unique("{key}", until=timedelta(days=1)))
    queue = Keys(hash_tag("asyncjobs", 0, 1)).key("queue", "default")
    async with Client(server.url, registry=limited.registry) as client:
        server.command("SET", queue, "something else")
        with pytest.raises(StorageError, match="its key in Redis holds something else"):
            await client.enqueue(for_a_day, "key", "never")
        server.command("DEL", queue)
        job = await client.enqueue(for_a_day, "key", "never")
        assert (await job.refresh()).state == "enqueued"
        await in_order(client, 1)


async def test_one_that_is_held_until_it_has_started_is_not_held_again(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    """Its recovery isn't a new start: whoever came meanwhile goes on holding the key."""
    until_started = limited.unique_at_gate.options(unique=Unique("{key}", until="started"))
    async with Client(redis_url, registry=limited.registry) as client:
        dead = start_worker(redis_url, app=APP, lease=LEASE, concurrency=1)
        job = await client.enqueue(until_started, "key", "never")
        await eventually(lambda: ledger.runs()[job.id] == 1)
        second = await client.enqueue(until_started, "key", "second")
        assert (await client.enqueue(until_started, "key", "third")).id == second.id != job.id
        dead.kill()
        start_worker(redis_url, app=APP, lease=LEASE)
        assert await job.result(timeout=20) == 2
        await eventually(lambda: ledger.runs()[second.id] == 1)
        third = await client.enqueue(until_started, "key", "second")
        ledger.open_gate("second")
        await all_succeeded(client, [job.id, second.id, third.id])
        await in_order(client, 3)


async def test_a_create_whose_reply_is_lost_finds_itself(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
):
    """Sent again, it neither conflicts with itself nor takes its own place."""
    conflicts: tuple[Literal["return", "replace", "raise"], ...] = ("return", "replace", "raise")
    async with Client(proxy.url) as through, Client(redis_url, registry=limited.registry) as client:
        ids: list[str] = []
        for on_conflict in conflicts:
            own = limited.unique.options(unique=Unique("{key}", on_conflict=on_conflict))
            fault = proxy.drop_reply(scripts.CREATE.sha, times=3)
            lone = await through.enqueue(own, on_conflict)
            assert fault.hits == 3
            fault = proxy.drop_reply(scripts.CREATE.sha, times=3)
            jobs = await through.enqueue_many(own.call(f"{on_conflict} {key}") for key in range(100))
            assert fault.hits == 3
            ids += [lone.id, *(job.id for job in jobs)]
        assert await states(client, ids) == {"enqueued": len(ids)}
        start_worker(redis_url, app=APP, lease=LEASE)
        await all_succeeded(client, ids)
        assert ledger.runs() == dict.fromkeys(ids, 1)
        assert await events_of(client, ids) == {job_id: [] for job_id in ids}
        await in_order(client, len(ids))


@pytest.mark.parametrize("retention", [0, 3600])
async def test_a_create_that_is_sent_again_when_its_job_has_ended(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger, retention: int
):
    """It isn't carried out again, though its key is free by then."""
    async with Client(proxy.url, patience=30) as through, Client(redis_url) as client:
        start_worker(redis_url, app=APP, lease=LEASE)
        ran = proxy.drop_reply(scripts.CREATE.sha)
        proxy.drop_request(
            lambda request: ran.remaining == 0 and script_sha(request) == scripts.CREATE.sha, times=10**9
        )
        enqueueing = asyncio.create_task(through.enqueue(limited.unique.options(retention=retention), "key"))
        await all_ended_ever(client, 1)
        await eventually(lambda: ran.hits == 1)
        proxy.heal()
        job = await enqueueing
        other = await client.enqueue(limited.unique, "another key")
        await other.result(timeout=20)
        assert ledger.runs() == {job.id: 1, other.id: 1}
        await in_order(client, 2 if retention else 1)


async def all_ended_ever(client: Client, count: int) -> None:
    async def ended() -> bool:
        return (await client.stats()).totals["succeeded"] == count

    await eventually(ended, 20)


async def test_a_client_killed_while_it_makes_one(
    server: Server, start_process: ProcessFactory, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(server.url, registry=limited.registry) as client:
        with ThreadedProxy(server.port) as proxy:
            lost = proxy.drop_reply(scripts.CREATE.sha)
            proxy.drop_request(lambda _: lost.remaining == 0, times=10**9)
            producer = start_process("-m", "tests.faults.apps.unique_producer", proxy.url, "one", "1")
            await eventually(lambda: lost.hits == 1, 30)
            producer.kill()
        assert "done" not in producer.log
        # It is there, and holds its key.
        job = await client.enqueue(limited.unique, "key 0")
        await in_order(client, 1)
        start_worker(server.url, app=APP, lease=LEASE)
        await all_succeeded(client, [job.id])
        assert (await client.enqueue(limited.unique, "key 0")).id != job.id
        await all_ended(client, 2)
        assert set(ledger.runs().values()) == {1}
        await in_order(client, 2)


@pytest.mark.parametrize("creates", [1, 10**9], ids=["in mid-way", "before the last step"])
async def test_a_client_killed_while_it_commits_a_batch(
    server: Server, start_process: ProcessFactory, start_worker: WorkerFactory, ledger: Ledger, creates: int
):
    """Its members hold their keys while they are staging, and until they are swept away."""
    async with Client(server.url, registry=limited.registry) as client:
        with ThreadedProxy(server.port) as proxy:
            passing = [creates]

            def beyond(request: list[bytes]) -> bool:
                sha = script_sha(request)
                if sha == scripts.CREATE.sha:
                    passing[0] -= 1
                return sha == scripts.COMMIT_BATCH.sha or passing[0] < 0

            fault = proxy.drop_request(beyond, times=10**9)
            producer = start_process(
                "-m", "tests.faults.apps.unique_producer", proxy.url, "batch", str(BATCH)
            )
            await eventually(lambda: fault.hits > 0, 30)
            producer.kill()
        assert "done" not in producer.log
        assert await client.check() == []
        raising = limited.unique.options(unique=Unique("{key}", on_conflict="raise"))
        with pytest.raises(UniqueConflict):
            await client.enqueue(raising, "key 0")
        # One that replaces takes its key at once.
        replacing = limited.unique.options(unique=Unique("{key}", on_conflict="replace"))
        replaced = await client.enqueue(replacing, "key 1")

        later = RedisStorage(server.url, clock=lambda: int(time.time() * 1000) + STAGING_MS)
        await later.open()
        await later.sweep_batches(0)
        while await later.carry_on(0):
            pass
        await later.close()
        held = [key.decode() for key in server.command("KEYS", "*:unique:*")]
        assert [key.rpartition(":")[2] for key in held] == ["key 1"]
        assert (await client.enqueue(limited.unique, "key 1")).id == replaced.id
        start_worker(server.url, app=APP, lease=LEASE, concurrency=100)
        jobs = await client.enqueue_many(raising.call(f"key {key}") for key in range(BATCH) if key != 1)
        await all_succeeded(client, [replaced.id, *(job.id for job in jobs)])
        assert ledger.runs() == dict.fromkeys([replaced.id, *(job.id for job in jobs)], 1)
        await in_order(client, BATCH)
        assert server.command("KEYS", "*:unique:*") == []
