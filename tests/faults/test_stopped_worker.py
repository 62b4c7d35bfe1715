"""A worker that stood still past its lease changes nothing of jobs that others have, and works on."""

from __future__ import annotations

import functools
import re
from datetime import timedelta

from asyncjobs import Client
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of, passed, renewed
from tests.waiting import eventually

LEASE = 3
JOBS = 5
DROPPED = re.compile(r"(\S+) lost its lease: \d+ running jobs are stopped and (\d+) outcomes dropped")


async def test_its_late_finish_is_refused(redis_url: str, start_worker: WorkerFactory, ledger: Ledger):
    async with Client(redis_url, registry=counted.registry) as client:
        stopped = start_worker(redis_url, lease=LEASE)
        calls = [counted.gated_at_first.call("first") for _ in range(JOBS)]
        jobs = await client.enqueue_many([*calls, counted.holding_at_first.call("first")])
        await eventually(lambda: len(ledger.runs()) == len(jobs))
        stopped.pause()
        other = start_worker(redis_url, lease=LEASE)
        assert [await job.result(timeout=30) for job in jobs] == [2] * len(jobs)

        # The one that holds the event loop ends for certain before anybody can tell it that it is too late.
        ledger.open_gate("first")
        stopped.resume()
        await eventually(lambda: DROPPED.search(stopped.log))
        dropped = DROPPED.search(stopped.log)
        assert dropped is not None
        assert dropped[1] == stopped.id
        assert int(dropped[2]) >= 1
        assert len(ledger.lines("end", jobs[-1].id)) == 2
        for job in jobs:
            await job.refresh()
            assert (job.state, job.worker, await job.result()) == ("succeeded", other.id, 2)
            history = [(entry.event, entry.worker) for entry in await job.history()]
            assert history == [("recovered", stopped.id)]
        assert (await client.stats()).totals["succeeded"] == len(jobs)

        # It goes on under a new id.
        other.stop()
        job = await client.enqueue(counted.brief)
        assert await job.result(timeout=30) == 1
        assert (await job.refresh()).worker not in ("", stopped.id, other.id)
        assert stopped.alive


async def test_all_stopped_at_once_keep_their_jobs(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    """Nobody could renew, so nobody is to blame: as a virtual machine that is suspended and goes on."""
    async with Client(redis_url, registry=counted.registry) as client:
        workers = [start_worker(redis_url, lease=LEASE, concurrency=JOBS) for _ in range(2)]
        jobs = [await client.enqueue(counted.gated, "gate") for _ in range(2 * JOBS)]
        await eventually(lambda: len(ledger.runs()) == 2 * JOBS)
        for worker in workers:
            worker.pause()
        assert len({line.pid for line in ledger.lines()}) == len(workers), "both run some"

        async def stale() -> bool:
            then = (await client.stats()).now - timedelta(seconds=1)
            return all(worker.lease_ends_at < then for worker in await client.workers())

        await eventually(stale, because="their leases have run out")
        # One goes on before the other, and sees that the other's lease has run out.
        workers[0].resume()
        await eventually(functools.partial(renewed, client, workers[0].id))
        await passed(LEASE / 2)
        workers[1].resume()
        ledger.open_gate("gate")
        await all_succeeded(client, [job.id for job in jobs])
        runs = ledger.runs()
        assert runs == dict.fromkeys((job.id for job in jobs), 1)
        assert await events_of(client, runs) == {job_id: [] for job_id in runs}
