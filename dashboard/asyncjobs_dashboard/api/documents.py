"""Jobs, queues, workers and all the rest as JSON: times are ISO 8601, durations are seconds.

The schemas in `openapi.json` say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from asyncjobs import Client, State
from asyncjobs.batch import Batch
from asyncjobs.clock import to_datetime
from asyncjobs.limits import LimitInfo, LimitNumbers
from asyncjobs.monitoring import LockInfo, NamespaceStats, ProcessInfo, QueueInfo, Throughput, WorkerInfo
from asyncjobs.recurring import RecurringJob
from asyncjobs.storage.base import HistoryEntry, JobRecord, LogLine
from asyncjobs_dashboard.bulk import BulkJob
from asyncjobs_dashboard.payloads import arguments, result


def moment(when: datetime | int | None) -> str | None:
    """A time; None of none, and of 0 ms."""
    if not when:
        return None
    return (to_datetime(when) if isinstance(when, int) else when).isoformat(timespec="milliseconds")


def seconds(value: timedelta | None) -> float | None:
    """A duration."""
    return None if value is None else value.total_seconds()


def stats_document(stats: NamespaceStats) -> dict[str, Any]:
    """Numbers of the namespace."""
    return {
        "now": moment(stats.now),
        "counts": {state.value: count for state, count in stats.counts.items()},
        "totals": dict(stats.totals),
        "queues": [queue_document(queue) for queue in stats.queues],
    }


def queue_document(queue: QueueInfo) -> dict[str, Any]:
    """One queue."""
    return {
        "name": queue.name,
        "length": queue.length,
        "paused": queue.paused,
        "latency": seconds(queue.latency),
    }


def worker_document(worker: WorkerInfo) -> dict[str, Any]:
    """One worker."""
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "queues": list(worker.queues),
        "concurrency": worker.concurrency,
        "running": worker.running,
        "started_at": moment(worker.started_at),
        "lease_ends_at": moment(worker.lease_ends_at),
        "quiet": worker.quiet,
        "loop_lag": seconds(worker.loop_lag),
        "memory": worker.memory,
    }


def throughput_document(bucket: Throughput) -> dict[str, Any]:
    """One hour or day."""
    return {"start": moment(bucket.start), "totals": dict(bucket.totals)}


def job_document(client: Client, record: JobRecord) -> dict[str, Any]:
    """One job. Arguments are texts, as Python would write them: JSON couldn't hold all that they may be."""
    known = arguments(client, record)
    return {
        "id": record.id,
        "name": record.name,
        "queue": record.queue,
        "priority": record.priority,
        "state": record.state.value,
        "attempt": record.attempt,
        "failures": record.failures,
        "recoveries": record.recoveries,
        "worker": record.worker or None,
        "arguments": [{"name": item.name, "value": item.text} for item in known.items],
        "created_at": moment(record.created_ms),
        "enqueued_at": moment(record.enqueued_ms),
        "due_at": moment(record.due_ms),
        "started_at": moment(record.started_ms),
        "finished_at": moment(record.finished_ms),
        "progress": record.progress,
        "progress_message": record.progress_message,
        "cancel_requested": record.cancel_requested,
        "batch": record.batch or None,
        "unique": record.unique or None,
        "throttled_by": record.throttled_by or None,
        "parents": [
            {"id": parent.id, "batch": parent.batch, "on": parent.on.value} for parent in record.parents
        ],
    }


def whole_job_document(
    client: Client, record: JobRecord, history: Sequence[HistoryEntry], logs: Sequence[LogLine]
) -> dict[str, Any]:
    """One job with everything that is known of it."""
    ended_well = record.state is State.SUCCEEDED and record.result_kept
    return job_document(client, record) | {
        "history": history_documents(history),
        "logs": log_documents(logs),
        "result": result(client, record).text if ended_well else None,
    }


def history_documents(history: Sequence[HistoryEntry]) -> list[dict[str, Any]]:
    """The unusual transitions of a job."""
    return [
        {
            "at": moment(entry.at_ms),
            "event": entry.event,
            "attempt": entry.attempt,
            "worker": entry.worker or None,
            "error_type": entry.error_type or None,
            "error_message": entry.error_message or None,
            "traceback": entry.traceback or None,
        }
        for entry in history
    ]


