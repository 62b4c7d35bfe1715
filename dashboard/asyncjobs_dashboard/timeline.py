"""What has become of a job, step by step."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from asyncjobs.storage.base import HistoryEntry, JobRecord, State

TOLD = {
    "failed": ("Failed", "failed"),
    "retrying": ("Attempt failed, to be tried again", "retrying"),
    "snoozed": ("Put off by its own code", "scheduled"),
    "released": ("Given back by its worker", "enqueued"),
    "recovered": ("Taken back from a worker that died", "retrying"),
    "poisoned": ("Given up: too many workers died over it", "failed"),
    "cancelled": ("Cancelled", "cancelled"),
    "expired": ("Expired before it was started", "cancelled"),
    "requeued": ("Requeued by hand", "enqueued"),
    "promoted": ("Sent to run now, by hand", "enqueued"),
}
"""What history entries are called, and the state whose colour they have."""
_ENDS = {"failed", "poisoned", "cancelled", "expired"}


@dataclass(slots=True)
class Step:
    """One moment."""

    at_ms: int
    title: str
    colour: str
    """The state whose colour it has."""
    worker: str = ""
    attempt: int = 0
    error: HistoryEntry | None = None
    took_ms: int | None = None
    """Until the next step, or until now; None at the end."""
    last_error: bool = False


def timeline(record: JobRecord, history: Sequence[HistoryEntry], now_ms: int) -> list[Step]:
    """All steps that are known, oldest first: the usual ones of the last attempt, and every unusual one."""
    steps = [Step(record.created_ms, "Created", "awaiting")] if record.created_ms else []
    for entry in history:
        title, colour = TOLD.get(entry.event, (entry.event, "cancelled"))
        error = entry if entry.error_type or entry.traceback else None
        steps.append(Step(entry.at_ms, title, colour, entry.worker, entry.attempt, error))
    if record.throttled_ms:
        steps.append(Step(record.throttled_ms, "Throttled", "throttled"))
    # Where it is throttled, the time of being enqueued is that.
    if record.enqueued_ms and record.enqueued_ms != record.throttled_ms:
        steps.append(Step(record.enqueued_ms, "Enqueued", "enqueued"))
    if record.started_ms:
        steps.append(Step(record.started_ms, "Started", "processing", record.worker, record.attempt))
    ended_by_history = any(entry.at_ms == record.finished_ms and entry.event in _ENDS for entry in history)
    if record.finished_ms and not ended_by_history:
        steps.append(Step(record.finished_ms, record.state.value.capitalize(), record.state.value))
    order = {"Created": 0, "Enqueued": 1, "Throttled": 2, "Started": 3}
    steps.sort(key=lambda step: (step.at_ms, order.get(step.title, 4)))
    for step, after in itertools.pairwise(steps):
        step.took_ms = after.at_ms - step.at_ms
    if steps and not record.state.is_final:
        steps[-1].took_ms = max(0, now_ms - steps[-1].at_ms)
    for step in reversed(steps):
        if step.error is not None:
            step.last_error = record.state is not State.SUCCEEDED
            break
    return steps
