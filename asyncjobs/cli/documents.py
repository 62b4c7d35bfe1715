"""What `--json` prints: one document, whose keys stay; times in ISO 8601 (UTC), durations in seconds."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Mapping, Set
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

import click

from asyncjobs.serialization import Output

if TYPE_CHECKING:
    from asyncjobs.batch import Batch
    from asyncjobs.job import Job
    from asyncjobs.limits import LimitInfo, LimitNumbers
    from asyncjobs.monitoring import LockInfo, NamespaceStats, ProcessInfo, QueueInfo, WorkerInfo
    from asyncjobs.storage.base import HistoryEntry, LogLine, Parent

Document = dict[str, Any]


def print_json(document: object) -> None:
    """Print a document that holds only what JSON knows."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: object) -> Any:
    """A value of a job as JSON knows it: sets and tuples are lists, bytes base64, other things text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if type(value) is Output:
        return repr(value)
    if isinstance(value, Enum):
        return plain(cast(object, value.value))
    if isinstance(value, str):
        # A lone surrogate can't be written as UTF-8.
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (datetime, date, clock_time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        pairs = cast(Mapping[object, object], value).items()
        return {key if isinstance(key, str) else str(plain(key)): plain(item) for key, item in pairs}
    if isinstance(value, Set):
        return sorted((plain(item) for item in cast(Set[object], value)), key=repr)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in cast(list[object], value)]
    text = str(value)
    return repr(value) if text.startswith("<") else text


def iso(when: datetime | None) -> str | None:
    """A time to the millisecond, in UTC."""
    return None if when is None else when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def job_document(job: Job[Any], error: HistoryEntry | None = None) -> Document:
    """A job. `error`: the one it failed with last."""
    from asyncjobs.errors import SerializationError

    args: list[Any] | None
    kwargs: dict[str, Any] | None
    try:
        args, kwargs = job.arguments(masked=True)
        unreadable = None
    except SerializationError as why:
        args = kwargs = None
        unreadable = str(why)
    return {
        "id": job.id,
        "name": job.name,
        "queue": job.queue,
        "priority": job.priority,
        "state": str(job.state),
        "args": plain(args),
        "kwargs": plain(kwargs),
        "unreadable": unreadable,
        "attempt": job.attempt,
        "failures": job.failures,
        "recoveries": job.recoveries,
        "worker": job.worker,
        "created_at": iso(job.created_at),
        "enqueued_at": iso(job.enqueued_at),
        "due_at": iso(job.due_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        "cancel_requested": job.cancel_requested,
        "progress": job.progress,
        "progress_message": job.progress_message,
        "batch": job.batch,
        "parents": [parent_document(parent) for parent in job.parents],
        "unmet": job.record.unmet if job.state == "awaiting" else 0,
        "unique": job.unique,
        "limits": list(job.limits),
        "throttled_by": job.throttled_by,
        "expires_at": iso(job.expires_at),
        "error": None if error is None else error_document(error),
    }


def parent_document(parent: Parent) -> Document:
    """What a job waits for, or waited for."""
    return {
        "id": parent.id,
        "type": "batch" if parent.batch else "job",
        "on": str(parent.on),
        "output": parent.output,
        "on_parent_failed": "cancel" if parent.cancel else "wait",
    }


def batch_document(batch: Batch) -> Document:
    """A batch."""
    record = batch.record
    return {
        "id": batch.id,
        "name": plain(batch.name),
        "state": str(batch.state),
        "parent": record.parent or None,
        "progress": batch.progress,
        "total": batch.total,
        "pending": batch.pending,
        "succeeded": batch.succeeded,
        "failed": batch.failed,
        "cancelled": batch.cancelled,
        "nested": record.nested,
        "nested_succeeded": record.nested_succeeded,
        "nested_failed": record.nested_failed,
        "cancel_requested": record.cancel_requested,
        "created_at": iso(batch.created_at),
        "finished_at": iso(batch.finished_at),
    }


def error_document(entry: HistoryEntry) -> Document | None:
    """The error of an entry; None if it has none."""
    if not entry.error_type:
        return None
    return {
        "type": plain(entry.error_type),
        "message": plain(entry.error_message),
        "traceback": plain(entry.traceback),
    }


def history_document(entry: HistoryEntry) -> Document:
    """One event of a job's history."""
    from asyncjobs.clock import to_datetime

    return {
        "at": iso(to_datetime(entry.at_ms)),
        "event": entry.event,
        "attempt": entry.attempt,
        "worker": entry.worker or None,
        "error": error_document(entry),
        "reason": None if entry.error_type else entry.error_message or None,
    }


def log_document(line: LogLine) -> Document:
    """One line of a job's log."""
    from asyncjobs.clock import to_datetime

    return {"at": iso(to_datetime(line.at_ms)), "attempt": line.attempt, "text": plain(line.text)}


def queue_document(queue: QueueInfo) -> Document:
    """A queue."""
    return {
        "name": queue.name,
        "length": queue.length,
        "paused": queue.paused,
        "latency": None if queue.latency is None else queue.latency.total_seconds(),
    }


def limit_document(limit: LimitInfo) -> Document:
    """One key of a limit."""
    return {
        "name": limit.name,
        "key": limit.key,
        "concurrency": limit.concurrency,
        "rate": limit.rate,
        "per": None if limit.per is None else limit.per.total_seconds(),
        "running": limit.running,
        "started": limit.started,
        "enqueued": limit.enqueued,
        "throttled": limit.throttled,
    }


def numbers_document(limit: LimitNumbers) -> Document:
    """A limit's numbers."""
    return {
        "name": limit.name,
        "concurrency": limit.concurrency,
        "rate": limit.rate,
        "per": None if limit.per is None else limit.per.total_seconds(),
        "by_hand": limit.by_hand,
    }


def stats_document(stats: NamespaceStats) -> Document:
    """The numbers of a namespace."""
    return {
        "now": iso(stats.now),
        "counts": {str(state): count for state, count in stats.counts.items()},
        "totals": dict(stats.totals),
        "queues": [queue_document(queue) for queue in stats.queues],
        "workers": stats.workers,
    }


def worker_document(worker: WorkerInfo) -> Document:
    """A worker."""
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "queues": list(worker.queues),
        "concurrency": worker.concurrency,
        "running": worker.running,
        "quiet": worker.quiet,
        "started_at": iso(worker.started_at),
        "lease_ends_at": iso(worker.lease_ends_at),
        "loop_lag": worker.loop_lag.total_seconds(),
        "memory": worker.memory,
        "processes": [process_document(process) for process in worker.processes],
    }


def process_document(process: ProcessInfo) -> Document:
    """A background process of a worker."""
    return {
        "name": process.name,
        "state": str(process.state),
        "since": iso(process.since),
        "restarts": process.restarts,
        "last_error": plain(process.last_error) or None,
    }


def lock_document(lock: LockInfo) -> Document:
    """A lock that is held."""
    return {
        "name": lock.name,
        "holder": lock.holder,
        "token": lock.token,
        "until": iso(lock.until),
        "waiting": lock.waiting,
    }
