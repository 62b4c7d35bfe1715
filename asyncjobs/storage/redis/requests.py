"""What scripts are told of new jobs and of finished ones: the open part of their arguments."""

from __future__ import annotations

from collections.abc import Sequence

from asyncjobs.ids import shard_of
from asyncjobs.storage.base import Finish, NewJob, Outcome, Parent
from asyncjobs.storage.redis.connection import EncodableArg
from asyncjobs.storage.redis.keys import FIELDS, edge_code, limits_field, pieces, unique_field

_PAYLOAD, _NAME, _OPTIONS = FIELDS["payload"], FIELDS["name"], FIELDS["options"]
_BATCH, _PARENTS = FIELDS["batch"], FIELDS["parents"]
_UNIQUE, _LIMITS = FIELDS["unique"], FIELDS["limits"]
_MAX_RECOVERIES, _RESULT, _DROPPED = FIELDS["max_recoveries"], FIELDS["result"], FIELDS["result_dropped"]


def add_job(args: list[EncodableArg], job: NewJob, shards: int) -> None:
    """Add what `create` is to know of one job."""
    fields: list[EncodableArg] = [_NAME, job.name]
    if job.payload:
        fields += pieces(_PAYLOAD, job.payload)
    if job.options:
        fields += (_OPTIONS, job.options)
    if job.max_recoveries != 3:
        fields += (_MAX_RECOVERIES, job.max_recoveries)
    timing = ""
    if job.priority or job.delay_ms or job.due_ms:
        timing = f"{job.priority} {job.delay_ms} {job.due_ms}"
    if job.parents or job.batch or job.unique or job.limits or job.expires_ms:
        timing = f"{job.priority} {job.delay_ms} {job.due_ms} {how_of(job)}"
        fields += linked_fields(job, shards)
    args += (job.id, job.queue, timing, len(fields), *fields)


def in_waves(jobs: Sequence[NewJob], shards: int) -> list[dict[int, list[int]]]:
    """Which jobs, by their places, go to which shard at a time.

    A parent is there before its child, on another shard, asks for it.
    """
    waves: list[dict[int, list[int]]] = []
    made: dict[str, int] = {}
    for at, job in enumerate(jobs):
        shard = shard_of(job.id, shards)
        if not waves or any(made.get(parent.id, shard) != shard for parent in job.parents):
            waves.append({})
            made.clear()
        waves[-1].setdefault(shard, []).append(at)
        made[job.id] = shard
    return waves


def node_of(parent: Parent) -> str:
    """What a parent is called in Redis: a job's id, or a batch's with a ~ before it."""
    return f"~{parent.id}" if parent.batch else parent.id


def how_of(job: NewJob) -> str:
    """What `lib/create_linked.lua` is to know of a job beside its fields; "" of one that doesn't go there."""
    if not (job.parents or job.batch or job.unique or job.limits or job.expires_ms):
        return ""
    replaces = int(job.unique is not None and job.unique.replaces)
    return f"{job.batch or '-'} {job.expires_ms} {replaces}"


def linked_fields(job: NewJob, shards: int) -> list[EncodableArg]:
    """The fields that say what a job waits for, is a member of, and is under."""
    fields: list[EncodableArg] = [_BATCH, job.batch] if job.batch else []
    if job.unique is not None:
        fields += (_UNIQUE, unique_field(job.unique))
    if job.limits:
        fields += (_LIMITS, limits_field(job.limits))
    if job.parents:
        own = shard_of(job.id, shards)
        edges = (
            f"{edge_code(parent, shard_of(parent.id, shards) != own)} {node_of(parent)}"
            for parent in job.parents
        )
        fields += (_PARENTS, " ".join(edges))
    return fields


def add_finish(args: list[EncodableArg], finish: Finish) -> None:
    """Add what `exchange` is to know of one finish."""
    plain = finish.outcome is Outcome.SUCCEEDED and finish.retention_ms < 0
    if plain and finish.result_kept and not finish.result:
        args += (finish.id, finish.exchange, "0", 0)
        return
    fields = pieces(_RESULT, finish.result) if finish.outcome is Outcome.SUCCEEDED else []
    if finish.outcome is Outcome.SUCCEEDED and not finish.result_kept:
        fields += (_DROPPED, "1")
    if plain:
        args += (finish.id, finish.exchange, "0", len(fields), *fields)
    else:
        how = f"{finish.outcome.value} {finish.delay_ms} {finish.retention_ms}"
        args += (finish.id, finish.exchange, how, len(fields), *fields, finish.error)
