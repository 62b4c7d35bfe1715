"""Limits whose holders are killed, stalled and cut off: never exceeded, and nothing is left of them."""

from __future__ import annotations

import asyncio
import random
import time

from asyncjobs import Call, Client
from asyncjobs.storage.redis import scripts
from tests.conftest import ServerFactory
from tests.faults.apps import limited
from tests.faults.apps.limited import PER, RATE, SLOTS
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of, passed
from tests.faults.overlap import limits_are_idle, most_at_once, most_by, runs_of
from tests.faults.worker_process import WorkerProcess
from tests.proxy import ThreadedProxy
from tests.servers import Server
from tests.waiting import eventually

APP = "tests.faults.apps.limited"
LEASE = 3
BACK_WITHIN = LEASE + 1.5
KILLS = 4
KEYS = "abcdef"
QUEUES = ("default", "other")
"""Each of them may have jobs that there is room for; all of them together may not run."""


async def some_jobs(client: Client, chance: random.Random, count: int) -> dict[str, str]:
    """Jobs under a limit, half of them under a mutex, too; its key by their ids."""
    keys = [chance.choice(KEYS) if chance.random() < 0.5 else "" for _ in range(count)]
    calls: list[Call[int]] = []
    for key in keys:
        queue, seconds = chance.choice(QUEUES), chance.uniform(0, 0.1)
        if key:
            calls.append(limited.exclusive.options(queue=queue).call(key, seconds))
        else:
            calls.append(limited.slotted.options(queue=queue).call(seconds))
    jobs = await client.enqueue_many(calls)
    return {job.id: key for job, key in zip(jobs, keys, strict=True)}


async def never_exceeded(client: Client, ledger: Ledger, keys: dict[str, str]) -> None:
    """Neither the limit was, nor any mutex, and nothing is left of them."""
    runs = await runs_of(client, ledger, keys)
    assert most_at_once(runs) <= SLOTS
    assert most_by((run for run in runs if keys[run.job_id]), lambda run: keys[run.job_id]) <= 1
    await limits_are_idle(client)
    assert await client.check() == []


async def running(client: Client) -> tuple[int, int]:
    """How many the limit says that run, and wait."""
    (limit,) = [limit for limit in await client.limits.list() if limit.name == "slots"]
    return limit.running, limit.throttled


async def busy(workers: list[WorkerProcess], ledger: Ledger) -> WorkerProcess:
    """One that runs something, once there is one."""

    def found() -> WorkerProcess | None:
        ended = {(line.job_id, line.attempt) for line in ledger.lines("end")}
        pids = {line.pid for line in ledger.lines("start") if (line.job_id, line.attempt) not in ended}
        return next((worker for worker in workers if worker.pid in pids), None)

    worker = await eventually(found, 30)
    assert worker is not None
    return worker


async def serves_anew(client: Client, worker_id: str) -> bool:
    """Whether both workers serve, the one that had this id under another one."""
    ids = [worker.id for worker in await client.workers()]
    return len(ids) == 2 and worker_id not in ids


async def test_those_of_a_dead_worker_count_until_its_lease_is_over(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url, registry=limited.registry) as client:
        victim = start_worker(redis_url, app=APP, queues=QUEUES, lease=LEASE)
        held = await client.enqueue_many(limited.slotted_at_gate.call("never") for _ in range(SLOTS))
        await eventually(lambda: len(ledger.runs()) == SLOTS)
        waiting = await client.enqueue_many(limited.slotted.call(0.01) for _ in range(20))
        start_worker(redis_url, app=APP, queues=QUEUES, lease=LEASE)
        killed_at = time.time()
        victim.kill()
        (dead,) = [worker for worker in await client.workers() if worker.id == victim.id]
        ids = [job.id for job in (*held, *waiting)]
        while time.time() < dead.lease_ends_at.timestamp() - 0.5:
            assert await running(client) == (SLOTS, len(waiting))
        await all_succeeded(client, ids)
        later = [line.at for line in ledger.lines("start")][SLOTS:]
        assert min(later) >= dead.lease_ends_at.timestamp()
        assert min(later) - killed_at <= BACK_WITHIN
        assert await events_of(client, ids) == {
            job_id: ["recovered"] if job_id in ids[:SLOTS] else [] for job_id in ids
        }
        await never_exceeded(client, ledger, dict.fromkeys(ids, ""))


