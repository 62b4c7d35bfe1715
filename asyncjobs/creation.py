"""New jobs: what is stored of a call, and what a refusal means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar, cast

from asyncjobs.clock import system_clock
from asyncjobs.constraints import Constraints
from asyncjobs.control import Control
from asyncjobs.definition import Definition
from asyncjobs.errors import (
    BatchClosed,
    BatchNotFound,
    OptionError,
    ParentGone,
    UniqueConflict,
    WrongDefinition,
)
from asyncjobs.ids import new_id
from asyncjobs.job import Call, Job
from asyncjobs.storage.base import Conflict, Created, JobRecord, NewJob, Parent, State

R = TypeVar("R")

BEFORE = (
    ", and can't be replaced by what is to run after it: give them keys of their own, or continue it when it"
    " has ended"
)
"""What a `UniqueConflict` adds where a job would have replaced one that it waits for."""

Bound: TypeAlias = dict[str, tuple[list[Job[Any]], Constraints]]
"""Of new jobs, by id, those that have constraints: several where they were given one id."""


def call_of(
    what: Definition[..., Any] | Call[Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Call[Any]:
    """A call, from what a verb was given. Raises `OptionError` and what `Definition.call` raises."""
    if isinstance(what, Definition):
        return what.call(*args, **kwargs)
    if not isinstance(cast(object, what), Call):
        raise OptionError(f"{what!r} isn't a job: declare the function with @registry.job and enqueue that")
    if args or kwargs:
        raise OptionError("a Call has its arguments already: give it alone")
    return what


def check_call(call: object) -> None:
    """Raise `OptionError` for what isn't a call, where only calls can be given."""
    if not isinstance(call, Call):
        raise OptionError(f"{call!r} isn't a call: give what `.call(…)` of a job returns")


def new_job(
    call: Call[Any],
    shard: int,
    delay_ms: int = 0,
    due_ms: int = 0,
    parents: Sequence[Parent] = (),
    batch: str = "",
    *,
    shards: int = 1,
) -> NewJob:
    """What is stored of a call.

    On `shard`, which is its batch's if it is in one; else where its constraints want it, of `shards`. Raises
    `OptionError` if it can't be where all of them want it.
    """
    definition = call.definition
    settings = definition.settings
    constraints = call.constraints
    if constraints is not None and shards > 1:
        wanted = constraints.shard(shards, definition.name, shard if batch else None)
        shard = shard if wanted is None else wanted
    new = NewJob(
        new_id(shard),
        definition.name,
        settings.queue,
        call.payload,
        settings.priority,
        delay_ms,
        due_ms,
        definition.overrides,
        settings.max_recoveries,
        parents,
        batch,
    )
    if constraints is not None:
        new.id = constraints.job_id or new.id
        new.unique, new.limits = constraints.unique, constraints.limits
        new.expires_ms = constraints.expires_ms
    return new


def job_of(control: Control, new: NewJob, definition: Definition[..., R]) -> Job[R]:
    """A new job, as its maker knows it."""
    if new.parents:
        state = State.AWAITING
    else:
        later = new.delay_ms > 0 or new.due_ms > system_clock()
        state = State.SCHEDULED if later else State.ENQUEUED
    record = JobRecord(new.id, new.name, new.queue, state, new.payload, new.options, new.priority)
    if new.parents or new.batch:
        record.parents, record.unmet, record.batch = new.parents, len(new.parents), new.batch
    if new.unique or new.limits:
        record.unique, record.limits = new.unique.key if new.unique else "", new.limits
    return Job(control, record, definition)


def bound_jobs(new: Sequence[NewJob], jobs: Sequence[Job[Any]], calls: Sequence[Call[Any]]) -> Bound:
    """Of new jobs, those that have constraints."""
    bound: Bound = {}
    for one, job, call in zip(new, jobs, calls, strict=True):
        add_bound(bound, one, job, call)
    return bound


def add_bound(bound: Bound, new: NewJob, job: Job[Any], call: Call[Any]) -> None:
    """Note a new job, if it has constraints."""
    if call.constraints is not None:
        bound.setdefault(new.id, ([], call.constraints))[0].append(job)


async def settle(
    control: Control,
    new: Sequence[NewJob],
    codes: Sequence[Created | Conflict],
    bound: Bound,
) -> None:
    """Take what creating jobs came to: those of `bound` stand for the jobs that are there instead of them.

    Raises what a storage refused: `ParentGone`, `BatchNotFound`, `BatchClosed` or `UniqueConflict`; or
    `WrongDefinition`, if the job that is there instead is another definition's.
    """
    _check_created(new, codes)
    for one, code in zip(new, codes, strict=True):
        if one.id not in bound:
            continue
        jobs, constraints = bound[one.id]
        if isinstance(code, Conflict):
            if constraints.on_conflict != "return":
                # With "replace", it is to run after that holder, which would never run then.
                why = "" if constraints.on_conflict == "raise" else BEFORE
                raise UniqueConflict(one.name, one.unique.key if one.unique else "", code.holder, why)
            await _stand_for(control, jobs, one, code.holder)
        elif code is Created.EXISTS and constraints.job_id is not None:
            await _stand_for(control, jobs, one, one.id)


async def _stand_for(control: Control, jobs: Sequence[Job[Any]], new: NewJob, job_id: str) -> None:
    record = await control.storage.get(job_id)
    if record is None:
        # It has ended and gone since: all that can be said is which one it was.
        record = JobRecord(job_id, new.name, new.queue, State.ENQUEUED)
    for job in jobs:
        if record.name != job.name and not job.is_of(record.name):
            raise WrongDefinition(f"job {job_id} is there instead, but is a {record.name}, not a {job.name}")
    for job in jobs:
        job.stand_for(record)


def _check_created(jobs: Sequence[NewJob], codes: Sequence[Created | Conflict]) -> None:
    """Raise what a storage refused: `ParentGone`, `BatchNotFound` or `BatchClosed`."""
    for job, code in zip(jobs, codes, strict=True):
        if code is Created.PARENT_GONE:
            parents = ", ".join(f"{'batch' if parent.batch else 'job'} {parent.id}" for parent in job.parents)
            raise ParentGone(
                f"{job.name} can't continue {parents}: it was never created, was deleted, or is past its"
                " retention; what is in a batch is created when that is committed"
            )
        if code is Created.BATCH_GONE:
            raise BatchNotFound(f"batch {job.batch} isn't there: never committed, or past its retention")
        if code is Created.BATCH_CANCELLED:
            raise BatchClosed(f"batch {job.batch} is cancelled: nothing can be added to it")
