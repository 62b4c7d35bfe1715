"""Repairing while everything runs, and workers die, harms nothing."""

from __future__ import annotations

import asyncio
import random
import time

from asyncjobs import Client, Job
from asyncjobs.storage.audit import Mending
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_ended, events_of, passed, states
from tests.servers import Server

SECONDS = 6.0


async def enqueue(client: Client, until: float, made: list[str]) -> None:
    while time.monotonic() < until:
        jobs: list[Job[int]] = [await client.enqueue(counted.brief, 0.01) for _ in range(3)]
        jobs.append(await client.enqueue_in(0.2, counted.brief))
        async with client.batch() as batch:
            jobs += batch.enqueue_many(counted.brief.call() for _ in range(5))
            with batch.batch() as inner:
                jobs.append(inner.enqueue(counted.brief))
        jobs.append(await client.continue_with(batch, counted.brief))
        jobs.append(await client.continue_with(jobs[:2], counted.brief))
        made += [job.id for job in jobs]
        await passed(0.02)


async def repair(url: str, until: float, told: list[Mending]) -> int:
    times = 0
    async with Client(url) as client:
        while time.monotonic() < until:
            told += await client.repair(pause=0.02)
            times += 1
    return times


async def test_repairing_while_workers_run_and_die(
    server: Server, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    made: list[str] = []
    told: list[Mending] = []
    async with Client(server.url, registry=counted.registry) as client:
        workers = [start_worker(server.url, lease=3) for _ in range(2)]
        until = time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(enqueue(client, until, made))
            repairs = [tasks.create_task(repair(server.url, until + 3, told)) for _ in range(2)]
            for _ in range(3):
                await passed(moments.uniform(0.5, 1.5))
                workers.pop(0).kill()
                workers.append(start_worker(server.url, lease=3))
        await all_ended(client, len(made))
        assert await states(client, made) == {"succeeded": len(made)}
        assert await client.check() == []
        events = await events_of(client, made)
        again = {job_id for job_id, count in ledger.runs().items() if count > 1}
        assert again <= {job_id for job_id, all_of_it in events.items() if "recovered" in all_of_it}
        # A marker is lost for real with a worker that dies before it has put it back.
        assert {mending.finding.kind for mending in told} <= {"marker"}, told
        assert all(task.result() for task in repairs)
