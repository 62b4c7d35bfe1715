"""Worker processes that are supervised from a thread, as the demo has them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil

from asyncjobs import Client, Job
from asyncjobs.demo.workers import WorkerProcesses
from asyncjobs.worker.settings import WorkerSettings
from tests.demo.waiting_jobs import registry, wait_for
from tests.waiting import eventually

LEASE = 60.0


def settings(url: str, target: str = "tests.demo.waiting_jobs:registry") -> WorkerSettings:
    return WorkerSettings(target=target, url=url, lease=LEASE, grace=0.5, log_level="ERROR")


async def worker_of(client: Client, job: Job[str]) -> int:
    """The process id of the worker that runs a job."""

    async def running() -> bool:
        await job.refresh()
        return job.state == "processing"

    await eventually(running)
    return next(worker.pid for worker in await client.workers() if worker.id == job.worker)


async def test_jobs_of_a_killed_worker_come_back_though_the_process_they_ran_in_lives_on(
    redis_url: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    async with Client(redis_url, registry=registry) as client:
        with WorkerProcesses(settings(redis_url), 2) as workers:
            job = await client.enqueue(wait_for, str(gate))
            pid = await worker_of(client, job)
            assert pid in workers.pids
            orphans = await eventually(lambda: psutil.Process(pid).children(recursive=True))
            os.kill(pid, signal.SIGKILL)

            async def recovered() -> bool:
                return (await job.refresh()).recoveries == 1

            await eventually(recovered, LEASE / 10)
            assert any(orphan.is_running() for orphan in orphans)
            gate.touch()
            assert await job.result(10) == str(gate)

            async def replaced() -> bool:
                return sorted(worker.pid for worker in await client.workers()) == sorted(workers.pids) != []

            await eventually(replaced)
            assert len(workers.pids) == 2
            assert pid not in workers.pids
        assert workers.ended.result(0) == 0
        assert await client.workers() == []


async def test_a_job_that_does_not_end_does_not_keep_the_block_from_ending(
    redis_url: str, tmp_path: Path
) -> None:
    async with Client(redis_url, registry=registry) as client:
        with WorkerProcesses(settings(redis_url), 1) as workers:
            job = await client.enqueue(wait_for, str(tmp_path / "never"))
            await worker_of(client, job)
            began = time.monotonic()
        assert time.monotonic() - began < 10
        assert workers.pids == []
        assert (await job.refresh()).state == "enqueued"


async def test_stopped_while_they_start_they_end_in_order(redis_url: str) -> None:
    with WorkerProcesses(settings(redis_url), 2) as workers:
        await eventually(lambda: len(workers.pids) == 2)
    assert workers.ended.result(0) == 0


async def test_their_end_is_told_when_nothing_can_be_run(redis_url: str) -> None:
    with WorkerProcesses(settings(redis_url, "tests.demo.absent:registry"), 2) as workers:
        assert workers.ended.result(20) == 4
