"""Recurring jobs, as a client puts, sees and controls them."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast
from zoneinfo import ZoneInfo

from asyncjobs.clock import to_datetime
from asyncjobs.errors import JobStateError, OptionError, RecurringNotFound, SerializationError, StorageError
from asyncjobs.ids import new_id, shard_for
from asyncjobs.job import Call, Job
from asyncjobs.recurrence import (
    Misfire,
    Overlap,
    Recurrence,
    RecurringOptions,
    checked_options,
    recurrence_of,
)
from asyncjobs.schedules import Cron, Schedule
from asyncjobs.storage.base import Changed, Put, RecurringRecord, State, Triggered

if TYPE_CHECKING:
    from asyncjobs.control import Control

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class RecurringJob:
    """A recurring job, as it was when it was read."""

    id: str
    schedule: Schedule | None
    """None: it can't be read here (`unreadable` says why)."""
    name: str
    """The name of the definition that it runs; "" if it can't be read."""
    queue: str
    misfire: Misfire
    overlap: Overlap
    jitter: timedelta
    start: datetime | None
    end: datetime | None
    next_at: datetime | None
    """Its next occurrence, or one that is due; None: there is none any more, or it is paused or orphaned."""
    last_at: datetime | None
    """Its last occurrence that was fired."""
    last_run_at: datetime | None
    """When its last job was created, by an occurrence or by hand."""
    last_job: str | None
    """The id of that job."""
    last_state: State | None
    """Its state; None: there is no such job, or it is past its retention."""
    fired: int
    """Occurrences that were fired."""
    missed: int
    """Occurrences that were given up because nobody fired them in time (a cron expression's are counted up to
    1,000 at a time)."""
    skipped: int
    """Occurrences that were given up because a job of it hadn't ended."""
    refused: int
    """Occurrences that were given up because their queue couldn't take jobs."""
    gave_up_at: datetime | None
    """When occurrences were last given up."""
    declared: bool
    """It is declared in the code of workers; else a client has put it."""
    orphaned: bool
    """It was declared, but no worker's code does so any more: it isn't fired."""
    rescheduled: bool
    """It is declared with another schedule than this, which was set by hand."""
    paused: bool
    waiting: bool
    """It is due, and waits until its last job has ended (`overlap="queue"`)."""
    unreadable: str | None = None

    @classmethod
    def of(cls, record: RecurringRecord) -> RecurringJob:
        """From a storage's record."""
        unreadable = None
        try:
            known: Recurrence | None = Recurrence.unpack(record.id, record.definition)
        except SerializationError as error:
            known, unreadable = None, str(error)
        return cls(
            id=record.id,
            schedule=known.schedule if known else None,
            name=known.name if known else "",
            queue=known.queue if known else "",
            misfire=known.misfire if known else "once",
            overlap=known.overlap if known else "allow",
            jitter=timedelta(milliseconds=known.jitter_ms if known else 0),
            start=_time(known.start_ms if known else None),
            end=_time(known.end_ms if known else None),
            next_at=_time(record.next_ms),
            last_at=_time(record.last_ms),
            last_run_at=_time(record.fired_ms),
            last_job=record.last_job or None,
            last_state=record.last_state,
            fired=record.fired,
            missed=record.missed,
            skipped=record.skipped,
            refused=record.refused,
            gave_up_at=_time(record.gave_up_ms),
            declared=record.declared,
            orphaned=record.orphaned,
            rescheduled=record.original is not None,
            paused=record.paused,
            waiting=record.waiting,
            unreadable=unreadable,
        )


