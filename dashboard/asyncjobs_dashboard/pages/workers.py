"""The workers: what each is doing and how it is; and having one take no new jobs, or stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web

from asyncjobs.clock import to_datetime
from asyncjobs.errors import JobNotFound
from asyncjobs.monitoring import WorkerInfo
from asyncjobs.storage.base import JobRecord
from asyncjobs_dashboard.alerts import LAG, SILENT
from asyncjobs_dashboard.pages.jobs import whole_number
from asyncjobs_dashboard.pages.overview import SHARES, timing
from asyncjobs_dashboard.payloads import in_one_line
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP

PAGE = 100
"""Workers on one page."""
MOST_JOBS = 100
"""Jobs of one worker that are listed."""
MOST_OTHERS = 5
"""Workers that are named instead of one that is gone."""
LONGEST = 200
"""Characters of what is looked for."""
DONE = {
    "quiet": "The worker is told to take no new jobs.",
    "stop": "The worker is told to stop.",
}


@dataclass(frozen=True, slots=True)
class Running:
    """A job that a worker runs."""

    job: JobRecord
    arguments: str
    took: timedelta


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong with a worker."""

    stalls: bool
    """Its event loop is held up."""
    silent: bool
    """Nothing has been heard of it for long."""

    @classmethod
    def of(cls, worker: WorkerInfo, now: datetime) -> Condition:
        """As the alerts see it."""
        return cls(worker.loop_lag >= LAG, worker.lease_ends_at - now < SILENT)


async def workers(request: web.Request) -> web.Response:
    """A page of them, out of the numbers that all pages share."""
    snapshot = await request.app[SETUP].live.snapshot()
    known, now = snapshot.workers, snapshot.stats.now
    word, queue = (request.query.get(name, "").strip()[:LONGEST] for name in ("q", "queue"))
    found = [
        worker
        for worker in known
        if matches(worker, word) and (not queue or (queue in worker.queues and not worker.quiet))
    ]
    found.sort(key=lambda worker: (worker.host, worker.pid, worker.id))
    offset = whole_number(request.query.get("from", ""), 0, 10**9)
    return await page(
        request,
        "workers.html",
        section="workers",
        rows=[(worker, Condition.of(worker, now)) for worker in found[offset : offset + PAGE]],
        found=len(found),
        known=len(known),
        running=sum(worker.running for worker in found),
        slots=sum(worker.concurrency for worker in found),
        quiet=sum(worker.quiet for worker in found),
        word=word,
        queue=queue,
        base={name: value for name, value in (("q", word), ("queue", queue)) if value},
        offset=offset,
        size=PAGE,
    )


async def worker(request: web.Request) -> web.Response:
    """One of them, with the jobs that it runs."""
    setup = request.app[SETUP]
    snapshot = await setup.live.snapshot()
    worker_id = request.match_info["id"]
    info = next((each for each in snapshot.workers if each.id == worker_id), None)
    if info is None:
        return await _gone(request, worker_id, snapshot.workers)
    jobs = await setup.client.held(worker_id, limit=MOST_JOBS)
    now = snapshot.stats.now
    running = [
        Running(job, in_one_line(setup.client, job), now - to_datetime(job.started_ms))
        for job in sorted(jobs, key=lambda job: job.started_ms)
    ]
    return await page(
        request,
        "worker.html",
        section="workers",
        worker=info,
        condition=Condition.of(info, now),
        jobs=running,
        timings=[timing("waiting", info.waits), timing("running", info.runs)],
        shares=SHARES,
        said=DONE.get(request.query.get("done", ""), ""),
    )


async def act(request: web.Request) -> web.Response:
    """Tell one to be quiet or to stop, and go back to its page."""
    setup = request.app[SETUP]
    worker_id, action = request.match_info["id"], request.match_info["action"]
    try:
        await setup.client.command(worker_id, action)
    except JobNotFound:
        return await _gone(request, worker_id, (await setup.live.snapshot()).workers)
    setup.live.outdate()
    raise see_other(request, "worker", {"done": action}, id=worker_id)


def matches(worker: WorkerInfo, word: str) -> bool:
    """Whether a part of its id, its host, or `host:pid` is what is looked for."""
    return word.lower() in f"{worker.id} {worker.host}:{worker.pid}".lower()


async def _gone(request: web.Request, worker_id: str, workers: Sequence[WorkerInfo]) -> web.Response:
    # Ids are host, process and incarnation: what was taken for dead goes on under another one.
    process = worker_id.rpartition("-")[0]
    host = process.rpartition("-")[0]
    successor = next((each for each in workers if process and each.id.rpartition("-")[0] == process), None)
    others = [each for each in workers if host and each.id.startswith(f"{host}-") and each is not successor]
    response = await page(
        request,
        "worker_gone.html",
        section="workers",
        status=404,
        worker_id=worker_id,
        successor=successor,
        others=others[:MOST_OTHERS],
        host=host,
    )
    # A page that was open refreshes a part of itself: what it shows isn't so any more, so load all of it.
    if request.headers.get("HX-Request") == "true":
        response.headers["HX-Refresh"] = "true"
    return response
