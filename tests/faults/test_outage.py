"""Redis stands still for longer than every lease: no running job is taken away from its worker."""

from __future__ import annotations

from asyncjobs import Client
from tests.conftest import ServerFactory
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of, passed
from tests.waiting import eventually

LEASE = 3
WORKERS = 3
JOBS = 30


async def test_no_running_job_is_taken_away(
    own_server: ServerFactory, start_worker: WorkerFactory, ledger: Ledger
):
    server = own_server()
    async with Client(server.url) as client:
        workers = [start_worker(server.url, lease=LEASE, concurrency=JOBS // WORKERS) for _ in range(WORKERS)]
        jobs = [await client.enqueue(counted.gated, f"gate{number % 2}") for number in range(JOBS)]
        await eventually(lambda: len(ledger.runs()) == JOBS)
        server.pause()
        # By then every lease has run out.
        await passed(LEASE + 2)
        # Half of them end while nobody can be told, the others later.
        ledger.open_gate("gate0")
        await eventually(lambda: len(ledger.ends()) == JOBS // 2)
        server.resume()
        late = await client.enqueue(counted.brief)
        await late.result(timeout=30)
        ledger.open_gate("gate1")

        ids = [job.id for job in jobs]
        await all_succeeded(client, [*ids, late.id])
        assert await events_of(client, ids) == {job_id: [] for job_id in ids}
        assert ledger.runs() == dict.fromkeys([*ids, late.id], 1)
        assert {worker.id for worker in workers} == {worker.id for worker in await client.workers()}