async def test_kills_under_load(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    def start() -> WorkerProcess:
        return start_worker(redis_url, app=APP, queues=QUEUES, wait=False, lease=LEASE, concurrency=20)

    async with Client(redis_url, registry=limited.registry) as client:
        workers = [start() for _ in range(3)]
        keys: dict[str, str] = {}
        for _ in range(KILLS):
            keys |= await some_jobs(client, moments, 25)
            victim = await busy(workers, ledger)
            workers[workers.index(victim)] = start()
            await passed(moments.uniform(0, 0.05))
            victim.kill()
        await all_succeeded(client, keys)
        assert any((await events_of(client, keys)).values()), "the kills hit running jobs"
        await never_exceeded(client, ledger, keys)


async def test_a_worker_that_stood_still_past_its_lease(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    async with Client(redis_url, registry=limited.registry) as client:
        stopped = start_worker(redis_url, app=APP, queues=QUEUES, lease=LEASE)
        held = await client.enqueue_many(limited.slotted_at_gate.call("first") for _ in range(SLOTS))
        await eventually(lambda: len(ledger.runs()) == SLOTS)
        stopped.pause()
        start_worker(redis_url, app=APP, queues=QUEUES, lease=LEASE)
        keys = await some_jobs(client, moments, 40)
        assert [await job.result(timeout=30) for job in held] == [2] * SLOTS
        # It comes back in the middle of the others', and hands in what isn't its own any more.
        ledger.open_gate("first")
        stopped.resume()
        keys |= await some_jobs(client, moments, 40)
        await all_succeeded(client, [*keys, *(job.id for job in held)])
        await eventually(lambda: serves_anew(client, stopped.id), 20)
        await never_exceeded(client, ledger, keys | dict.fromkeys((job.id for job in held), ""))


async def test_lost_replies_and_cut_connections(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    async with (
        Client(redis_url, registry=limited.registry) as client,
        Client(proxy.url, registry=limited.registry) as through,
    ):
        workers = [
            start_worker(proxy.url, app=APP, queues=QUEUES, lease=LEASE, patience=patience)
            for patience in (10, 0.01)
        ]
        keys: dict[str, str] = {}
        for script in (scripts.EXCHANGE, scripts.CREATE, scripts.EXCHANGE):
            fault = proxy.drop_reply(script.sha, times=moments.randint(1, 6))
            keys |= await some_jobs(through, moments, 25)
            await eventually(lambda fault=fault: fault.remaining == 0, 30)
            await passed(moments.uniform(0, 0.1))
            proxy.cut()
            proxy.drop_request(scripts.EXCHANGE.sha, times=moments.randint(1, 3))
        await all_succeeded(client, keys)
        assert ledger.runs() == dict.fromkeys(keys, 1)
        assert await events_of(client, keys) == {job_id: [] for job_id in keys}
        await never_exceeded(client, ledger, keys)
        assert all(worker.stop() == 0 for worker in workers)


async def test_a_granted_job_whose_worker_never_heard_of_it(
    server: Server, start_worker: WorkerFactory, ledger: Ledger
):
    """It counts as one that runs, until the lease is over."""
    async with Client(server.url, registry=limited.registry) as client:
        with ThreadedProxy(server.port) as proxy:
            worker = start_worker(proxy.url, app=APP, queues=QUEUES, lease=LEASE)
            fault = proxy.drop_reply(scripts.EXCHANGE.sha, times=10**9)
            jobs = await client.enqueue_many(limited.slotted.call() for _ in range(10))
            await eventually(lambda: fault.hits > 2)
            assert await running(client) == (SLOTS, 10 - SLOTS)
            worker.kill()
        start_worker(server.url, app=APP, queues=QUEUES, lease=LEASE)
        ids = [job.id for job in jobs]
        await all_succeeded(client, ids)
        assert ledger.runs() == dict.fromkeys(ids, 1)
        await never_exceeded(client, ledger, dict.fromkeys(ids, ""))


async def test_redis_killed_and_its_scripts_forgotten(
    own_server: ServerFactory, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    server = own_server(appendonly="yes", appendfsync="always")
    async with Client(server.url, registry=limited.registry) as client:
        workers = [start_worker(server.url, app=APP, queues=QUEUES, lease=LEASE) for _ in range(2)]
        keys: dict[str, str] = {}
        for fault in ("flush", "kill", "flush", "kill"):
            keys |= await some_jobs(client, moments, 25)
            before = len(ledger.ends())
            await eventually(lambda before=before: len(ledger.ends()) >= before + 5)
            if fault == "flush":
                await asyncio.to_thread(server.command, "SCRIPT", "FLUSH")
            else:
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
        await all_succeeded(client, keys)
        assert all(worker.alive for worker in workers)
        await never_exceeded(client, ledger, keys)


async def test_a_rate_while_workers_are_killed(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    def start() -> WorkerProcess:
        return start_worker(redis_url, app=APP, queues=QUEUES, wait=False, lease=LEASE, concurrency=20)

    async with Client(redis_url, registry=limited.registry) as client:
        workers = [start() for _ in range(2)]
        jobs = await client.enqueue_many(limited.rated.call(moments.uniform(0, 0.3)) for _ in range(8 * RATE))
        for _ in range(2):
            victim = await busy(workers, ledger)
            workers[workers.index(victim)] = start()
            await passed(moments.uniform(0, PER))
            victim.kill()
        ids = [job.id for job in jobs]
        await all_succeeded(client, ids)
        granted = sorted(
            int(line.event.partition("=")[2]) for line in ledger.lines() if line.event.startswith("granted=")
        )
        assert len(granted) >= len(jobs)
        per_ms = 1000 * PER
        assert max(sum(at <= other < at + per_ms for other in granted) for at in granted) == RATE
        await limits_are_idle(client)
        assert await client.check() == []
