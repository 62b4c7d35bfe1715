"""A job that blocks the event loop keeps its lease, and the log says where it stands."""

from __future__ import annotations

from asyncjobs import Client
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of, passed, renewed
from tests.waiting import eventually

LEASE = 3
LONGER = 4.5


async def test_it_keeps_its_lease(redis_url: str, start_worker: WorkerFactory, ledger: Ledger):
    async with Client(redis_url, registry=counted.registry) as client:
        blocked = start_worker(redis_url, lease=LEASE, stall_timeout=0.5)
        calls = [counted.gated.call("beside"), counted.blocking.call(LONGER)]
        beside, job = await client.enqueue_many(calls)
        await eventually(lambda: len(ledger.runs()) == 2)
        # It would take the jobs back, and run them.
        start_worker(redis_url, lease=LEASE)
        # Its attempt, by which it is known that no other ran.
        assert await job.result(timeout=30) == 1
        ledger.open_gate("beside")
        await all_succeeded(client, [job.id, beside.id])
        assert await events_of(client, [job.id, beside.id]) == {job.id: [], beside.id: []}
        assert ledger.runs() == {job.id: 1, beside.id: 1}
        start, end = ledger.lines(job_id=job.id)
        assert end.at - start.at >= LONGER > LEASE

        assert "has been blocked for" in blocked.log
        assert "time.sleep(seconds)" in blocked.log, "the stack shows the line"
        assert blocked.log.count("has been blocked for") == 1
        await eventually(lambda: f"the event loop of {blocked.id} goes on" in blocked.log)


async def test_it_lets_go_of_its_lease_if_told_to(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url, registry=counted.registry) as client:
        blocked = start_worker(redis_url, lease=LEASE, stall_timeout=0.5, release_on_stall=True)
        # So long that another one takes it back in time also where it takes seconds to start.
        job = await client.enqueue(counted.blocking_at_first, LONGER + 6)
        await eventually(lambda: ledger.runs()[job.id] == 1)
        other = start_worker(redis_url, lease=LEASE)
        assert await job.result(timeout=30) == 2
        assert (await job.refresh()).worker == other.id
        assert [entry.event for entry in await job.history()] == ["recovered"]
        # Its late outcome changes nothing.
        await eventually(lambda: f"{blocked.id} lost its lease" in blocked.log, 30)
        assert await job.result() == 2

        # The loop goes on, so it keeps its next lease.
        async def registered() -> str | None:
            own = (worker.id for worker in await client.workers() if worker.pid == blocked.pid)
            return next((worker_id for worker_id in own if worker_id != blocked.id), None)

        next_id = await eventually(registered)
        assert next_id is not None
        await passed(LEASE + 1.5)
        assert await renewed(client, next_id)
