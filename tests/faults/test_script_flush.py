"""Redis may forget the scripts at any time, and nobody notices."""

from __future__ import annotations

import asyncio

from asyncjobs import Client
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of
from tests.servers import Server

CLIENTS = 4
JOBS = 200


async def test_under_load(server: Server, start_worker: WorkerFactory, ledger: Ledger):
    workers = [start_worker(server.url, lease=3) for _ in range(2)]
    flushes = 0
    busy = True
    ids: list[str] = []

    async def flush() -> None:
        nonlocal flushes
        while busy:
            await asyncio.to_thread(server.command, "SCRIPT", "FLUSH")
            flushes += 1

    async def use() -> None:
        async with Client(server.url, registry=counted.registry) as client:
            for _ in range(JOBS):
                job = await client.enqueue(counted.brief)
                ids.append(job.id)
                assert await job.result(timeout=30) == 1
                await client.stats()

    async with Client(server.url) as client:
        async with asyncio.TaskGroup() as tasks:
            flushing = tasks.create_task(flush())
            await asyncio.gather(*(use() for _ in range(CLIENTS)))
            busy = False
            await flushing
        assert flushes > JOBS
        await all_succeeded(client, ids)
        assert len(ids) == CLIENTS * JOBS
        assert set(ledger.runs().values()) == {1}
        assert set(map(tuple, (await events_of(client, ids)).values())) == {()}
    for worker in workers:
        assert worker.stop() == 0
        assert {line.split()[2] for line in worker.log.splitlines()} == {"INFO"}, worker.log
