"""One recurring job: its schedule, its options, what it runs, and what is to be done at its time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict, Unpack, cast
from zoneinfo import ZoneInfo

import msgpack

from asyncjobs.clock import to_datetime
from asyncjobs.constraints import Constraints
from asyncjobs.errors import OptionError, SerializationError
from asyncjobs.ids import occurrence_id, shard_for
from asyncjobs.job import Call
from asyncjobs.options import OptionOverrides, epoch_ms, to_ms
from asyncjobs.schedules import Cron, Every, Schedule, schedule_of
from asyncjobs.storage.base import (
    Due,
    Firing,
    LimitUse,
    NewJob,
    NewRecurring,
    Numbers,
    UniqueClaim,
    Until,
)

Misfire = Literal["once", "all", "skip"]
Overlap = Literal["allow", "skip", "queue"]

ALL_LIMIT = 100
"""Missed occurrences that `misfire="all"` makes up for, the latest."""
COUNT_LIMIT = 1_000
"""Occurrences of a cron expression that are counted; that more were missed isn't told."""
PUNCTUAL_MS = 60_000
"""An occurrence that is fired so late wasn't missed."""
_MILLISECOND = timedelta(milliseconds=1)


class RecurringOptions(TypedDict, total=False):
    """How a recurring job recurs, beside its schedule.

    * `timezone`: of a cron expression; an IANA name or a `ZoneInfo`; default UTC.
    * `misfire`: what becomes of occurrences that nobody could fire in time: `"once"` (default): all of them
      together are made up for by one job; `"all"`: each, the latest 100 at most; `"skip"`: none.
    * `overlap`: what becomes of an occurrence while a job of an earlier one hasn't ended: `"allow"`
      (default): it is fired; `"skip"`: it is given up; `"queue"`: it is fired when that has ended, and those
      after it that come meanwhile are given up.
    * `jitter`: a `timedelta` or seconds; each job is due by chance up to so much after its occurrence.
    * `start`, `end`: aware `datetime`s; it occurs from the one to the other, both included. An interval is
      counted from `start`.
    """

    timezone: str | ZoneInfo
    misfire: Misfire
    overlap: Overlap
    jitter: timedelta | float
    start: datetime | None
    end: datetime | None


