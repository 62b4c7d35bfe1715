"""What a job's definition, or one call of it, can set: small frozen values, checked when they are made.

| option | where it's given | inside |
| --- | --- | --- |
| `timeout`, `retention` of a job; `Retention`'s ages | `timedelta`, or seconds as a number | `int`, milliseconds |
| `Retry(delay=…)`, `Exponential(base=…, cap=…)` | `timedelta`, or seconds as a number | `timedelta`, whole milliseconds |
| due times | aware `datetime` | `int`, milliseconds since 1970 UTC |
| `priority` | whole number from -500 to 500; higher runs earlier | the same |
| `max_retries`, `max_recoveries`, `max_jobs` | whole number from 0 | the same |
"""  # noqa: E501 - a table can't be wrapped

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypedDict, Unpack, cast

from asyncjobs.errors import OptionError, SerializationError
from asyncjobs.limit import MAX_LIMITS, Limit
from asyncjobs.retry import Exponential, Retry, to_ms, whole_number
from asyncjobs.serialization import MsgpackSerializer
from asyncjobs.unique import KeyOf, Unique, check_key

__all__ = [
    "CallOptions",
    "Exponential",
    "JobOptions",
    "OptionOverrides",
    "Retention",
    "Retry",
    "apply_overrides",
    "aware",
    "check_job_id",
    "check_queue_name",
    "epoch_ms",
    "pack_overrides",
    "to_ms",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_QUEUE_NAME = re.compile(r"[^\s:,{}*?\[\]\\]{1,64}")
_JOB_ID = re.compile(r"[A-Za-z0-9_.\-+=@]{1,100}")
_DEFAULT_RETRY = Retry()
_PLAIN = MsgpackSerializer()


def aware(value: datetime, what: str) -> datetime:
    """`value`, which has to have a time zone. `what` begins the message of an error: "the time to run at".

    Raises:
        OptionError: it is naive, or no datetime.
    """
    if not isinstance(cast(object, value), datetime):
        raise OptionError(f"{what} is {value!r}: give a datetime with a time zone")
    if value.utcoffset() is None:
        raise OptionError(
            f"{what} is {value!r}, which has no time zone: add one, as in `datetime(…, tzinfo=UTC)` or "
            f"`value.astimezone()` for this machine's own"
        )
    return value


def epoch_ms(value: datetime, what: str) -> int:
    """An aware datetime as milliseconds since 1970 UTC, rounded up: nothing runs before its time.

    Raises:
        OptionError: it is naive, or no datetime.
    """
    return -((_EPOCH - aware(value, what)) // _MILLISECOND)


def check_job_id(job_id: str) -> str:
    """`job_id`, if a job can have it for its id: 1 to 100 letters, digits and `_ . - + = @`.

    Raises:
        OptionError: it can't.
    """
    if not isinstance(cast(object, job_id), str) or not _JOB_ID.fullmatch(job_id):
        raise OptionError(f"a job's id can't be {job_id!r}: give 1 to 100 letters, digits and _ . - + = @")
    return job_id


def check_queue_name(name: str) -> str:
    r"""`name`, if a queue can be called so: 1 to 64 printable characters, but no space : , { } * ? [ ] or \.

    Raises:
        OptionError: it can't.
    """
    if not isinstance(cast(object, name), str) or not _QUEUE_NAME.fullmatch(name) or not name.isprintable():
        raise OptionError(
            f"queue name {name!r} can't be used: give 1 to 64 printable characters without spaces, colons, "
            f"commas, braces and glob characters (* ? [ ] \\)"
        )
    return name


@dataclass(frozen=True, slots=True)
class Retention:
    """How long workers let jobs in a final state stay, and how many of them in each list.

    The ages are timedeltas or seconds (kept as timedeltas; 0 = removed by the next trimming); defaults 24 h
    for succeeded and cancelled, 90 days for failed. `max_jobs` (default 100,000) bounds each of the three
    lists; the oldest go first. A job's own `retention` counts more than the age of its list.

    Raises:
        OptionError: a value that can't be right.
    """

    succeeded: timedelta | float = timedelta(hours=24)
    cancelled: timedelta | float = timedelta(hours=24)
    failed: timedelta | float = timedelta(days=90)
    max_jobs: int = 100_000

    def __post_init__(self) -> None:
        for state in ("succeeded", "cancelled", "failed"):
            age = to_ms(getattr(self, state), f"Retention {state}")
            object.__setattr__(self, state, age * _MILLISECOND)
        whole_number(self.max_jobs, "Retention max_jobs", 0, 2**53)

    def age_ms(self, state: Literal["succeeded", "cancelled", "failed"]) -> int:
        """How long a job stays after it entered this state, in milliseconds."""
        return to_ms(getattr(self, state), state)


class OptionOverrides(TypedDict, total=False):
    """The options of jobs as users give them. One that isn't given stays as it is."""

    queue: str
    priority: int
    retry: Retry
    timeout: timedelta | float | None
    retention: timedelta | float | None
    keep_result: bool
    max_recoveries: int
    unique: Unique | KeyOf | None
    limits: Sequence[Limit]
    mutex: KeyOf | None
    expires: timedelta | float | None
    secret: Sequence[str]


class CallOptions(OptionOverrides, total=False):
    """What `JobOptions.merge` takes: further options of one call."""

    job_id: str


@dataclass(frozen=True, slots=True)
class JobOptions:
    """The options of a definition, or of one call.

    Made from what a user gives by `JobOptions().merge(timeout=30, …)`; the fields themselves are milliseconds.

    | field | default | meaning |
    | --- | --- | --- |
    | `queue` | "default" | see `check_queue_name` |
    | `priority` | 0 | -500 to 500 within the queue; higher runs earlier |
    | `retry` | `Retry()` | what becomes of a failed attempt |
    | `timeout_ms` | None | an attempt is stopped after it; None = never |
    | `retention_ms` | None | how long the job stays when it has ended; None = as `Retention` says, 0 = removed at once |
    | `keep_result` | True | whether what it returns is stored |
    | `max_recoveries` | 3 | how many workers may die over it before it fails; 0 = the first death fails it |
    | `unique` | None | a key that only one job holds at a time |
    | `limits` | () | the limits that it is under |
    | `mutex` | None | what makes the key of which only one job runs at a time |
    | `expires_ms` | None | how long after it's first due it isn't worth starting any more; None = it always is |
    | `secret` | () | parameters whose values aren't shown; "return": nor is the result |
    | `job_id` | None | its id, for one call |

    Raises:
        OptionError: a value that can't be right.
    """  # noqa: E501 - a table can't be wrapped

    queue: str = "default"
    priority: int = 0
    retry: Retry = _DEFAULT_RETRY
    timeout_ms: int | None = None
    retention_ms: int | None = None
    keep_result: bool = True
    max_recoveries: int = 3
    unique: Unique | None = None
    limits: tuple[Limit, ...] = ()
    mutex: KeyOf | None = None
    expires_ms: int | None = None
    secret: tuple[str, ...] = ()
    job_id: str | None = None

    def __post_init__(self) -> None:
        check_queue_name(self.queue)
        whole_number(self.priority, "priority", -500, 500)
        whole_number(self.max_recoveries, "max_recoveries", 0, 1_000_000)
        if self.timeout_ms is not None:
            whole_number(self.timeout_ms, "timeout in milliseconds (None for no time-out)", 1, 2**53)
        if self.retention_ms is not None:
            whole_number(self.retention_ms, "retention in milliseconds", 0, 2**53)
        if not isinstance(cast(object, self.retry), Retry):
            raise OptionError(f"retry is {self.retry!r}: give a Retry, as in `Retry(max_retries=5)`")
        if not isinstance(cast(object, self.keep_result), bool):
            raise OptionError(f"keep_result is {self.keep_result!r}: give True or False")
        if not self.is_free:
            self._check_constraints()

    def _check_constraints(self) -> None:
        for limit in self.limits:
            if not isinstance(cast(object, limit), Limit):
                raise OptionError(f"limits has {limit!r}: give Limits, as in `Limit('smtp', rate=100)`")
        names = [limit.name for limit in self.limits]
        if len(set(names)) < len(names):
            raise OptionError(f"limits names one limit twice: {', '.join(sorted(names))}")
        if len(names) + (self.mutex is not None) > MAX_LIMITS:
            raise OptionError(f"a job can be under {MAX_LIMITS} limits at most, its mutex included")
        if self.mutex is not None:
            check_key(self.mutex, "mutex")
        if self.expires_ms is not None:
            whole_number(self.expires_ms, "expires in milliseconds (None for never)", 1, 2**53)
        if self.job_id is not None:
            check_job_id(self.job_id)

    @property
    def is_free(self) -> bool:
        """Whether nothing binds the creation of a job with these options: no key, no limit, no expiry."""
        given = (self.unique, self.mutex, self.expires_ms, self.job_id)
        return not self.limits and all(option is None for option in given)

    def merge(self, **overrides: Unpack[CallOptions]) -> JobOptions:
        """These options with some replaced. Durations are timedeltas or seconds.

        Raises:
            OptionError: an option that doesn't exist, or a value that can't be right.
        """
        changes: dict[str, Any] = dict(overrides)
        unknown = sorted(changes.keys() - CallOptions.__annotations__.keys())
        if unknown:
            known = ", ".join(CallOptions.__annotations__)
            raise OptionError(f"there is no option {', '.join(unknown)}: give some of {known}")
        unique = changes.get("unique")
        if unique is not None and not isinstance(unique, Unique):
            changes["unique"] = Unique(unique)
        if "limits" in changes:
            limits = changes["limits"]
            if not isinstance(limits, Sequence):
                raise OptionError(f"limits is {limits!r}: give a list, as in `[Limit('smtp', rate=100)]`")
            changes["limits"] = tuple(cast("Sequence[Limit]", limits))
        if "secret" in changes:
            changes["secret"] = _names(changes["secret"])
        for name in ("timeout", "retention", "expires"):
            if name in changes:
                value = changes.pop(name)
                changes[f"{name}_ms"] = None if value is None else to_ms(value, name)
        return replace(self, **changes)


def _names(secret: object) -> tuple[str, ...]:
    if isinstance(secret, Sequence) and not isinstance(secret, (str, bytes)):
        names = tuple(cast("Sequence[object]", secret))
        if all(isinstance(name, str) for name in names):
            return cast("tuple[str, ...]", names)
    raise OptionError(f"secret is {secret!r}: give a list of parameters' names, as in `['password']`")


_KEYS = {"t": "timeout_ms", "e": "retention_ms", "k": "keep_result"}


def pack_overrides(defaults: JobOptions, merged: JobOptions) -> bytes:
    """What a worker has to be told of one call's options, as it knows the definition's; mostly `b""`.

    A packed map: r what differs in retry (see `Retry.pack`), t timeout_ms, e retention_ms, k keep_result. Not
    in it are queue, priority and max_recoveries, which the job has by itself.

    Raises:
        OptionError: the retry has a function or exception classes that the definition doesn't have.
    """
    if merged is defaults:
        return b""
    packed = {
        key: getattr(merged, name)
        for key, name in _KEYS.items()
        if getattr(merged, name) != getattr(defaults, name)
    }
    if merged.retry != defaults.retry:
        packed["r"] = merged.retry.pack(defaults.retry)
    return _PLAIN.pack(packed) if packed else b""


def apply_overrides(defaults: JobOptions, blob: bytes) -> JobOptions:
    """The definition's `defaults` with what `pack_overrides` made of one call's options.

    Raises:
        SerializationError: the bytes aren't what `pack_overrides` gives.
    """
    if not blob:
        return defaults
    changes: dict[str, Any] = {}
    packed = _PLAIN.unpack(blob)
    try:
        for key, value in packed.items():
            if key == "r":
                changes["retry"] = Retry.unpack(value, defaults.retry)
            else:
                changes[_KEYS[key]] = value
        return replace(defaults, **changes)
    except (LookupError, TypeError, ValueError, AttributeError) as exc:
        raise SerializationError(
            f"the job's own options {packed!r} can't be read: were they written by a newer version?"
        ) from exc
