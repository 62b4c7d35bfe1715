"""Reads that span shards: the shards' shares, put together in one order."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from asyncjobs.storage.base import JobRecord, Page, QueueRecord, State, WorkerRecord


def _order(state: State, entered: Mapping[str, int]) -> Callable[[JobRecord], Any]:
    """By what jobs of several shards are in order; of those alike, a shard's come before the next one's."""
    if state in (State.SCHEDULED, State.RETRYING):
        return lambda job: job.due_ms
    if state in (State.AWAITING, State.THROTTLED):
        return lambda job: entered.get(job.id, 0)
    if state is State.PROCESSING:
        return lambda job: job.worker
    return lambda job: job.finished_ms


def merge_pages(pages: Sequence[Page], state: State, newest_first: bool, entered: Mapping[str, int]) -> Page:
    """One page from the shards' pages, each in order. `entered`: since when jobs await or are throttled."""
    if len(pages) == 1:
        return pages[0]
    jobs = list(heapq.merge(*(page.jobs for page in pages), key=_order(state, entered), reverse=newest_first))
    return Page(jobs, sum(page.total for page in pages))


def merge_queues(shares: Sequence[list[QueueRecord]]) -> list[QueueRecord]:
    """All queues by name, with their lengths added up."""
    queues: dict[str, QueueRecord] = {}
    for record in (record for share in shares for record in share):
        known = queues.get(record.name)
        if known is None:
            queues[record.name] = record
            continue
        oldest = [at for at in (known.oldest_ms, record.oldest_ms) if at is not None]
        paused = known.paused or record.paused
        queues[record.name] = QueueRecord(
            record.name, known.length + record.length, paused, min(oldest) if oldest else None
        )
    return [queues[name] for name in sorted(queues)]


def merge_workers(shares: Sequence[list[WorkerRecord]]) -> list[WorkerRecord]:
    """All workers by id; one that is registered on several shards is one."""
    workers: dict[str, WorkerRecord] = {}
    for record in (record for share in shares for record in share):
        known = workers.get(record.id)
        if known is None:
            workers[record.id] = record
            continue
        known.running += record.running
        known.deadline_ms = min(known.deadline_ms, record.deadline_ms)
        known.reaping = known.reaping or record.reaping
        known.info = known.info or record.info
    return [workers[name] for name in sorted(workers)]