class RecurringJobOptions(OptionOverrides, RecurringOptions, total=False):
    """What `Registry.recurring` takes: the options of a job, and how it recurs."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A recurring job, complete and checked. Made by `recurrence_of`."""

    id: str
    schedule: Schedule
    name: str
    """The name of the definition that it runs."""
    queue: str
    payload: bytes = b""
    priority: int = 0
    options: bytes = b""
    max_recoveries: int = 3
    constraints: Constraints | None = None
    misfire: Misfire = "once"
    overlap: Overlap = "allow"
    jitter_ms: int = 0
    start_ms: int | None = None
    end_ms: int | None = None

    # -- when --

    def next_after(self, ms: int) -> int | None:
        """Its first occurrence later than a time, both in ms since 1970; None: there is none any more."""
        if self.start_ms is not None:
            ms = max(ms, self.start_ms - 1)
        found = self.schedule.after(ms)
        return None if found is None or (self.end_ms is not None and found > self.end_ms) else found

    def firing(self, due: Due, now_ms: int, shard: int) -> Firing:
        """What is to be done now that its next time has come, by the time that the storage told."""
        fire, count = self._chosen(due, now_ms)
        given_up = count - len(fire)
        return Firing(
            id=self.id,
            revision=due.revision,
            expected_ms=due.next_ms,
            next_ms=self.next_after(now_ms),
            jobs=[self._occurrence(ms, shard) for ms in fire],
            last_ms=fire[-1] if fire else 0,
            missed=0 if due.waiting else given_up,
            passed=given_up if due.waiting else 0,
            overlap=self.overlap,
        )

    def _chosen(self, due: Due, now_ms: int) -> tuple[list[int], int]:
        """The occurrences to be fired, and how many are due (as far as they're counted)."""
        end = now_ms if self.end_ms is None else min(now_ms, self.end_ms)
        first = due.next_ms
        if isinstance(self.schedule, Every):
            count = self.schedule.count(first, end)
        else:
            count = len(self.schedule.first(first, end, COUNT_LIMIT))
        if due.waiting:
            return [first], max(count, 1)
        if self.misfire == "all":
            fire = self.schedule.last(first, end, ALL_LIMIT)
        else:
            fire = self.schedule.last(first, end, 1)
        if self.misfire == "skip" and fire and now_ms - fire[-1] > PUNCTUAL_MS:
            fire = []
        return fire, max(count, len(fire))

    def _occurrence(self, occurrence_ms: int, shard: int) -> NewJob:
        job_id = occurrence_id(self.id, occurrence_ms, shard)
        due_ms = 0
        if self.jitter_ms:
            # Always the same for an occurrence, as all of its job has to be.
            chance = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:8])
            due_ms = occurrence_ms + chance % (self.jitter_ms + 1)
        return self.job(job_id, due_ms)

    def job(self, job_id: str, due_ms: int = 0) -> NewJob:
        """A job of it."""
        bound = self.constraints or Constraints()
        return NewJob(
            id=job_id,
            name=self.name,
            queue=self.queue,
            payload=self.payload,
            priority=self.priority,
            due_ms=due_ms,
            options=self.options,
            max_recoveries=self.max_recoveries,
            unique=bound.unique,
            limits=bound.limits,
            expires_ms=bound.expires_ms,
        )

    def check_shard(self, shards: int) -> None:
        """Raise `OptionError` if its jobs can't be where it is, in a namespace of several shards."""
        if self.constraints is not None:
            own = shard_for(self.id, shards)
            self.constraints.shard(shards, f"recurring job {self.id}", own, "its own id", fixed=True)

    # -- as it is stored --

    def new(self, *, declared: bool) -> NewRecurring:
        """What a storage is told."""
        definition = self.pack()
        timing = msgpack.packb((_pack_schedule(self.schedule, exact=False), self.start_ms, self.end_ms))
        return NewRecurring(self.id, definition, _hash(definition), _hash(timing), declared)

    def pack(self) -> bytes:
        """All of it but the id, as bytes."""
        return msgpack.packb(
            {
                "s": _pack_schedule(self.schedule, exact=True),
                "n": self.name,
                "q": self.queue,
                "a": self.payload,
                "p": self.priority,
                "o": self.options,
                "r": self.max_recoveries,
                **({} if self.constraints is None else {"c": _pack_constraints(self.constraints)}),
                "m": self.misfire,
                "l": self.overlap,
                "j": self.jitter_ms,
                "b": self.start_ms,
                "e": self.end_ms,
            }
        )

    @classmethod
    def unpack(cls, recurring_id: str, packed: bytes) -> Recurrence:
        """What `pack` was called on.

        Raises `SerializationError` if it can't be read here: it was written by a newer version, or this
        machine doesn't know its time zone.
        """
        try:
            told: dict[str, Any] = msgpack.unpackb(packed)
            return cls(
                id=recurring_id,
                schedule=_unpack_schedule(told["s"]),
                name=told["n"],
                queue=told["q"],
                payload=told["a"],
                priority=told["p"],
                options=told["o"],
                max_recoveries=told["r"],
                constraints=_unpack_constraints(told["c"]) if "c" in told else None,
                misfire=told["m"],
                overlap=told["l"],
                jitter_ms=told["j"],
                start_ms=told["b"],
                end_ms=told["e"],
            )
        except Exception as error:
            raise SerializationError(f"recurring job {recurring_id!r} can't be read: {error}") from error


