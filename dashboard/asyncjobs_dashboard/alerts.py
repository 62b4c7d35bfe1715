"""What in the live numbers is worth a look, worst first, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from asyncjobs import State
from asyncjobs.monitoring import QueueInfo
from asyncjobs_dashboard.formatting import duration, plural, size
from asyncjobs_dashboard.live import Snapshot

LAG = timedelta(seconds=1)
"""How late a worker's loop is when it is called stalled."""
SILENT = timedelta(seconds=2)
"""Left of a worker's lease when it is called silent."""
MEMORY_SHARE = 0.85
RISING_FROM = 10
"""Retrying jobs below which nothing is called rising."""
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class Alert:
    """Something worth a look."""

    level: Literal["bad", "warn"]
    title: str
    text: str
    route: str = ""
    """The page that shows more of it."""
    parts: dict[str, str] = field(default_factory=dict[str, str])
    query: dict[str, str] = field(default_factory=dict[str, str])


def alerts(snapshot: Snapshot) -> list[Alert]:
    """All that are, worst first."""
    found = [*_queues(snapshot), *_workers(snapshot), *_server(snapshot), *_failures(snapshot)]
    return sorted(found, key=lambda alert: alert.level != "bad")


def _queues(snapshot: Snapshot) -> Iterator[Alert]:
    served = {queue for worker in snapshot.workers if not worker.quiet for queue in worker.queues}
    waiting = [queue for queue in snapshot.stats.queues if queue.length]
    unserved = [queue for queue in waiting if queue.name not in served and not queue.paused]
    if unserved:
        jobs = sum(queue.length for queue in unserved)
        yield Alert(
            "bad",
            f"No worker serves {_names([queue.name for queue in unserved])}",
            f"{plural(jobs, 'job')} wait{'s' if jobs == 1 else ''} there. "
            "Start one: asyncjobs worker app:registry --queues " + ",".join(_first(unserved)),
            "jobs",
            {"state": "enqueued"},
            {"queue": unserved[0].name},
        )
    paused = [queue for queue in waiting if queue.paused]
    if paused:
        yield Alert(
            "warn",
            f"{_names([queue.name for queue in paused])} {'is' if len(paused) == 1 else 'are'} paused",
            f"{plural(sum(queue.length for queue in paused), 'job')} won't start before it is resumed.",
            "jobs",
            {"state": "enqueued"},
            {"queue": paused[0].name},
        )


def _workers(snapshot: Snapshot) -> Iterator[Alert]:
    stalled = [worker for worker in snapshot.workers if worker.loop_lag >= LAG]
    for worker in stalled[:MOST_NAMED]:
        yield Alert(
            "bad",
            f"The event loop of {worker.host}:{worker.pid} stalls",
            f"It was {duration(worker.loop_lag)} late. A job blocks it: give blocking code to a thread "
            "(a plain function), or to a process; the worker's log says where it stood.",
        )
    for worker in snapshot.workers:
        left = worker.lease_ends_at - snapshot.stats.now
        if left < SILENT:
            gone = left < timedelta(0)
            yield Alert(
                "bad" if gone else "warn",
                f"Nothing is heard of worker {worker.host}:{worker.pid}",
                "Its lease has run out: its jobs are taken back and run by others."
                if gone
                else f"Its lease ends in {duration(left)}; then its jobs are run by others.",
            )


def _server(snapshot: Snapshot) -> Iterator[Alert]:
    server = snapshot.server
    if server.policy and server.policy != "noeviction":
        yield Alert(
            "bad",
            f"Redis may throw jobs away: its policy is {server.policy}",
            "When its memory is full it removes keys, and jobs with them. Set maxmemory-policy noeviction.",
        )
    if server.max_memory and server.memory >= MEMORY_SHARE * server.max_memory:
        share = server.memory / server.max_memory
        yield Alert(
            "bad" if share > 0.95 else "warn",
            f"Redis' memory is {share:.0%} full",
            f"{size(server.memory)} of {size(server.max_memory)}. At the limit no job can be enqueued; "
            "those that are there go on.",
        )


def _failures(snapshot: Snapshot) -> Iterator[Alert]:
    # The present hour alone would be silent at its beginning.
    failed = sum(bucket.totals.get("failed", 0) for bucket in snapshot.hours[-1:])
    before = sum(bucket.totals.get("failed", 0) for bucket in snapshot.hours[-2:-1])
    if not snapshot.stats.counts.get(State.FAILED, 0):
        # Requeued or deleted since: nothing waits to be looked at.
        failed = before = 0
    if failed or (before and snapshot.stats.now.minute < 15):
        count, when = (failed, "in this hour") if failed else (before, "in the last hour")
        yield Alert(
            "warn",
            f"{plural(count, 'job')} failed {when}",
            "They have used up their retries, and wait to be looked at.",
            "jobs",
            {"state": "failed"},
        )
    retrying = snapshot.stats.counts.get(State.RETRYING, 0)
    least = min((point.retrying for point in snapshot.points), default=retrying)
    if retrying >= RISING_FROM and retrying >= 2 * least:
        since = duration(snapshot.points[-1].at - snapshot.points[0].at)
        yield Alert(
            "warn",
            "Retries are rising",
            f"{plural(retrying, 'job')} wait for another attempt; within the last {since} it was {least:,}.",
            "jobs",
            {"state": "retrying"},
        )


def _first(queues: list[QueueInfo]) -> list[str]:
    return [queue.name for queue in queues[:MOST_NAMED]]


def _names(names: list[str]) -> str:
    named = names[:MOST_NAMED]
    more = len(names) - len(named)
    text = ", ".join(named)
    return f"queue {text}" if len(names) == 1 else f"queues {text}" + (f" and {more} more" if more else "")