def log_documents(lines: Sequence[LogLine]) -> list[dict[str, Any]]:
    """What a job has logged."""
    return [{"at": moment(line.at_ms), "attempt": line.attempt, "text": line.text} for line in lines]


def process_document(worker: WorkerInfo, process: ProcessInfo) -> dict[str, Any]:
    """A background process in a worker."""
    return {
        "worker": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "name": process.name,
        "state": process.state.value,
        "since": moment(process.since),
        "restarts": process.restarts,
        "last_error": process.last_error or None,
    }


def batch_document(batch: Batch) -> dict[str, Any]:
    """One batch. Its counters are of its own members, nested batches apart."""
    record = batch.record
    return {
        "id": batch.id,
        "name": batch.name,
        "state": batch.state.value,
        "parent": record.parent or None,
        "created_at": moment(record.created_ms),
        "finished_at": moment(record.finished_ms),
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
    }


def recurring_document(job: RecurringJob) -> dict[str, Any]:
    """One recurring job."""
    return {
        "id": job.id,
        "name": job.name,
        "queue": job.queue,
        "schedule": None if job.schedule is None else str(job.schedule),
        "misfire": job.misfire,
        "overlap": job.overlap,
        "jitter": seconds(job.jitter),
        "start": moment(job.start),
        "end": moment(job.end),
        "next_at": moment(job.next_at),
        "last_at": moment(job.last_at),
        "last_run_at": moment(job.last_run_at),
        "last_job": job.last_job,
        "last_state": None if job.last_state is None else job.last_state.value,
        "fired": job.fired,
        "missed": job.missed,
        "skipped": job.skipped,
        "refused": job.refused,
        "gave_up_at": moment(job.gave_up_at),
        "declared": job.declared,
        "orphaned": job.orphaned,
        "rescheduled": job.rescheduled,
        "paused": job.paused,
        "waiting": job.waiting,
        "unreadable": job.unreadable,
    }


def limit_document(numbers: LimitNumbers) -> dict[str, Any]:
    """A limit's numbers."""
    return {
        "name": numbers.name,
        "concurrency": numbers.concurrency,
        "rate": numbers.rate,
        "per": seconds(numbers.per),
        "by_hand": numbers.by_hand,
    }


def limit_key_document(limit: LimitInfo) -> dict[str, Any]:
    """One key of a limit, and how full it is."""
    return {
        "name": limit.name,
        "key": limit.key,
        "concurrency": limit.concurrency,
        "rate": limit.rate,
        "per": seconds(limit.per),
        "running": limit.running,
        "started": limit.started,
        "enqueued": limit.enqueued,
        "throttled": limit.throttled,
    }


def lock_document(lock: LockInfo) -> dict[str, Any]:
    """A lock that is held."""
    return {
        "name": lock.name,
        "holder": lock.holder,
        "token": lock.token,
        "until": moment(lock.until),
        "waiting": lock.waiting,
    }


def begun(request: web.Request, job: BulkJob) -> web.Response:
    """The answer to what has begun a bulk job, which says where to see how far it is."""
    there = str(request.app.router["api_bulk_job"].url_for(id=job.id))
    return web.json_response(bulk_document(job), status=202, headers={"Location": there})


def bulk_document(job: BulkJob) -> dict[str, Any]:
    """A bulk job, and how far it is."""
    return {
        "id": job.id,
        "title": job.title,
        "action": job.action.name,
        "state": job.state.value,
        "queue": job.queue or None,
        "batch": job.batch or None,
        "filter": job.wanted.query(),
        "chosen": None if job.ids is None else len(job.ids),
        "stage": job.stage.value,
        "found": job.found,
        "done": job.done,
        "refused": job.refused,
        "refusals": [{"id": job_id, "reason": reason} for job_id, reason in job.examples],
        "truncated": job.truncated,
        "error": job.error or None,
        "started_at": moment(datetime.fromtimestamp(job.started, UTC)),
        "ended_at": None if job.ended is None else moment(datetime.fromtimestamp(job.ended, UTC)),
    }
