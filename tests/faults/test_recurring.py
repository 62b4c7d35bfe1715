"""Recurring jobs fired by several processes: killed ones, ones with wrong clocks, and on a full Redis."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from asyncjobs import Client
from asyncjobs.errors import StorageError
from asyncjobs.ids import occurrence_id
from asyncjobs.recurring import RecurringJob
from tests.conftest import ServerFactory
from tests.faults.apps.recurring import STEP
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import passed
from tests.servers import Server
from tests.waiting import eventually

APP = "tests.faults.apps.recurring"
LEASE = 3
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


async def tick(client: Client) -> RecurringJob:
    found = await client.recurring.get("tick")
    assert found is not None
    return found


async def fired(client: Client, count: int, timeout: float = 60) -> RecurringJob:
    """Wait until it was fired so many times."""

    async def enough() -> RecurringJob | None:
        found = await client.recurring.get("tick")
        return found if found is not None and found.fired >= count else None

    found = await eventually(enough, timeout, because=f"it was fired {count} times")
    assert found is not None
    return found


async def all_fired_once(client: Client, ledger: Ledger, timeout: float = 60) -> None:
    """Stop it, and see that of its times up to the last one each was fired, once, and its job was run."""
    await client.recurring.pause("tick")
    last = await tick(client)
    assert last.last_at is not None
    end = round(last.last_at.timestamp() * 1000)
    step = round(STEP * 1000)
    expected = {occurrence_id("tick", end - back * step) for back in range(last.fired)}
    assert (last.missed, last.skipped, last.refused) == (0, 0, 0)

    async def ended() -> bool:
        return await client.count("succeeded") == last.fired

    await eventually(ended, timeout, because=f"all {last.fired} jobs have succeeded")
    jobs = [
        job
        for page in range(0, last.fired, 100)
        for job in await client.jobs("succeeded", offset=page, limit=100)
    ]
    assert {job.id for job in jobs} == expected
    runs = ledger.runs()
    assert set(runs) == expected
    # Only who was taken back from a worker that was killed can have run again.
    again = {job_id for job_id, count in runs.items() if count > 1}
    assert again <= {job.id for job in jobs if job.recoveries}


async def now_ms(client: Client) -> int:
    return round((await client.stats()).now.timestamp() * 1000)


async def kills(
    url: str,
    start_worker: WorkerFactory,
    ledger: Ledger,
    moments: random.Random,
    workers: int,
    rounds: int,
    times: int,
) -> None:
    async with Client(url) as client:
        alive = [start_worker(url, app=APP, wait=False, concurrency=10, lease=LEASE) for _ in range(workers)]
        for worker in alive:
            await asyncio.to_thread(worker.wait_until_serving)
        declared = await fired(client, 1)
        assert declared.declared
        for _ in range(rounds):
            await passed(moments.uniform(0, 3 * STEP))
            victim = alive.pop(moments.randrange(len(alive)))
            victim.kill()
            alive.append(start_worker(url, app=APP, wait=False, concurrency=10, lease=LEASE))
        await fired(client, times, 120)
        await all_fired_once(client, ledger, 120)


async def test_each_occurrence_is_fired_once_though_workers_are_killed(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    await kills(redis_url, start_worker, ledger, moments, workers=6, rounds=6, times=25)


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_each_occurrence_is_fired_once_by_twenty_workers(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    await kills(redis_url, start_worker, ledger, moments, workers=20, rounds=10, times=60)


@pytest.mark.skipif(not FAKETIME, reason="libfaketime isn't installed (Debian: faketime)")
@pytest.mark.parametrize("ahead", ["+3600", "-3600"])
async def test_a_worker_whose_clock_is_an_hour_off_changes_nothing(
    redis_url: str,
    start_worker: WorkerFactory,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    ahead: str,
):
    async with Client(redis_url) as client:
        with monkeypatch.context() as environment:
            environment.setenv("LD_PRELOAD", str(FAKETIME[0]))
            environment.setenv("FAKETIME", ahead)
            environment.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            began = await now_ms(client)
            wrong = start_worker(redis_url, app=APP, lease=LEASE)
        right = start_worker(redis_url, app=APP, lease=LEASE)
        await fired(client, 8)
        # The one with the wrong clock fires by itself, too, and at the right times.
        right.kill()
        before = await tick(client)
        found = await fired(client, before.fired + 5)
        assert found.last_at is not None
        assert began <= found.last_at.timestamp() * 1000 <= await now_ms(client)
        off = next(line.at for line in ledger.lines() if line.pid == wrong.pid) - began / 1000
        assert abs(off) > 3_000, "its clock is wrong indeed"
        await all_fired_once(client, ledger)


@pytest.fixture
def full_server(own_server: ServerFactory) -> Server:
    return own_server(maxmemory_policy="noeviction")


async def test_a_full_redis_takes_nothing_of_an_occurrence_and_all_of_it_later(
    full_server: Server, start_worker: WorkerFactory, ledger: Ledger
):
    server = full_server
    async with Client(server.url) as client:
        worker = start_worker(server.url, app=APP, lease=LEASE)
        await fired(client, 2)
        used = server.client().info("memory")["used_memory"]
        server.command("CONFIG", "SET", "maxmemory", used - 100_000)
        await eventually(lambda: "recurring jobs: Redis has reached its maxmemory" in worker.log, 20)
        before = await tick(client)
        keys = {key for key in server.command("KEYS", "*:j:*") if b":j:" in key}
        await passed(3 * STEP)
        assert await tick(client) == before
        assert {key for key in server.command("KEYS", "*:j:*") if b":j:" in key} == keys
        with pytest.raises(StorageError, match="maxmemory"):
            await client.recurring.trigger("tick")
        # What makes no room needs none either.
        await client.recurring.pause("tick")
        assert (await tick(client)).paused
        assert {key for key in server.command("KEYS", "*:j:*") if b":j:" in key} == keys

        server.command("CONFIG", "SET", "maxmemory", 0)
        await client.recurring.resume("tick")
        found = await fired(client, before.fired + 2)
        assert found.missed == before.missed
