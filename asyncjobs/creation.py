"""New jobs: what is stored of a call, and what a refusal means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from asyncjobs.clock import system_clock
from asyncjobs.control import Control
from asyncjobs.definition import Definition
from asyncjobs.errors import BatchClosed, BatchNotFound, OptionError, ParentGone
from asyncjobs.ids import new_id
from asyncjobs.job import Call, Job
from asyncjobs.storage.base import Created, JobRecord, NewJob, Parent, State

R = TypeVar("R")


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
) -> NewJob:
    """What is stored of a call."""
    definition = call.definition
    settings = definition.settings
    return NewJob(
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
    return Job(control, record, definition)


def check_created(jobs: Sequence[NewJob], codes: Sequence[Created]) -> None:
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
