"""How long finished jobs are kept."""

from __future__ import annotations

from itertools import islice

from asyncjobs.storage import base
from asyncjobs.storage.base import BatchState, Retention, State
from asyncjobs.storage.memory.shard import Shard


def trim(shard: Shard, retention: Retention, limit: int) -> bool:
    """Remove finished jobs past their retention, up to `limit`; whether more are there.

    Those with a retention of their own go first, then each list's: those over its number, then over its age.
    """
    due = list(islice(shard.expiring.up_to(shard.now()), limit))
    for job_id in due:
        if _is_needed(shard, job_id):
            shard.expiring.put(job_id, shard.now() + base.PIN_MS)
        else:
            _remove(shard, job_id)
    left = limit - len(due)
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
        left -= trim_list(shard, state, retention, left)
    return any(shard.expiring.up_to(shard.now())) or any(
        _over_number(shard, state, retention, 1) or _over_age(shard, state, retention)
        for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)
    )


def _is_needed(shard: Shard, job_id: str) -> bool:
    """It can't go yet: jobs wait for it, or it is a member of an open batch that didn't succeed."""
    job = shard.jobs[job_id]
    batch = shard.batches.get(job.batch)
    unsuccessful = job.state is not State.SUCCEEDED
    return job_id in shard.edges or (batch is not None and unsuccessful and batch.state is BatchState.OPEN)


def trim_list(shard: Shard, state: State, retention: Retention, limit: int) -> int:
    """Remove up to `limit` jobs that are past what is kept of one list; how many it removed."""
    over_number = _over_number(shard, state, retention, limit)
    for job_id in over_number:
        _remove(shard, job_id)
    over_age = _over_age(shard, state, retention)
    removed = 0
    for job_id in over_age:
        if _is_needed(shard, job_id):
            shard.expiring.put(job_id, shard.now() + base.PIN_MS)
        elif removed < limit - len(over_number):
            _remove(shard, job_id)
            removed += 1
        else:
            break
    return len(over_number) + removed


def _over_number(shard: Shard, state: State, retention: Retention, limit: int) -> list[str]:
    """Up to `limit` of the oldest of a list that holds more than it may, less those that are still needed.

    Whether or not they have a retention of their own.
    """
    ended = shard.lists[state]
    over = len(ended) - retention.max_jobs
    looked_at = islice(ended, max(0, min(over, limit + base.TRIM_LOOK)))
    return [job_id for job_id in looked_at if not _is_needed(shard, job_id)][:limit]


def _over_age(shard: Shard, state: State, retention: Retention) -> list[str]:
    """Those of a list that are too old, less those with a retention of their own."""
    horizon = shard.now() - retention.age_ms(state)
    return [job_id for job_id in shard.lists[state].up_to(horizon) if job_id not in shard.expiring]


def _remove(shard: Shard, job_id: str) -> None:
    job = shard.jobs[job_id]
    shard.count("trimmed")
    # A create is sent again within seconds; of a job that ended long ago none can still be on its way.
    shard.remove(job, stub=job.finished_ms + base.STUB_MS > shard.now())
