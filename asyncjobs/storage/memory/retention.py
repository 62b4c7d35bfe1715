"""How long finished jobs are kept."""

from __future__ import annotations

from itertools import islice

from asyncjobs.storage import base
from asyncjobs.storage.base import Retention, State
from asyncjobs.storage.memory.shard import Shard


def trim(shard: Shard, retention: Retention, limit: int) -> bool:
    """Remove finished jobs past their retention, up to `limit`; whether more are there.

    Those with a retention of their own go first, then each list's: those over its number, then over its age.
    """
    due = list(islice(shard.expiring.up_to(shard.now()), limit))
    for job_id in due:
        _remove(shard, job_id)
    left = limit - len(due)
    for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):
        left -= trim_list(shard, state, retention, left)
    return any(shard.expiring.up_to(shard.now())) or any(
        _over_number(shard, state, retention) or _over_age(shard, state, retention)
        for state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)
    )


def trim_list(shard: Shard, state: State, retention: Retention, limit: int) -> int:
    """Remove up to `limit` jobs that are past what is kept of one list; how many it removed."""
    over_number = _over_number(shard, state, retention)[:limit]
    for job_id in over_number:
        _remove(shard, job_id)
    over_age = _over_age(shard, state, retention)[: limit - len(over_number)]
    for job_id in over_age:
        _remove(shard, job_id)
    return len(over_number) + len(over_age)


def _over_number(shard: Shard, state: State, retention: Retention) -> list[str]:
    """The oldest of a list that holds more than it may, whether or not they have a retention of their own."""
    ended = shard.lists[state]
    return list(islice(ended, max(0, len(ended) - retention.max_jobs)))


def _over_age(shard: Shard, state: State, retention: Retention) -> list[str]:
    """Those of a list that are too old, less those with a retention of their own."""
    horizon = shard.now() - retention.age_ms(state)
    return [job_id for job_id in shard.lists[state].up_to(horizon) if job_id not in shard.expiring]


def _remove(shard: Shard, job_id: str) -> None:
    job = shard.jobs[job_id]
    shard.totals["trimmed"] += 1
    # A create is sent again within seconds; of a job that ended long ago none can still be on its way.
    shard.remove(job, stub=job.finished_ms + base.STUB_MS > shard.now())
