"""A queue's marker may be lost with whoever took it: its jobs start soon all the same."""

from __future__ import annotations

import asyncio
import random
import time

from asyncjobs import Client, Job, Worker
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import passed
from tests.proxy import ThreadedProxy
from tests.servers import Server
from tests.waiting import eventually

SOON = 2.5
"""Seconds: one after which an exchange is made though nothing calls for it, the rest for a busy machine."""


async def starts_soon(job: Job[int], ledger: Ledger, enqueued: float) -> None:
    await eventually(lambda: ledger.lines("start", job.id), 10)
    (line,) = ledger.lines("start", job.id)
    assert line.at - enqueued <= SOON


async def test_with_the_reply(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url) as client:
        start_worker(proxy.url)
        for _ in range(5):
            fault = proxy.drop_reply(lambda request: request[0] == b"BZPOPMIN" and b"wake" in request[1])
            await eventually(
                lambda fault=fault: fault.remaining == 0, because="the worker is blocked, to no avail"
            )
            enqueued = time.time()
            job = await client.enqueue(counted.brief)
            await starts_soon(job, ledger, enqueued)
            assert fault.hits == 1


async def test_with_a_worker_that_is_cut_off(server: Server, start_worker: WorkerFactory, ledger: Ledger):
    async with Client(server.url) as client:
        with ThreadedProxy(server.port) as proxy:
            cut_off = start_worker(proxy.url)
            start_worker(server.url)
            for _ in range(8):
                await passed(0.1)
                proxy.black_hole()
                # Whoever has been blocked for the longest gets the marker: one of the two.
                enqueued = time.time()
                job = await client.enqueue(counted.brief)
                await starts_soon(job, ledger, enqueued)
                proxy.black_hole(False)
            cut_off.kill()


async def test_with_a_worker_that_stops_in_that_moment(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    async with Client(redis_url) as client:
        start_worker(redis_url, concurrency=5)
        for round_ in range(24):
            async with Client(redis_url) as own:
                worker = Worker(counted.registry, own)
                running = asyncio.create_task(worker.run())
                await worker.started.wait()
                await passed(moments.uniform(0.01, 0.05))
                # Its block is broken off just before, while, or just after the marker is put.
                if round_ % 2:
                    worker.stop()
                    await passed(moments.uniform(0, 0.02))
                    enqueued = time.monotonic()
                    job = await client.enqueue(counted.silent)
                else:
                    enqueued = time.monotonic()
                    enqueueing = asyncio.create_task(client.enqueue(counted.silent))
                    await asyncio.sleep(0)
                    worker.quiet()
                    job = await enqueueing
                await job.result(timeout=10)
                assert time.monotonic() - enqueued <= SOON
                worker.stop()
                await running
