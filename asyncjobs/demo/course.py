"""What the demo does with its server and workers, from the first look at them to the last result."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncjobs.client import Client
from asyncjobs.demo.display import Display, Progress
from asyncjobs.demo.jobs import ON_TIME, QUEUES, Analysis, analyse, ping
from asyncjobs.demo.outcome import Done, Outcome, check_exact, recovery_of
from asyncjobs.demo.plan import Task
from asyncjobs.demo.workers import WorkerProcesses
from asyncjobs.errors import AsyncjobsError
from asyncjobs.job import Job
from asyncjobs.storage.base import State
from asyncjobs.worker.maintenance import reap_once

PINGS = 200
KILL_AT = 1 / 3
"""Part of the results that are there when a worker is killed."""
PAUSE = 0.02
"""Seconds between two looks at what nobody tells of."""
COUNTS_EVERY = 0.25


class DemoError(AsyncjobsError):
    """The demo can't go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Killed:
    """A worker that was killed."""

    worker: str
    pid: int
    at: datetime
    """By the storage's clock."""


async def clean(client: Client) -> None:
    """Remove what an earlier demo has left in its namespace.

    Raises `DemoError` if another one is at work there.
    """
    async with client:
        now = (await client.stats()).now
        for worker in await client.workers():
            if worker.lease_ends_at > now:
                raise DemoError(
                    f"worker {worker.id} is at work in the demo's namespace: wait until that demo has ended "
                    "(if it was killed, ten seconds)"
                )
            await reap_once(client.storage, 0, worker.id)
        for queue in QUEUES:
            await client.purge(queue)
        for state in (State.SCHEDULED, State.RETRYING, State.SUCCEEDED, State.FAILED, State.CANCELLED):
            await client.clear(state)


class Course:
    """One run of the demo."""

    def __init__(
        self,
        client: Client,
        tasks: Sequence[Task],
        workers: WorkerProcesses,
        processes: int,
        display: Display,
    ) -> None:
        self._client = client
        self._tasks = tasks
        self._workers = workers
        self._processes = processes
        self._display = display
        self._done: list[Done] = []
        self._time_to_kill = asyncio.Event()

    async def run(self, *, kill: bool) -> Outcome:
        """Enqueue a job a task, and wait for the result of each."""
        async with self._client:
            await self._all_serve()
            idle = [await self._ping() for _ in range(PINGS)]
            with self._display.progress(len(self._tasks)) as progress:
                began = time.monotonic()
                jobs = await self._enqueue()
                killed = await self._results(jobs, progress, kill=kill)
                seconds = time.monotonic() - began
            check_exact(self._tasks, self._done)
            recovery = await recovery_of(killed.worker, killed.pid, killed.at, self._done) if killed else None
            return Outcome(self._done, seconds, idle, recovery)

    async def _all_serve(self) -> None:
        while len(await self._client.workers()) < self._processes:
            await asyncio.sleep(PAUSE)

    async def _ping(self) -> float:
        """Milliseconds from here until the job ran. Workers on this machine have the same clock."""
        before = time.time()
        job = await self._client.enqueue(ping)
        return (await job.result() - before) * 1000

    async def _enqueue(self) -> list[tuple[Task, Job[Analysis]]]:
        delayed = [task for task in self._tasks if task.delay]
        at_once = [task for task in self._tasks if not task.delay]
        first = analyse.options(queue=ON_TIME)
        later = await asyncio.gather(
            *(self._client.enqueue_in(t.delay, first.call(t.path, failures=t.failures)) for t in delayed)
        )
        now = await self._client.enqueue_many(analyse.call(t.path, failures=t.failures) for t in at_once)
        return [*zip(delayed, later, strict=True), *zip(at_once, now, strict=True)]

    async def _results(
        self, jobs: Sequence[tuple[Task, Job[Analysis]]], progress: Progress, *, kill: bool
    ) -> Killed | None:
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._show_counts(progress))
                killing = group.create_task(self._kill_one(progress)) if kill else None
                await asyncio.wait(
                    [group.create_task(self._result(task, job, progress)) for task, job in jobs]
                )
                watching.cancel()
        except BaseExceptionGroup as errors:
            # One is enough to end it, and reads better alone.
            raise errors.exceptions[0] from None
        return killing.result() if killing else None

    async def _result(self, task: Task, job: Job[Analysis], progress: Progress) -> None:
        analysis = await job.result()
        self._done.append(Done(task, job, analysis))
        progress.advance(analysis.path)
        if len(self._done) >= len(self._tasks) * KILL_AT:
            self._time_to_kill.set()

    async def _show_counts(self, progress: Progress) -> None:
        while progress.is_live:
            progress.show((await self._client.stats()).counts)
            await asyncio.sleep(COUNTS_EVERY)

    async def _kill_one(self, progress: Progress) -> Killed:
        """Kill the worker that has most to do, with the signal that nothing can be done about."""
        await self._time_to_kill.wait()
        while True:
            ours = [worker for worker in await self._client.workers() if worker.pid in self._workers.pids]
            victim = max(ours, key=lambda worker: worker.running, default=None)
            now = (await self._client.stats()).now
            if victim is not None and victim.running:
                os.kill(victim.pid, signal.SIGKILL)
                self._display.killed(victim.pid, victim.running)
                return Killed(victim.id, victim.pid, now)
            if len(self._done) == len(self._tasks):
                raise DemoError("every job was done before a worker could be killed: run it again")
            await asyncio.sleep(PAUSE)