def checked_options(
    when: str | timedelta | Schedule | None,
    *,
    every: timedelta | float | None = None,
    **options: Unpack[RecurringOptions],
) -> dict[str, Any]:
    """The schedule and options that a user has given, as fields of a `Recurrence`. Raises `OptionError`."""
    known = RecurringOptions.__annotations__
    if unknown := sorted(options.keys() - known.keys()):
        raise OptionError(f"there is no option {', '.join(unknown)}: give some of {', '.join(known)}")
    start, end = options.get("start"), options.get("end")
    start_ms = None if start is None else epoch_ms(start, "the start")
    end_ms = None if end is None else epoch_ms(end, "the end")
    if start_ms is not None and end_ms is not None and end_ms < start_ms:
        raise OptionError(f"the end ({end}) is before the start ({start})")
    schedule = schedule_of(when, every=every, timezone=options.get("timezone"), anchor=start)
    misfire, overlap = options.get("misfire", "once"), options.get("overlap", "allow")
    _one_of(misfire, "misfire", ("once", "all", "skip"))
    _one_of(overlap, "overlap", ("allow", "skip", "queue"))
    if misfire == "all" and overlap != "allow":
        raise OptionError(
            f"misfire='all' makes up for every occurrence, and overlap={overlap!r} gives most of those up: "
            f"choose one of the two"
        )
    jitter_ms = to_ms(options.get("jitter", 0), "jitter")
    if isinstance(schedule, Every) and jitter_ms >= schedule.interval_ms:
        raise OptionError(
            f"the jitter ({jitter_ms / 1000:g} s) has to be less than the interval ({schedule})"
        )
    return {
        "schedule": schedule,
        "misfire": misfire,
        "overlap": overlap,
        "jitter_ms": jitter_ms,
        "start_ms": start_ms,
        "end_ms": end_ms,
    }


def recurrence_of(recurring_id: str, call: Call[Any], options: dict[str, Any]) -> Recurrence:
    """A recurring job that makes a call; `options` are what `checked_options` gives. Raises `OptionError`."""
    settings = call.definition.settings
    if settings.job_id is not None:
        raise OptionError("a recurring job makes many jobs, which can't all have one job_id")
    return Recurrence(
        id=check_id(recurring_id),
        name=call.definition.name,
        queue=settings.queue,
        payload=call.payload,
        priority=settings.priority,
        options=call.definition.overrides,
        max_recoveries=settings.max_recoveries,
        constraints=call.constraints,
        **options,
    )


def check_id(recurring_id: str) -> str:
    """`recurring_id`, if a recurring job can be called so: 1 to 200 printable characters without spaces.

    Raises `OptionError`.
    """
    text = cast(object, recurring_id)
    if (
        not isinstance(text, str)
        or not 1 <= len(text) <= 200
        or not text.isprintable()
        or any(letter.isspace() for letter in text)
    ):
        raise OptionError(
            f"a recurring job can't be called {recurring_id!r}: give 1 to 200 printable characters, no spaces"
        )
    return recurring_id


def _one_of(value: object, what: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise OptionError(f"{what} is {value!r}: give one of {', '.join(map(repr, choices))}")


def _hash(packed: bytes) -> str:
    return hashlib.sha256(packed).hexdigest()[:16]


def _pack_schedule(schedule: Schedule, *, exact: bool) -> dict[str, Any]:
    """`exact`: as the user wrote it; else two that mean the same are the same."""
    if isinstance(schedule, Cron):
        return {"c": schedule.expression if exact else schedule.fields, "z": schedule.timezone}
    return {"i": schedule.interval_ms, "a": schedule.anchor_ms}


def _pack_constraints(bound: Constraints) -> dict[str, Any]:
    unique = bound.unique
    return {
        "u": None if unique is None else (unique.key, unique.until.value, unique.period_ms, unique.replaces),
        "l": [(use.name, use.key, use.numbers.most, use.numbers.per_ms) for use in bound.limits],
        "x": bound.expires_ms,
    }


def _unpack_constraints(told: dict[str, Any]) -> Constraints:
    unique = told["u"]
    return Constraints(
        unique=None if unique is None else UniqueClaim(unique[0], Until(unique[1]), unique[2], unique[3]),
        limits=tuple(LimitUse(name, key, Numbers(most, per)) for name, key, most, per in told["l"]),
        expires_ms=told["x"],
    )


def _unpack_schedule(told: dict[str, Any]) -> Schedule:
    if "c" in told:
        return Cron(told["c"], told["z"])
    return Every(told["i"] * _MILLISECOND, to_datetime(told["a"]) if told["a"] else None)
