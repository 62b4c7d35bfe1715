"""Connections are cut again and again under load: every job runs once, and nobody notices but the log."""

from __future__ import annotations

import asyncio
import random

import pytest

from asyncjobs import Client
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of, passed
from tests.proxy import ThreadedProxy

JOBS = 1_000
CLIENTS = 4


@pytest.mark.parametrize("uvloop", [False, True], ids=["asyncio", "uvloop"])
async def test_of_workers_and_clients(
    redis_url: str,
    proxy: ThreadedProxy,
    start_worker: WorkerFactory,
    ledger: Ledger,
    moments: random.Random,
    uvloop: bool,
):
    workers = [start_worker(proxy.url, concurrency=10, lease=3, uvloop=uvloop) for _ in range(2)]
    cuts = 0

    async def cut() -> None:
        nonlocal cuts
        while True:
            await passed(moments.uniform(0.01, 0.3))
            cuts += proxy.cut(lambda connection: moments.random() < 0.6)

    async def use() -> list[str]:
        async with Client(proxy.url, registry=counted.registry) as client:
            ids: list[str] = []
            while len(ids) < JOBS // CLIENTS:
                job = await client.enqueue(counted.brief, moments.uniform(0, 0.05))
                if moments.random() < 0.1:
                    assert await job.result(timeout=30) == 1
                ids.append(job.id)
            return ids

    async with Client(redis_url) as client:
        cutting = asyncio.create_task(cut())
        enqueued = await asyncio.gather(*(use() for _ in range(CLIENTS)))
        ids = [job_id for part in enqueued for job_id in part]
        await all_succeeded(client, ids)
        cutting.cancel()
        assert cuts > 20
        assert ledger.runs() == dict.fromkeys(ids, 1)
        assert await events_of(client, ids) == {job_id: [] for job_id in ids}
        assert (await client.stats()).totals["succeeded"] == len(ids)
    for worker in workers:
        assert worker.stop() == 0
