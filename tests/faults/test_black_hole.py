"""A network that swallows everything: leases hold as long as they say, and all go on when it is back."""

from __future__ import annotations

import time

from asyncjobs import Client
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of, passed
from tests.proxy import ThreadedProxy
from tests.waiting import eventually

LEASE = 3
JOBS = 20


async def test_around_one_worker(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url, registry=counted.registry) as client:
        cut_off = start_worker(proxy.url, lease=LEASE)
        jobs = await client.enqueue_many(counted.gated_at_first.call("gate") for _ in range(JOBS))
        ids = [job.id for job in jobs]
        await eventually(lambda: len(ledger.runs()) == JOBS)
        other = start_worker(redis_url, lease=LEASE)
        proxy.black_hole()
        began = time.time()
        # They end on the one that can't say so, before the other may have them.
        ledger.open_gate("gate")
        await eventually(lambda: len(ledger.ends()) == JOBS)
        await all_succeeded(client, ids)
        for job in jobs:
            (entry,) = await job.history()
            assert (entry.event, entry.worker) == ("recovered", cut_off.id)
            assert LEASE - 1.5 <= entry.at_ms / 1000 - began <= LEASE + 1.5
            assert await job.result() == 2
        proxy.black_hole(False)

        await eventually(lambda: f"{cut_off.id} lost its lease" in cut_off.log, 30)
        other.stop()
        late = await client.enqueue(counted.brief)
        assert await late.result(timeout=30) == 1
        assert (await client.stats()).totals["succeeded"] == JOBS + 1
        assert [await job.result() for job in jobs] == [2] * JOBS


async def test_around_all_of_them(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
):
    """Nobody can renew, and nobody takes anything away."""
    async with Client(redis_url) as client:
        workers = [start_worker(proxy.url, lease=LEASE) for _ in range(2)]
        jobs = await client.enqueue_many(counted.gated.call("gate") for _ in range(JOBS))
        ids = [job.id for job in jobs]
        await eventually(lambda: len(ledger.runs()) == JOBS)
        proxy.black_hole()
        ledger.open_gate("gate")
        await passed(LEASE + 2)
        proxy.black_hole(False)
        await all_succeeded(client, ids)
        assert ledger.runs() == dict.fromkeys(ids, 1)
        assert await events_of(client, ids) == {job_id: [] for job_id in ids}
        assert {entry.id for entry in await client.workers()} == {worker.id for worker in workers}


async def test_connections_that_died_without_a_word(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
):
    """As a firewall leaves them: nothing sent on them ever arrives, new ones work."""
    async with Client(redis_url) as client:
        worker = start_worker(proxy.url)
        running = await client.enqueue(counted.gated, "gate")
        await eventually(lambda: len(ledger.runs()) == 1)
        await eventually(lambda: sum(link.open for link in proxy.connections) >= 3)
        assert proxy.half_open() >= 3
        ledger.open_gate("gate")
        late = await client.enqueue(counted.brief)
        await all_succeeded(client, [running.id, late.id])
        assert await events_of(client, [running.id, late.id]) == {running.id: [], late.id: []}
        assert ledger.runs() == {running.id: 1, late.id: 1}
        assert [entry.id for entry in await client.workers()] == [worker.id]
