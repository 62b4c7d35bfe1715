"""Redis stands still for longer than every lease: no running job is taken away from its worker."""

from __future__ import annotations

import functools

from asyncjobs import Client
from tests.conftest import ServerFactory
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of, passed, renewed
from tests.proxy import ThreadedProxy
from tests.waiting import eventually

LEASE = 3
JOBS = 30


async def test_no_running_job_is_taken_away(
    own_server: ServerFactory, start_worker: WorkerFactory, ledger: Ledger
):
    server = own_server()
    with ThreadedProxy(server.port) as proxy:
        async with Client(server.url) as client:
            urls = [server.url, proxy.url, proxy.url]
            workers = [start_worker(url, lease=LEASE, concurrency=JOBS // len(urls)) for url in urls]
            jobs = [await client.enqueue(counted.gated, f"gate{number % 2}") for number in range(JOBS)]
            await eventually(lambda: len(ledger.runs()) == JOBS)
            proxy.black_hole()
            server.pause()
            # By then every lease has run out.
            await passed(LEASE + 1)
            # Half of them end while nobody can be told, the others later.
            ledger.open_gate("gate0")
            await eventually(lambda: len(ledger.ends()) == JOBS // 2)
            server.resume()
            # One is back before the others, and sees that their leases have run out.
            await eventually(functools.partial(renewed, client, workers[0].id))
            await passed(LEASE / 2)
            proxy.black_hole(False)
            late = await client.enqueue(counted.brief)
            ledger.open_gate("gate1")

            ids = [job.id for job in jobs]
            await all_succeeded(client, [*ids, late.id])
            assert await events_of(client, ids) == {job_id: [] for job_id in ids}
            assert ledger.runs() == dict.fromkeys([*ids, late.id], 1)
            assert {worker.id for worker in workers} == {worker.id for worker in await client.workers()}
