"""Doing something to many jobs: a task of the dashboard's process, which can be watched and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from asyncjobs import Client, State
from asyncjobs.control import SWEEP
from asyncjobs.errors import AsyncjobsError, JobNotFound, JobStateError
from asyncjobs_dashboard.actions import PURGE, Action, carry_out
from asyncjobs_dashboard.listing import Filter, entered_ms, walk
from asyncjobs_dashboard.members import walk_members

logger = logging.getLogger("asyncjobs.dashboard")

AT_ONCE = 16
"""Jobs that one bulk job changes at the same time: each takes a connection."""
MOST_JOBS = 500_000
"""Jobs that one bulk job finds; it is started again for more."""
MOST_RUNNING = 4
KEPT = 20
"""Finished ones that are remembered."""
EXAMPLES = 10
"""Jobs that couldn't be changed, of which it tells why."""


class Stage(StrEnum):
    """How far a bulk job is."""

    LOOKING = "looking"
    WORKING = "working"
    DONE = "done"
    STOPPED = "stopped"
    BROKEN = "broken"
    """An error that wasn't one job's alone has ended it."""


@dataclass
class BulkJob:
    """One action on many jobs."""

    action: Action
    state: State
    wanted: Filter
    queue: str = ""
    """Where to, of a move."""
    ids: list[str] | None = None
    """The chosen jobs; None: all that match when it began."""
    batch: str = ""
    """The batch in which, or in what is nested in it, those of the state are; "": in the state's list."""
    work: Callable[[Client, BulkJob], Awaitable[None]] | None = None
    """Does all of it; None: each job is found, and the action carried out on it."""
    id: str = field(default_factory=lambda: secrets.token_hex(6))
    stage: Stage = Stage.LOOKING
    found: int = 0
    done: int = 0
    refused: int = 0
    """Jobs that were in another state by then, or gone."""
    examples: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Ids and reasons of the first that were refused."""
    truncated: bool = False
    """There were more than `MOST_JOBS`."""
    error: str = ""
    started: float = field(default_factory=time.time)
    ended: float | None = None
    task: asyncio.Task[None] | None = None

    @property
    def title(self) -> str:
        """What it does, in a few words."""
        if self.action is PURGE:
            return f"Purge queue {self.wanted.queue}"
        where = " of a batch" if self.batch else f" to {self.queue}" if self.queue else ""
        return f"{self.action.title} {self.state} jobs{where}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self.stage in (Stage.DONE, Stage.STOPPED, Stage.BROKEN)

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return (self.ended or time.time()) - self.started

    @property
    def share(self) -> float | None:
        """How much of it is done; None while it isn't known how much there is."""
        if self.stage is Stage.LOOKING:
            return None
        if self.stage is Stage.DONE:
            return 1.0
        return (self.done + self.refused) / self.found if self.found else 1.0


def purging(queue: str) -> BulkJob:
    """What deletes everything that is enqueued in a queue now."""
    return BulkJob(PURGE, State.ENQUEUED, Filter(queue=queue), work=_purge)


async def _purge(client: Client, job: BulkJob) -> None:
    """As `Client.purge` does it, but telling how far it is: not for ever, if others add as fast."""
    storage, queue = client.storage, job.wanted.queue
    job.found = (await storage.jobs(State.ENQUEUED, queue=queue, limit=0)).total
    job.stage = Stage.WORKING
    for shard in range(storage.shards):
        more = True
        while more and job.done < job.found:
            deleted, more = await storage.purge(shard, queue, min(SWEEP, job.found - job.done))
            job.done += deleted


class BulkJobs:
    """The bulk jobs of one dashboard. They end with its process; what they have done stays done."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jobs: dict[str, BulkJob] = {}

    def all(self) -> list[BulkJob]:
        """Latest first."""
        return list(reversed(self._jobs.values()))

    def get(self, bulk_id: str) -> BulkJob | None:
        """The one with that id."""
        return self._jobs.get(bulk_id)

    def start(self, job: BulkJob) -> BulkJob:
        """Begin. Raises `JobStateError` if too many are under way."""
        if sum(not known.is_over for known in self._jobs.values()) >= MOST_RUNNING:
            raise JobStateError(f"{MOST_RUNNING} bulk jobs are under way: wait for one, or stop it")
        for old in [known.id for known in self._jobs.values() if known.is_over][: -KEPT or None]:
            del self._jobs[old]
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._run(job), name=f"asyncjobs dashboard: bulk {job.action.name}")
        return job

    async def stop(self, job: BulkJob) -> None:
        """End it after the jobs that it is changing just now."""
        if job.task is not None and not job.is_over:
            job.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await job.task

    async def close(self) -> None:
        """Stop them all."""
        for job in self.all():
            await self.stop(job)

    async def _run(self, job: BulkJob) -> None:
        try:
            if job.work is not None:
                await job.work(self._client, job)
            else:
                ids = job.ids if job.ids is not None else await self._find(job)
                job.found = len(ids)
                job.stage = Stage.WORKING
                await self._change(job, ids)
            job.stage = Stage.DONE
        except asyncio.CancelledError:
            job.stage = Stage.STOPPED
        except AsyncjobsError as error:
            job.stage, job.error = Stage.BROKEN, str(error)
        except Exception:
            logger.exception("bulk job %s failed", job.id)
            job.stage, job.error = Stage.BROKEN, "an unexpected error; the log says which"
        finally:
            job.ended = time.time()
            logger.info(
                "bulk %s of %s jobs: %s, %d done, %d refused",
                *(job.action.name, job.state, job.stage, job.done, job.refused),
            )

    async def _find(self, job: BulkJob) -> list[str]:
        """All that match now: what comes later, perhaps because of this very job, isn't meant."""
        ids: dict[str, None] = {}
        source = walk_members(self._client, job.batch, job.state) if job.batch else self._listed(job)
        async with contextlib.aclosing(source) as parts:
            async for part in parts:
                ids.update(dict.fromkeys(part))
                job.found = len(ids)
                if len(ids) >= MOST_JOBS:
                    job.truncated = True
                    break
        return list(ids)

    async def _listed(self, job: BulkJob) -> AsyncGenerator[list[str], None]:
        began_ms = int((await self._client.stats()).now.timestamp() * 1000)
        async with contextlib.aclosing(walk(self._client, job.state, job.wanted)) as parts:
            async for part in parts:
                yield [
                    record.id for record in part if not job.state.is_final or entered_ms(record) <= began_ms
                ]

    async def _change(self, job: BulkJob, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for job_id in ids[start : start + AT_ONCE]:
                    group.create_task(self._change_one(job, job_id))

    async def _change_one(self, job: BulkJob, job_id: str) -> None:
        try:
            await carry_out(self._client, job.action, job_id, job.queue)
            job.done += 1
        except (JobStateError, JobNotFound) as error:
            job.refused += 1
            if len(job.examples) < EXAMPLES:
                job.examples.append((job_id, str(error)))
