"""Jobs, queues and workers as JSON: times are ISO 8601, durations are seconds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from asyncjobs import Client
from asyncjobs.clock import to_datetime
from asyncjobs.monitoring import NamespaceStats, QueueInfo, Throughput, WorkerInfo
from asyncjobs.storage.base import HistoryEntry, JobRecord, LogLine
from asyncjobs_dashboard.payloads import arguments


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
