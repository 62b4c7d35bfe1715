"""Redis killed with SIGKILL and started again: what it acknowledged is there, and all go on by themselves."""

from __future__ import annotations

import asyncio
import random

from asyncjobs import Client, State
from tests.conftest import ServerFactory
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_ended, all_succeeded, events_of, jobs_of, passed
from tests.waiting import eventually

LEASE = 3
CLIENTS = 3
KILLS = 4


async def test_under_load(
    own_server: ServerFactory, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    server = own_server(appendonly="yes", appendfsync="always")
    workers = [start_worker(server.url, lease=LEASE, uvloop=loop) for loop in (False, True)]
    promised: list[str] = []
    calls_made = 0
    busy = True

    async def use(chance: random.Random) -> None:
        nonlocal calls_made
        async with Client(server.url) as client:
            while busy:
                if chance.random() < 0.3:
                    calls = [counted.brief.call(chance.uniform(0, 0.1)) for _ in range(chance.randint(2, 20))]
                    promised.extend(job.id for job in await client.enqueue_many(calls))
                else:
                    promised.append((await client.enqueue(counted.brief, chance.uniform(0, 0.1))).id)
                calls_made += 1
                await passed(0.005)

    async def go_on() -> None:
        before = calls_made
        await eventually(lambda: calls_made > before + 10 * CLIENTS, 30, because="the clients go on")

    async with asyncio.TaskGroup() as users:
        for _ in range(CLIENTS):
            users.create_task(use(random.Random(moments.random())))
        for _ in range(KILLS):
            await go_on()
            await passed(moments.uniform(0, 0.5))
            await asyncio.to_thread(server.kill)
            await passed(moments.uniform(0, 1))
            await asyncio.to_thread(server.start)
        await go_on()
        busy = False

    async with Client(server.url, registry=counted.registry) as client:
        await all_ended(client, len(promised))
        for job in await jobs_of(client, promised):
            assert job.state == "succeeded"
            assert await job.result() == job.attempt
        assert len(set(promised)) == len(promised) > CLIENTS * KILLS * 10
        assert ledger.runs().keys() >= set(promised)
        stats = await client.stats()
        assert stats.totals["succeeded"] == stats.counts[State.SUCCEEDED]
        assert stats.counts[State.SUCCEEDED] == len(promised), "every call returned in the end"
    assert all(worker.alive for worker in workers)


async def test_what_ended_meanwhile_is_handed_in_afterwards(
    own_server: ServerFactory, start_worker: WorkerFactory, ledger: Ledger
):
    server = own_server(appendonly="yes", appendfsync="always")
    async with Client(server.url) as client:
        # With so little patience, the worker's own loop has to try again.
        worker = start_worker(server.url, lease=LEASE, patience=0.2)
        jobs = await client.enqueue_many(counted.gated.call("gate") for _ in range(50))
        await eventually(lambda: len(ledger.runs()) == len(jobs))
        server.kill()
        ledger.open_gate("gate")
        await eventually(lambda: len(ledger.ends()) == len(jobs))
        # Longer than the lease.
        await passed(LEASE + 1)
        server.start()
        ids = [job.id for job in jobs]
        await all_succeeded(client, ids)
        assert ledger.runs() == dict.fromkeys(ids, 1)
        assert await events_of(client, ids) == {job_id: [] for job_id in ids}
        assert [entry.id for entry in await client.workers()] == [worker.id]
