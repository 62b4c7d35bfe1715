"""Workers killed with SIGKILL lose nothing, and the jobs that they were running aren't blamed for it."""

from __future__ import annotations

import functools
import random
import time

import pytest

from asyncjobs import Client
from asyncjobs.errors import JobFailed
from tests.faults.apps import counted
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_ended, all_succeeded, jobs_of, passed, running_on, states
from tests.waiting import eventually

LEASE = 3
KILLS = 20
RUNNING = 100
BACK_WITHIN = LEASE + 1.5


async def test_twenty_kills_with_a_hundred_running_jobs(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random
):
    ids: list[str] = []
    killed: set[str] = set()

    async with Client(redis_url, registry=counted.registry) as client:

        async def feed(count: int) -> None:
            calls = (counted.slow_at_first.call(moments.uniform(0.5, 3)) for _ in range(count))
            ids.extend(job.id for job in await client.enqueue_many(calls))

        start_worker(redis_url, concurrency=10, lease=LEASE)
        next_victim = start_worker(redis_url, concurrency=RUNNING, lease=LEASE)
        await feed(2 * RUNNING)
        for _ in range(KILLS):
            victim = next_victim
            next_victim = start_worker(redis_url, wait=False, concurrency=RUNNING, lease=LEASE)
            await eventually(functools.partial(full, client, victim.id), because="a hundred of its jobs run")
            await passed(moments.uniform(0, 0.7))
            killed.add(victim.id)
            victim.kill()
            await feed(RUNNING + RUNNING // 2)
            next_victim.wait_until_serving()
        start_worker(redis_url, concurrency=200, lease=LEASE)
        await all_succeeded(client, ids)

        recovered: set[str] = set()
        for job in await jobs_of(client, ids):
            history = [(entry.event, entry.worker) for entry in await job.history()]
            assert all(event == "recovered" and worker in killed for event, worker in history), history
            assert len(history) == job.recoveries == job.attempt - 1
            assert await job.result() == job.attempt
            if history:
                recovered.add(job.id)
        assert len(recovered) > KILLS * RUNNING / 2, "the kills hit running jobs"
        # A job that was granted may not have begun, and one that has ended may not have been handed in.
        runs = ledger.runs()
        assert set(runs) == set(ids)
        assert {job_id for job_id, count in runs.items() if count > 1} <= recovered
        assert (await client.stats()).totals["succeeded"] == len(ids)


async def test_recovery_begins_soon_after_the_lease(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url) as client:
        victim = start_worker(redis_url, lease=LEASE)
        jobs = await client.enqueue_many(counted.gated_at_first.call("never") for _ in range(RUNNING))
        await eventually(lambda: len(ledger.runs()) == RUNNING)
        start_worker(redis_url, lease=LEASE)
        killed_at = time.time()
        victim.kill()
        await all_succeeded(client, [job.id for job in jobs])
        histories = [await job.history() for job in jobs]
        assert [len(history) for history in histories] == [1] * RUNNING
        latest = max(history[0].at_ms for history in histories) / 1000
        assert latest - killed_at <= BACK_WITHIN


async def test_a_job_that_kills_its_worker_each_time_ends_alone(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url) as client:
        # It serves nothing, but takes back the jobs of those that die.
        start_worker(redis_url, queues=["none"], lease=LEASE)
        # One death that they were the suspect of would be too many for them.
        beside = counted.slow_at_first.options(max_recoveries=1)
        bystanders = [await client.enqueue(beside, 60) for _ in range(20)]
        deadly = await client.enqueue(counted.deadly)
        deaths = 0
        while deaths < 4:
            worker = start_worker(redis_url, wait=False, lease=LEASE)
            bystanders += [await client.enqueue(beside, 0.5) for _ in range(10)]
            await eventually(lambda worker=worker: not worker.alive, because="the job killed its worker")
            deaths += 1
            assert len(ledger.lines("start", deadly.id)) == deaths
        survivor = start_worker(redis_url, lease=LEASE)
        with pytest.raises(JobFailed, match="3 times") as failed:
            await deadly.result(timeout=20)
        assert failed.value.error_type == "WorkerDied"
        assert [entry.event for entry in await deadly.history()] == ["recovered"] * 3 + ["poisoned"]

        await all_ended(client, len(bystanders) + 1)
        assert await states(client, [job.id for job in bystanders]) == {"succeeded": len(bystanders)}
        assert survivor.alive
        assert len(ledger.lines("start", deadly.id)) == deaths, "it is over for good"


async def full(client: Client, worker_id: str) -> bool:
    return await running_on(client, worker_id) == RUNNING
