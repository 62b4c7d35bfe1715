"""What came of the demo, out of its jobs' results and records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncjobs.demo.jobs import Analysis
from asyncjobs.demo.plan import Task
from asyncjobs.job import Job


@dataclass(frozen=True, slots=True)
class Done:
    """A file's job that has succeeded."""

    task: Task
    job: Job[Analysis]
    analysis: Analysis

    @property
    def ran_once(self) -> bool:
        """It neither failed nor was recovered, so its times are those of its only attempt."""
        return self.job.attempt == 1

    @property
    def waited_ms(self) -> float:
        """From when it was enqueued until it began; if it was delayed, from when it was due."""
        record = self.job.record
        if self.task.delay:
            return record.started_ms - (record.created_ms + self.task.delay * 1000)
        return record.started_ms - record.enqueued_ms


@dataclass(frozen=True, slots=True)
class Recovery:
    """A worker that was killed, and what became of the jobs it was running."""

    worker: str
    pid: int
    back_ms: tuple[float, ...]
    """For each of its jobs: after how long it was back in its queue."""
    again_ms: tuple[float, ...]
    """For each of them that didn't fail later on: after how long it was running again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that the report says."""

    done: list[Done]
    seconds: float
    """From the first `enqueue` to the last result."""
    idle_ms: list[float]
    """From before `enqueue` was called until the job ran, for jobs given to idle workers one by one."""
    recovery: Recovery | None

    @property
    def retries(self) -> int:
        """Attempts that failed, each of which was followed by another."""
        return sum(done.job.failures for done in self.done)

    @property
    def waited_ms(self) -> list[float]:
        """How long the jobs that were enqueued at once have waited, those that ran once."""
        return [done.waited_ms for done in self.done if done.ran_once and not done.task.delay]

    @property
    def late_ms(self) -> list[float]:
        """How late the delayed jobs began, those that ran once."""
        return [done.waited_ms for done in self.done if done.ran_once and done.task.delay]


def check_exact(tasks: Sequence[Task], done: Sequence[Done]) -> None:
    """Raise `AssertionError` unless every task is there once, after as many failures as it was to have."""
    expected = Counter(task.path for task in tasks)
    reported = Counter(one.analysis.path for one in done)
    if reported != expected:
        missing, extra = sorted((expected - reported).elements()), sorted((reported - expected).elements())
        raise AssertionError(f"the report isn't exact: missing {missing}, too many of {extra}")
    for one in done:
        if one.job.failures != one.task.failures or one.analysis.path != one.task.path:
            raise AssertionError(
                f"{one.task} has {one.job.failures} failures and the result of {one.analysis.path}"
            )


async def recovery_of(worker: str, pid: int, killed_at: datetime, done: Sequence[Done]) -> Recovery:
    """What the histories of the jobs say of the worker's death."""
    killed_ms = killed_at.timestamp() * 1000
    back: list[float] = []
    again: list[float] = []
    for one in done:
        if not one.job.recoveries:
            continue
        history = await one.job.history()
        taken = [entry for entry in history if entry.event == "recovered" and entry.worker == worker]
        back += [entry.at_ms - killed_ms for entry in taken]
        if taken and history[-1] is taken[-1]:
            again.append(one.job.record.started_ms - killed_ms)
    return Recovery(worker, pid, tuple(back), tuple(again))


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least `part` (0 to 1) of them don't exceed. There must be one."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]
