"""CPU-bound jobs in processes of their own: `runs_in="process"`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from asyncjobs import Client, State, Worker
from asyncjobs.errors import JobCancelled, JobFailed
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker import crunching


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=crunching.registry) as client:
        yield client


@pytest.fixture
async def worker(client: Client) -> AsyncIterator[Worker]:
    async with Worker(crunching.registry, client, grace=1) as worker:
        yield worker


@pytest.mark.usefixtures("worker")
class TestRunning:
    async def test_it_runs_in_another_process(self, client: Client) -> None:
        assert await (await client.enqueue(crunching.where)).result(timeout=30) != os.getpid()

    async def test_a_program_that_it_starts_reads_and_writes_nothing_of_the_workers(
        self, client: Client
    ) -> None:
        assert await (await client.enqueue(crunching.starts_a_program)).result(timeout=30) == 0
        assert await (await client.enqueue(crunching.add, 1)).result(timeout=30) == (1,)

    async def test_a_timeout_begins_when_the_job_has_a_process(self, client: Client) -> None:
        # More of them than processes: the last ones wait longer than their time-out for one.
        count = 12 * (os.cpu_count() or 1)
        jobs = await client.enqueue_many(crunching.takes_its_time.call() for _ in range(count))
        assert [await job.result(timeout=60) for job in jobs] == ["done"] * count

    async def test_arguments_and_result_are_what_they_were(self, client: Client) -> None:
        assert await (await client.enqueue(crunching.add, 1, second=(2, 3))).result(timeout=30) == (1, 2, 3)

    async def test_processes_are_kept_for_the_next_job(self, client: Client) -> None:
        pids = [await (await client.enqueue(crunching.where)).result(timeout=30) for _ in range(5)]
        assert len(set(pids)) == 1

    async def test_progress_and_logs_come_from_there(self, client: Client) -> None:
        job = await client.enqueue(crunching.tell, 3)
        assert await job.result(timeout=30) == [job.id, 1, "default", True]
        assert [line.text for line in await job.logs()] == ["step 1 of 3", "step 2 of 3", "step 3 of 3"]
        assert (job.progress, job.progress_message) == (1.0, "step 3")

    async def test_also_from_a_function_that_did_not_ask_for_its_context(self, client: Client) -> None:
        for _ in range(2):
            job = await client.enqueue(crunching.tell_without_asking)
            assert await job.result(timeout=30) == job.id
            assert [line.text for line in await job.logs()] == ["from crunch.tell_without_asking"]
            assert job.progress == 0.5

    async def test_there_is_no_client_there(self, client: Client) -> None:
        assert "has no client" in await (await client.enqueue(crunching.ask_for_the_client)).result(
            timeout=30
        )

    async def test_an_error_comes_with_its_traceback(self, client: Client) -> None:
        job = await client.enqueue(crunching.fail, "plain")
        with pytest.raises(JobFailed, match="ValueError: in the child") as caught:
            await job.result(timeout=30)
        assert 'raise ValueError("in the child")' in caught.value.traceback
        assert "asyncjobs/worker" not in caught.value.traceback

    async def test_an_error_that_cannot_travel_is_told_all_the_same(self, client: Client) -> None:
        job = await client.enqueue(crunching.fail, "unportable")
        with pytest.raises(JobFailed, match="Unportable: code 3: no way back"):
            await job.result(timeout=30)

    async def test_leaving_ends_the_job_and_not_the_worker(self, client: Client) -> None:
        job = await client.enqueue(crunching.fail, "exit")
        with pytest.raises(JobFailed, match="SystemExit: 7"):
            await job.result(timeout=30)
        assert await (await client.enqueue(crunching.add, 1)).result(timeout=30) == (1,)

    async def test_a_child_that_dies_fails_its_job_and_nothing_else(self, client: Client) -> None:
        job = await client.enqueue(crunching.die)
        with pytest.raises(JobFailed, match="process that ran the job ended before the job did"):
            await job.result(timeout=30)
        assert await (await client.enqueue(crunching.add, 1)).result(timeout=30) == (1,)

    async def test_retry_later_and_snooze_mean_the_same_there(self, client: Client, tmp_path: Path) -> None:
        job = await client.enqueue(crunching.later)
        assert await job.result(timeout=30) == 2
        assert (await job.history())[0].error_message == "not yet"
        snoozed = await client.enqueue(crunching.snooze, str(tmp_path / "marker"))
        assert await snoozed.result(timeout=30) == 1

    async def test_a_result_that_cannot_be_packed_is_told(self, client: Client) -> None:
        with pytest.raises(JobFailed, match="object"):
            await (await client.enqueue(crunching.unpackable)).result(timeout=30)


class TestStopping:
    @pytest.fixture
    def pid_file(self, tmp_path: Path) -> Path:
        return tmp_path / "pid"

    async def running(self, pid_file: Path) -> psutil.Process:
        await eventually(pid_file.exists, 30)
        return psutil.Process(int(pid_file.read_text()))

    async def ended(self, process: psutil.Process) -> None:
        await eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)

    @pytest.mark.usefixtures("worker")
    async def test_cancelling_kills_the_child(self, client: Client, pid_file: Path) -> None:
        job = await client.enqueue(crunching.endless, str(pid_file))
        process = await self.running(pid_file)
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result(timeout=10)
        await self.ended(process)

    @pytest.mark.usefixtures("worker")
    async def test_so_does_its_timeout(self, client: Client, pid_file: Path) -> None:
        # A process that is there already: to start one may take longer than that on a busy machine.
        await (await client.enqueue(crunching.where)).result(timeout=30)
        job = await client.enqueue(crunching.endless.options(timeout=2), str(pid_file))
        process = await self.running(pid_file)
        with pytest.raises(JobFailed, match="timeout of 2 s"):
            await job.result(timeout=10)
        await self.ended(process)

    async def test_so_does_the_end_of_the_worker_and_the_job_goes_back(
        self, client: Client, pid_file: Path
    ) -> None:
        async with Worker(crunching.registry, client, grace=0):
            job = await client.enqueue(crunching.endless, str(pid_file))
            process = await self.running(pid_file)
        await self.ended(process)
        assert (await job.refresh()).state is State.ENQUEUED
        assert job.attempt == 0


@pytest.mark.usefixtures("worker")
async def test_a_job_with_a_process_is_processing_like_any_other(client: Client, tmp_path: Path) -> None:
    job = await client.enqueue(crunching.endless, str(tmp_path / "pid"))
    await reaches(job, State.PROCESSING)
    await job.cancel()
    await reaches(job, State.CANCELLED)
