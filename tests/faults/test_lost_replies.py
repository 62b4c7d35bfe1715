"""A request that was carried out, but whose reply was lost, is sent again and carried out once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import pytest

from asyncjobs import Client
from asyncjobs.storage.redis import scripts
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of, jobs_of, states
from tests.proxy import ThreadedProxy, script_sha
from tests.servers import Server
from tests.waiting import eventually, eventually_sync

LEASE = 3
ROUNDS = 4
SHA = scripts.EXCHANGE.sha


@pytest.mark.parametrize("in_a_row", [1, 4])
@pytest.mark.parametrize("patience", [10, 0.01], ids=["sent again below", "sent again by the worker's loop"])
async def test_of_an_exchange(
    redis_url: str,
    proxy: ThreadedProxy,
    start_worker: WorkerFactory,
    ledger: Ledger,
    in_a_row: int,
    patience: float,
):
    async with Client(redis_url) as client:
        worker = start_worker(proxy.url, lease=LEASE, concurrency=20, patience=patience)
        ids: list[str] = []
        for _ in range(ROUNDS):
            fault = proxy.drop_reply(SHA, times=in_a_row)
            calls = [counted.brief.call(0.01) for _ in range(30)]
            ids += [job.id for job in await client.enqueue_many(calls)]
            await eventually(lambda fault=fault: fault.hits == in_a_row, 30)
            await all_succeeded(client, ids)
        assert ledger.runs() == dict.fromkeys(ids, 1)
        assert await events_of(client, ids) == {job_id: [] for job_id in ids}
        assert {job.attempt for job in await jobs_of(client, ids)} == {1}
        assert [entry.running for entry in await client.workers()] == [0]
        assert "doesn't know of" not in worker.log
        assert worker.stop() == 0


async def test_of_an_exchange_whose_worker_then_dies(
    server: Server, start_worker: WorkerFactory, ledger: Ledger
):
    """What it granted is nobody's yet but the dead one's; it comes back when the lease has run out."""
    async with Client(server.url) as client:
        with ThreadedProxy(server.port) as proxy:
            worker = start_worker(proxy.url, lease=LEASE)
            fault = proxy.drop_reply(SHA, times=1000)
            jobs = await client.enqueue_many(counted.brief.call() for _ in range(10))
            ids = [job.id for job in jobs]
            await eventually(lambda: fault.hits > 1)
            worker.kill()
        assert await states(client, ids) == {"processing": 10}
        start_worker(server.url, lease=LEASE)
        await all_succeeded(client, ids)
        assert ledger.runs() == dict.fromkeys(ids, 1)
        assert await events_of(client, ids) == {job_id: ["recovered"] for job_id in ids}


async def test_of_a_registration_and_of_reaping(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url) as client:
        dead = start_worker(redis_url, lease=LEASE)
        jobs = await client.enqueue_many(counted.gated_at_first.call("never") for _ in range(20))
        ids = [job.id for job in jobs]
        await eventually(lambda: len(ledger.runs()) == len(ids))
        lost = [proxy.drop_reply(script.sha, times=2) for script in (scripts.REGISTER, scripts.REAP)]
        worker = start_worker(proxy.url, lease=LEASE)
        dead.kill()
        await all_succeeded(client, ids)
        assert [fault.hits for fault in lost] == [2, 2]
        assert await events_of(client, ids) == {job_id: ["recovered"] for job_id in ids}
        assert ledger.runs() == dict.fromkeys(ids, 2)
        assert [entry.id for entry in await client.workers()] == [worker.id]


async def test_of_a_create(redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger):
    async with Client(proxy.url) as through, Client(redis_url) as client:
        start_worker(redis_url, lease=LEASE)
        fault = proxy.drop_reply(scripts.CREATE.sha, times=3)
        lone = await through.enqueue(counted.brief)
        together = await asyncio.gather(*(through.enqueue(counted.brief) for _ in range(20)))
        fault = proxy.drop_reply(scripts.CREATE.sha, times=3)
        many = await through.enqueue_many(counted.brief.call() for _ in range(600))
        assert fault.hits == 3
        fault = proxy.drop_reply(scripts.CREATE.sha, times=2)
        later = await through.enqueue_in(0.2, counted.brief)
        assert fault.hits == 2
        ids = [job.id for job in (lone, *together, *many, later)]
        await all_succeeded(client, ids)
        assert ledger.runs() == dict.fromkeys(ids, 1)
        assert sum((await client.stats()).counts.values()) == len(ids)


async def test_of_a_create_whose_job_has_gone_meanwhile(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(proxy.url) as through, Client(redis_url) as client:
        start_worker(redis_url, lease=LEASE)
        with unanswered(proxy, scripts.CREATE.sha):
            enqueueing = asyncio.create_task(through.enqueue(counted.brief.options(retention=0)))
            await eventually(lambda: len(ledger.ends()) == 1)
            await eventually(lambda: ended(client, 1), because="it has ended and is removed")
        job = await enqueueing
        await seen_by_worker(client)
        assert ledger.runs() == {job.id: 1}
        assert await client.get(job.id) is None


async def test_of_a_cancel(redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger):
    async with Client(proxy.url) as through, Client(redis_url) as client:
        start_worker(redis_url, lease=LEASE)
        job = await client.enqueue(counted.gated, "never")
        await eventually(lambda: ledger.runs()[job.id] == 1)
        with unanswered(proxy, scripts.CANCEL.sha):
            cancelling = asyncio.create_task(through.cancel(job.id))
            await eventually(lambda: ended(client, 1), because="it has ended as cancelled")
            # Sent again, the cancel must not hit what came after it.
            await client.requeue(job.id)
            await eventually(lambda: ledger.runs()[job.id] == 2)
        assert await cancelling
        ledger.open_gate("never")
        await all_succeeded(client, [job.id])
        assert [entry.event for entry in await job.history()] == ["cancelled", "requeued"]


async def test_of_a_requeue(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(proxy.url) as through, Client(redis_url) as client:
        start_worker(redis_url, lease=LEASE)
        job = await client.enqueue(counted.failing)
        await eventually(lambda: ended(client, 1))
        with unanswered(proxy, scripts.REQUEUE.sha):
            requeueing = asyncio.create_task(through.requeue(job.id))
            await eventually(lambda: failures(client, 2), because="it has run and failed again")
        await requeueing
        await seen_by_worker(client)
        assert ledger.runs() == {job.id: 2}
        assert [entry.event for entry in await job.history()] == ["failed", "requeued", "failed"]


@contextlib.contextmanager
def unanswered(proxy: ThreadedProxy, sha: str) -> Iterator[None]:
    """Let a script run once, but let neither its reply nor anything sent again through until the end."""
    ran = proxy.drop_reply(sha)
    proxy.drop_request(lambda request: ran.remaining == 0 and script_sha(request) == sha, times=10**9)
    yield
    eventually_sync(lambda: ran.hits == 1, because="its one reply has come as far as the proxy")
    proxy.heal()


async def ended(client: Client, count: int) -> bool:
    totals = (await client.stats()).totals
    return sum(totals[state] for state in ("succeeded", "failed", "cancelled")) == count


async def failures(client: Client, count: int) -> bool:
    return (await client.stats()).totals["failed"] == count


async def seen_by_worker(client: Client) -> None:
    """Wait until a job that was enqueued now has run: all that came before it would have, too."""
    await (await client.enqueue(counted.silent)).result(timeout=20)
