"""The queues: what waits in them and who serves them; and pausing, resuming and purging them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from asyncjobs.errors import OptionError
from asyncjobs.monitoring import QueueInfo, WorkerInfo
from asyncjobs.options import check_queue_name
from asyncjobs_dashboard.bulk import purging
from asyncjobs_dashboard.pages.jobs import whole_number
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP

PAGE = 100
"""Queues on one page: a namespace may have thousands."""
MOST_WORKERS = 3
"""Workers of each that are named."""
LONGEST = 64
"""Characters of a queue's name."""

ORDERS: dict[str, Callable[[QueueInfo], Any]] = {
    "name": lambda queue: queue.name,
    "jobs": lambda queue: (-queue.length, queue.name),
    "oldest": lambda queue: (-(queue.latency.total_seconds() if queue.latency else -1), queue.name),
}
DONE = {"pause": "is paused: no job of it starts any more", "resume": "goes on"}


@dataclass(frozen=True, slots=True)
class Row:
    """A queue, and the workers that take jobs from it."""

    queue: QueueInfo
    workers: list[WorkerInfo]

    @property
    def is_stuck(self) -> bool:
        """Whether jobs wait in it and nobody will take them."""
        return bool(self.queue.length) and not self.workers


async def queues(request: web.Request) -> web.Response:
    """A page of them, out of the numbers that all pages share."""
    snapshot = await request.app[SETUP].live.snapshot()
    known = snapshot.stats.queues
    word, order = request.query.get("q", "").strip()[:LONGEST], request.query.get("order", "name")
    order = order if order in ORDERS else "name"
    found = sorted((queue for queue in known if word.lower() in queue.name.lower()), key=ORDERS[order])
    offset = whole_number(request.query.get("from", ""), 0, 10**9)
    query = {"q": word} if word else {}
    if order != "name":
        query["order"] = order
    done, changed = request.query.get("done", ""), request.query.get("queue", "")
    return await page(
        request,
        "queues.html",
        section="queues",
        rows=_rows(found[offset : offset + PAGE], snapshot.workers),
        longest=max((queue.length for queue in found), default=0),
        found=len(found),
        known=len(known),
        paused=sum(queue.paused for queue in known),
        waiting=sum(queue.length for queue in known),
        word=word,
        order=order,
        base=query,
        offset=offset,
        size=PAGE,
        most_workers=MOST_WORKERS,
        said=DONE.get(done, "") if any(queue.name == changed for queue in known) else "",
        changed=changed,
    )


async def act(request: web.Request) -> web.Response:
    """Pause, resume or purge one, and go back to the list; of a purge, to the page that shows how far it is.

    The name is a field of the form, for as a part of the path not every name would survive browsers and
    proxies ("..", "a/b").
    """
    setup = request.app[SETUP]
    form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    action, queue = request.match_info["action"], check_queue_name(form.get("queue", ""))
    if action == "pause":
        await setup.client.pause(queue)
    elif action == "resume":
        await setup.client.resume(queue)
    elif action == "purge":
        job = setup.bulk.start(purging(queue))
        raise see_other(request, "bulk_job", id=job.id)
    else:
        raise OptionError(f"a queue can be paused, resumed or purged, not {action!r}")
    setup.live.outdate()
    back = {name: form[name] for name in ("q", "order", "from") if form.get(name)}
    raise see_other(request, "queues", {**back, "done": action, "queue": queue})


def _rows(queues: Iterable[QueueInfo], workers: Iterable[WorkerInfo]) -> list[Row]:
    rows = {queue.name: Row(queue, []) for queue in queues}
    for worker in workers:
        if not worker.quiet:
            for name in worker.queues:
                if name in rows:
                    rows[name].workers.append(worker)
    return list(rows.values())
