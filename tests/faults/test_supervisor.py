"""Under the supervisor a dead worker's jobs come back at once, and nobody outlives anybody."""

from __future__ import annotations

import signal
import time

import psutil

from asyncjobs import Client
from tests.faults.apps import counted
from tests.faults.conftest import ProcessFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded, events_of
from tests.waiting import eventually

JOBS = 40
LEASE = 10
"""The default: what comes back within a second or two didn't wait for it."""
AT_ONCE = 2.0


def supervised(url: str, *options: str) -> tuple[str, ...]:
    app = "tests.faults.apps.counted:registry"
    return ("-m", "asyncjobs", "worker", app, "--redis", url, "--processes", "2", *options)


async def test_a_killed_workers_jobs_come_back_at_once(
    redis_url: str, start_process: ProcessFactory, ledger: Ledger
):
    async with Client(redis_url, registry=counted.registry) as client:
        supervisor = start_process(*supervised(redis_url, "--concurrency", str(JOBS // 2)))
        supervisor.wait_until_serving(2)
        jobs = await client.enqueue_many(counted.gated_at_first.call("gate") for _ in range(JOBS))
        await eventually(lambda: len(ledger.runs()) == JOBS)
        victim = next(worker for worker in await client.workers())
        killed_at = time.time()
        psutil.Process(victim.pid).kill()
        # One at a time on the worker that is left, and on the one that comes in its place.
        await eventually(lambda: len(ledger.ends()) == JOBS // 2)
        ledger.open_gate("gate")
        await all_succeeded(client, [job.id for job in jobs])
        histories = [await job.history() for job in jobs]
        recovered = [entry for history in histories for entry in history]
        assert [entry.event for entry in recovered] == ["recovered"] * (JOBS // 2)
        assert {entry.worker for entry in recovered} == {victim.id}
        assert max(entry.at_ms for entry in recovered) / 1000 - killed_at < AT_ONCE < LEASE
        await eventually(lambda: len(supervisor.ids) == 3, because="another worker is in its place")
        assert supervisor.stop() == 0


async def test_a_deadly_job_ends_alone(redis_url: str, start_process: ProcessFactory, ledger: Ledger):
    async with Client(redis_url) as client:
        supervisor = start_process(*supervised(redis_url))
        supervisor.wait_until_serving(2)
        deadly = await client.enqueue(counted.deadly)
        beside = await client.enqueue_many(counted.slow_at_first.call(0.5) for _ in range(JOBS))
        await eventually(lambda: failed(client), 30)
        assert [entry.event for entry in await deadly.history()] == ["recovered"] * 3 + ["poisoned"]
        await eventually(lambda: len(ledger.ends()) == JOBS, 30)
        assert (await client.stats()).totals["succeeded"] == JOBS
        assert set(map(tuple, (await events_of(client, [job.id for job in beside])).values())) <= {
            (),
            ("recovered",),
        }
        assert supervisor.stop() == 0


async def failed(client: Client) -> bool:
    return await client.count("failed") == 1


async def test_its_workers_end_when_it_is_killed(
    redis_url: str, start_process: ProcessFactory, ledger: Ledger
):
    async with Client(redis_url) as client:
        supervisor = start_process(*supervised(redis_url, "--grace", "0.1"))
        supervisor.wait_until_serving(2)
        job = await client.enqueue(counted.gated, "never")
        await eventually(lambda: ledger.runs()[job.id] == 1)
        children = psutil.Process(supervisor.pid).children(recursive=True)
        assert len(children) >= 2
        supervisor.kill()
        await eventually(lambda: not any(child.is_running() for child in children), because="no orphans")
        assert await client.workers() == []
        assert (await job.refresh()).state == "enqueued"
        assert [entry.event for entry in await job.history()] == ["released"]


async def test_it_ends_over_code_that_never_stops(
    redis_url: str, start_process: ProcessFactory, ledger: Ledger
):
    async with Client(redis_url) as client:
        supervisor = start_process(*supervised(redis_url, "--grace", "0.1"))
        supervisor.wait_until_serving(2)
        job = await client.enqueue(counted.holding_at_first, "never")
        await eventually(lambda: ledger.runs()[job.id] == 1)
        supervisor.signal(signal.SIGTERM)
        await eventually(lambda: not supervisor.alive, 30)
        assert supervisor.process.returncode != 0, "it had to be killed"