class RecurringJobs:
    """`client.recurring`: the recurring jobs of a namespace."""

    def __init__(self, client: Control) -> None:
        self._client = client

    async def put(
        self,
        recurring_id: str,
        schedule: str | timedelta | Schedule,
        call: Call[Any],
        /,
        **options: Unpack[RecurringOptions],
    ) -> RecurringJob:
        """Have a call made again and again: `put("nightly", "0 3 * * *", backup.call())`.

        `schedule`: a cron expression (see `Cron`) or an interval (a `timedelta`). The options are those of
        `RecurringOptions`. One that is there is replaced; its next time stays if its schedule does, and a
        paused one stays paused. Raises `OptionError`, also for one that has no occurrence before its end any
        more unless the very same was put before, and `JobStateError` if one of that id is declared in the
        code of workers.
        """
        if not isinstance(cast(object, call), Call):
            raise OptionError(f"{call!r} isn't a call: give what `.call(…)` of a job returns")
        if call.outputs:
            raise OptionError(
                f"{call.definition.name} takes the output of another job, and a recurring job waits for none"
            )
        recurrence = recurrence_of(recurring_id, call, checked_options(schedule, **options))
        recurrence.check_shard(self._client.storage.shards)
        now = await self._client.storage.time_ms(shard_for(recurring_id, self._client.storage.shards))
        new, next_ms = recurrence.new(declared=False), recurrence.next_after(now)
        if next_ms is None:
            known = await self._client.storage.get_recurring(recurring_id)
            # A program may put the same at each of its starts, and its end passes some time.
            if known is None or known.revision != new.revision:
                raise OptionError(
                    f"{recurrence.schedule} doesn't occur any more before the end"
                    f" ({_time(recurrence.end_ms)}): give a later end, or none"
                )
        put = await self._client.storage.put_recurring(new, next_ms)
        if put is Put.TAKEN:
            raise _declared(recurring_id, "give another id, or change it in the code")
        return RecurringJob.of(await self._read(recurring_id))

    async def reschedule(
        self,
        recurring_id: str,
        schedule: str | timedelta | Schedule,
        /,
        *,
        timezone: str | ZoneInfo | None = None,
    ) -> RecurringJob:
        """Give it another schedule, and leave all else as it is: `reschedule("nightly", "30 4 * * *")`.

        `schedule`: a cron expression or an interval; `timezone`: of a cron expression, default the one that
        it has. One that is declared in the code of workers keeps this schedule until `reset`, or until the
        code declares it differently than before. A paused one stays paused.

        Raises `OptionError`, also if it wouldn't occur any more before its end, `RecurringNotFound`, and
        `SerializationError` if it can't be read here.
        """
        changed = Changed.OUTDATED
        while changed is Changed.OUTDATED:
            record = await self._read(recurring_id)
            changed = await self._replace(record, _rescheduled(record, schedule, timezone), must_occur=True)
        if changed is Changed.MISSING:
            raise _not_found(recurring_id)
        return RecurringJob.of(await self._read(recurring_id))

    async def reset(self, recurring_id: str, /) -> RecurringJob:
        """Undo `reschedule` of one that is declared: the code's schedule counts again.

        Raises `RecurringNotFound`, and `SerializationError` if what the code says can't be read here.
        """
        record = await self._read(recurring_id)
        while record.original is not None:
            await self._replace(record, Recurrence.unpack(recurring_id, record.original))
            record = await self._read(recurring_id)
        return RecurringJob.of(record)

    async def _replace(
        self, record: RecurringRecord, recurrence: Recurrence, *, must_occur: bool = False
    ) -> Changed:
        now = await self._client.storage.time_ms(shard_for(record.id, self._client.storage.shards))
        new, next_ms = recurrence.new(declared=record.declared), recurrence.next_after(now)
        if next_ms is None and must_occur:
            raise OptionError(
                f"{recurrence.schedule} doesn't occur any more before the end ({_time(recurrence.end_ms)})"
            )
        return await self._client.storage.reschedule_recurring(new, record.revision, next_ms)

    async def preview(
        self,
        recurring_id: str,
        schedule: str | timedelta | Schedule | None = None,
        /,
        *,
        timezone: str | ZoneInfo | None = None,
        count: int = 5,
    ) -> builtins.list[datetime]:
        """Its next times, or those that it would have by another schedule (without jitter); 100 at most.

        Raises what `reschedule` does.
        """
        if not 1 <= count <= 100:
            raise OptionError(f"count must be from 1 to 100, not {count}")
        record = await self._read(recurring_id)
        if schedule is None:
            recurrence = Recurrence.unpack(recurring_id, record.definition)
        else:
            recurrence = _rescheduled(record, schedule, timezone)
        at = await self._client.storage.time_ms(shard_for(recurring_id, self._client.storage.shards))
        times: builtins.list[datetime] = []
        while len(times) < count and (later := recurrence.next_after(at)) is not None:
            times.append(to_datetime(later))
            at = later
        return times

    async def get(self, recurring_id: str, /) -> RecurringJob | None:
        """The recurring job of an id, or None."""
        record = await self._client.storage.get_recurring(recurring_id)
        return None if record is None else RecurringJob.of(record)

    async def list(self, *, offset: int = 0, limit: int = 100) -> list[RecurringJob]:
        """A page of the recurring jobs by their next time, those that have none last."""
        page = await self._client.storage.recurring(offset=offset, limit=limit)
        return [RecurringJob.of(record) for record in page.recurring]

    async def count(self) -> int:
        """How many recurring jobs there are."""
        return (await self._client.storage.recurring(limit=0)).total

    async def remove(self, recurring_id: str, /) -> None:
        """Forget a recurring job; jobs that it has made stay.

        One that is declared in workers' code can't be removed (it can be paused) until it is orphaned. Raises
        `JobStateError` and `RecurringNotFound`.
        """
        await self._read(recurring_id)
        if await self._client.storage.remove_recurring(recurring_id) is Changed.DECLARED:
            raise _declared(recurring_id, "remove it there, or pause it")

    async def pause(self, recurring_id: str, /) -> None:
        """Let it occur no more until it is resumed; jobs that it has made go on.

        Raises `RecurringNotFound`.
        """
        if await self._client.storage.pause_recurring(recurring_id) is Changed.MISSING:
            raise _not_found(recurring_id)

    async def resume(self, recurring_id: str, /) -> None:
        """Undo `pause`. What would have occurred meanwhile isn't made up for. Raises `RecurringNotFound`.

        Raises `SerializationError` if it can't be read here, so that nobody can tell when it occurs next.
        """
        changed = Changed.OUTDATED
        while changed is Changed.OUTDATED:
            record = await self._read(recurring_id)
            recurrence = Recurrence.unpack(record.id, record.definition)
            now = await self._client.storage.time_ms(shard_for(recurring_id, self._client.storage.shards))
            changed = await self._client.storage.resume_recurring(
                recurring_id, record.revision, recurrence.next_after(now)
            )
        if changed is Changed.MISSING:
            raise _not_found(recurring_id)

    async def trigger(self, recurring_id: str, /) -> Job[Any]:
        """Run it once now, whatever its schedule and whether it is paused; its next time stays.

        Raises `RecurringNotFound`, `StorageFull`, `JobStateError` if another job holds its unique key, and
        `SerializationError` if it can't be read here.
        """
        record = await self._read(recurring_id)
        recurrence = Recurrence.unpack(record.id, record.definition)
        job = recurrence.job(new_id(shard_for(recurring_id, self._client.storage.shards)))
        triggered = await self._client.storage.trigger_recurring(recurring_id, job)
        if triggered is Triggered.MISSING:
            raise _not_found(recurring_id)
        if triggered is Triggered.NOT_UNIQUE:
            raise JobStateError(f"recurring job {recurring_id} isn't run: another job holds its unique key")
        if triggered is Triggered.REFUSED:
            raise StorageError(
                f"queue {job.queue!r} can't take jobs: its key in Redis holds something else; delete it"
            )
        made = await self._client.get(job.id)
        if made is None:
            # With retention=0 it can have ended and gone already.
            raise RecurringNotFound(f"job {job.id} of recurring job {recurring_id} has been removed already")
        return made

    async def _read(self, recurring_id: str) -> RecurringRecord:
        record = await self._client.storage.get_recurring(recurring_id)
        if record is None:
            raise _not_found(recurring_id)
        return record


def _rescheduled(
    record: RecurringRecord, schedule: str | timedelta | Schedule, timezone: str | ZoneInfo | None
) -> Recurrence:
    known = Recurrence.unpack(record.id, record.definition)
    options: RecurringOptions = {
        "misfire": known.misfire,
        "overlap": known.overlap,
        "jitter": timedelta(milliseconds=known.jitter_ms),
        "start": _time(known.start_ms),
        "end": _time(known.end_ms),
    }
    if timezone is not None:
        options["timezone"] = timezone
    elif isinstance(schedule, str) and isinstance(known.schedule, Cron):
        options["timezone"] = known.schedule.timezone
    return replace(known, **checked_options(schedule, **options))


def _time(ms: int | None) -> datetime | None:
    return to_datetime(ms) if ms else None


def _not_found(recurring_id: str) -> RecurringNotFound:
    return RecurringNotFound(
        f"there is no recurring job {recurring_id}: it was never put or declared, or was removed"
    )


def _declared(recurring_id: str, what: str) -> JobStateError:
    return JobStateError(f"recurring job {recurring_id} is declared in the code of running workers: {what}")
