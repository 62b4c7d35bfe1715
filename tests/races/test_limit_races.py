"""Limits that three workers race for: never exceeded, kept busy, and fair."""

from __future__ import annotations

import itertools
from collections import Counter

from asyncjobs import Client
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_succeeded
from tests.faults.overlap import limits_are_idle, most_at_once, most_by, runs_of
from tests.races import jobs
from tests.races.jobs import SLOTS, TENANT_SLOTS, registry

APP = "tests.races.jobs"
WORKERS = 3
QUEUES = ("default", "other", "third")
"""Each of them may have jobs that there is room for; all of them together may not run."""


async def test_a_mutex_of_five_keys(redis_url: str, start_worker: WorkerFactory, ledger: Ledger):
    async with Client(redis_url, registry=registry) as client:
        for _ in range(WORKERS):
            start_worker(redis_url, app=APP, queues=QUEUES, wait=False)
        calls = [
            jobs.exclusive.options(queue=QUEUES[number % 3]).call(f"key-{number % 5}")
            for number in range(200)
        ]
        made = await client.enqueue_many(calls)
        keys = {job.id: number % 5 for number, job in enumerate(made)}
        await all_succeeded(client, keys)
        runs = await runs_of(client, ledger, keys)
        assert len(runs) == len(made)
        assert most_by(runs, lambda run: keys[run.job_id]) == 1
        assert most_at_once(runs) > 1, "those of different keys run beside each other"
        await limits_are_idle(client)
        assert await client.check() == []


async def test_a_thousand_of_which_ten_run_at_once(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url, registry=registry) as client:
        workers = [start_worker(redis_url, app=APP, queues=QUEUES) for _ in range(WORKERS)]
        made = await client.enqueue_many(
            jobs.slotted.options(queue=QUEUES[number % 3]).call() for number in range(1_000)
        )
        ids = [job.id for job in made]
        await all_succeeded(client, ids)
        runs = await runs_of(client, ledger, ids)
        assert len(runs) == len(ids)
        assert most_at_once(runs) == SLOTS
        span = max(run.end for run in runs) - min(run.begin for run in runs)
        assert sum(run.end - run.begin for run in runs) / span > SLOTS / 4, "its slots are kept busy"
        assert {line.pid for line in ledger.lines()} <= {worker.pid for worker in workers}
        await limits_are_idle(client)
        assert await client.check() == []


async def test_a_tenant_with_a_flood_of_jobs_delays_no_other(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url, registry=registry) as client:
        for _ in range(WORKERS):
            start_worker(redis_url, app=APP, queues=QUEUES, concurrency=20)
        flood = [
            job.id for job in await client.enqueue_many(jobs.of_tenant.call("flood") for _ in range(800))
        ]
        others = itertools.product(range(3), range(49))
        small = await client.enqueue_many(jobs.of_tenant.call(f"tenant-{number}") for _, number in others)
        late = await client.enqueue(jobs.of_tenant, "last")
        await all_succeeded(client, [*flood, *(job.id for job in small), late.id])
        starts = [line.job_id for line in ledger.lines("start")]
        assert len(starts) == len(flood) + len(small) + 1
        of_flood = set(flood)
        last = max(place for place, job_id in enumerate(starts) if job_id not in of_flood)
        before = Counter(job_id in of_flood for job_id in starts[:last])[True]
        assert before < len(flood) / 2, "most of the flood still waited when the last of the others began"
        runs = await runs_of(client, ledger, flood)
        assert most_at_once(runs) == TENANT_SLOTS
        # Among themselves, they ran in the order in which they were made.
        order = [job_id for job_id in starts if job_id in of_flood]
        places = {job_id: place for place, job_id in enumerate(order)}
        assert (
            max(abs(places[job_id] - place) for place, job_id in enumerate(flood)) <= WORKERS * TENANT_SLOTS
        )
        await limits_are_idle(client)
        assert await client.check() == []
