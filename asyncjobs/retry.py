"""Whether, how often and after how long a failed job is tried again."""

from __future__ import annotations

import inspect
import math
import random as _random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from datetime import timedelta
from typing import Any, Literal, TypeAlias, cast

from asyncjobs.errors import OptionError, SerializationError

__all__ = ["MAX_RETRY_DELAY", "Delay", "Exponential", "Retry", "to_ms"]

Seconds: TypeAlias = "timedelta | float"
"""A duration at the public edge: a `timedelta`, or a number of seconds."""

MAX_RETRY_DELAY = timedelta(days=365)
"""No retry waits longer, whatever its formula gives."""

_MILLISECOND = timedelta(milliseconds=1)
_LONGEST = timedelta(days=36_525)
_MAX_RETRIES = 1_000_000
_JITTERS = ("full", "equal", "none")


def to_ms(value: Seconds, what: str) -> int:
    """A duration (`timedelta`, or seconds) as milliseconds, rounded, but never to 0 from something longer.

    `what` begins the message of an error: "timeout".

    Raises:
        OptionError: not a number or timedelta, negative, nan, or longer than 100 years.
    """
    if isinstance(value, timedelta):
        # A timedelta beyond the range would lose digits as a float.
        seconds = value.total_seconds() if abs(value) <= _LONGEST else math.copysign(math.inf, value.days)
    elif type(value) in (int, float):
        seconds = value
    else:
        raise OptionError(f"{what} is {value!r}: give a timedelta, or a number of seconds")
    if not seconds >= 0:  # a nan isn't either
        raise OptionError(f"{what} is {value!r}: a duration can't be negative or nan")
    if seconds > _LONGEST.total_seconds():
        raise OptionError(f"{what} is {value!r}: give 100 years at most (durations are seconds)")
    return max(round(seconds * 1000), 1) if seconds else 0


def _duration(value: Seconds, what: str) -> timedelta:
    """One form for all that means the same, so that equal settings are equal values."""
    return to_ms(value, what) * _MILLISECOND


def whole_number(value: Any, what: str, lowest: int, highest: int) -> int:
    """`value`, which has to be an int within the bounds.

    Raises:
        OptionError: it isn't.
    """
    if type(value) is not int or not lowest <= value <= highest:
        raise OptionError(f"{what} is {value!r}: give a whole number from {lowest:,} to {highest:,}")
    return value


@dataclass(frozen=True, slots=True)
class Exponential:
    """A delay that grows by `factor` with each retry: `base * factor ** (n - 1)` before the n-th, at most
    `cap`.

    `base` and `cap` are timedeltas or seconds (kept as timedeltas); defaults 1 s and 1 h; `factor` is 1 or
    more, default 2. `jitter` spreads the retries of jobs that failed together: "full" (default) picks
    anything between 0 and the delay, "equal" between half of it and all of it, "none" takes it as it is.

    Raises:
        OptionError: a value that can't be right.
    """

    base: Seconds = 1
    factor: float = 2
    cap: Seconds = 3600
    jitter: Literal["full", "equal", "none"] = "full"

    def __post_init__(self) -> None:
        base = _duration(self.base, "Exponential base")
        cap = _duration(self.cap, "Exponential cap")
        if not base:
            raise OptionError("Exponential base is 0, and nothing grows from it: give the first delay")
        if cap < base:
            raise OptionError(
                f"Exponential cap ({cap}) is shorter than its base ({base}): swap them, or raise cap"
            )
        factor: object = self.factor
        if type(factor) not in (int, float) or not 1 <= self.factor < math.inf:
            raise OptionError(f"Exponential factor is {factor!r}: give a number of 1 or more")
        if self.jitter not in _JITTERS:
            raise OptionError(f"Exponential jitter is {self.jitter!r}: give one of {', '.join(_JITTERS)}")
        object.__setattr__(self, "base", base)
        object.__setattr__(self, "cap", cap)

    def delay_ms(self, retry_number: int, random: Callable[[], float] = _random.random) -> int:
        """The delay before the n-th retry (from 1), in milliseconds. `random` gives numbers from 0 to below "
        "1."""
        cap = to_ms(self.cap, "cap")
        try:
            delay = min(to_ms(self.base, "base") * float(self.factor) ** (retry_number - 1), cap)
        except OverflowError:
            delay = cap
        if self.jitter == "full":
            delay *= random()
        elif self.jitter == "equal":
            delay *= 0.5 + random() / 2
        return round(delay)


DelayFunction: TypeAlias = "Callable[[int, BaseException], Seconds]"
"""Gets the retry's number (from 1) and what the attempt raised; gives a `timedelta` or seconds."""

Delay: TypeAlias = "Seconds | Sequence[Seconds] | Exponential | DelayFunction"
"""What `Retry(delay=…)` may be."""


@dataclass(frozen=True, slots=True)
class Retry:
    """What becomes of a job whose attempt failed.

    | setting | default | meaning |
    | --- | --- | --- |
    | `max_retries` | 10 | retries after the first attempt; 0 = never |
    | `delay` | None | the wait before the n-th retry (below) |
    | `only` | () | retry these exceptions (and their subclasses) only; empty = all |
    | `except_` | () | don't retry these; counts more than `only` |
    | `on_exhausted` | "fail" | with no retry left, or none allowed, the job ends "failed" ("fail") or "cancelled" ("cancel") |

    `delay`, where a duration is a `timedelta` or seconds:

    - None: `(n-1)**4 + 15 + random(0..30) * n` seconds: about half a minute first, some hours in all for ten;
    - a duration: always that;
    - a list or tuple of durations: one after the other, the last one repeats;
    - `Exponential(...)`;
    - a function of the retry's number (from 1) and the exception, giving a duration.

    No delay is longer than 365 days. Durations are kept as timedeltas, rounded to milliseconds.

    A function and exception classes can only be declared on a definition: as an override of one call they would
    have to travel in the job.

    Raises:
        OptionError: a value that can't be right.
    """  # noqa: E501 - a table can't be wrapped

    max_retries: int = 10
    delay: Delay | None = None
    _: KW_ONLY
    only: tuple[type[BaseException], ...] = ()
    except_: tuple[type[BaseException], ...] = ()
    on_exhausted: Literal["fail", "cancel"] = "fail"

    def __post_init__(self) -> None:
        whole_number(self.max_retries, "Retry max_retries", 0, _MAX_RETRIES)
        object.__setattr__(self, "delay", _checked_delay(self.delay))
        _check_classes("only", self.only)
        _check_classes("except_", self.except_)
        both = [cls.__name__ for cls in self.only if cls in self.except_]
        if both:
            raise OptionError(f"Retry has {', '.join(both)} both in only and in except_: remove it from one")
        if self.on_exhausted not in ("fail", "cancel"):
            raise OptionError(f'Retry on_exhausted is {self.on_exhausted!r}: give "fail" or "cancel"')

    def retries(self, exception: BaseException) -> bool:
        """Whether `only` and `except_` allow a retry after this exception (not whether any is left)."""
        if isinstance(exception, self.except_):
            return False
        return not self.only or isinstance(exception, self.only)

    def delay_ms(
        self, retry_number: int, exception: BaseException, random: Callable[[], float] = _random.random
    ) -> int:
        """The wait before the n-th retry (from 1), in milliseconds. `random` gives numbers from 0 to below 1.

        Raises:
            OptionError: the delay function gave something that isn't a duration.
            Exception: what the delay function raised.
        """
        longest = to_ms(MAX_RETRY_DELAY, "MAX_RETRY_DELAY")
        delay = self.delay
        if delay is None:
            seconds = min((retry_number - 1) ** 4, longest) + 15 + random() * 30 * retry_number
            return min(round(seconds * 1000), longest)
        if isinstance(delay, Exponential):
            return min(delay.delay_ms(retry_number, random), longest)
        parts = _durations(delay)
        if parts:
            return to_ms(parts[min(retry_number, len(parts)) - 1], "Retry delay")
        function = cast("DelayFunction", delay)
        name = getattr(function, "__qualname__", repr(function))
        return min(to_ms(function(retry_number, exception), f"what the retry delay {name} gave"), longest)

    def pack(self, base: Retry | None = None) -> dict[str, Any]:
        """What differs from `base` (default: `Retry()`), as plain values under short keys.

        | key | value |
        | --- | --- |
        | n | max_retries |
        | d | delay: nil, milliseconds, a list of them, or a map: b base and c cap in milliseconds, f factor, j jitter |
        | o, e | an empty list: no only, no except_ |
        | x | on_exhausted |

        Raises:
            OptionError: a function or exception classes differ, which can't travel in a job.
        """  # noqa: E501 - a table can't be wrapped
        base = base or Retry()
        packed: dict[str, Any] = {}
        if self.max_retries != base.max_retries:
            packed["n"] = self.max_retries
        if self.delay != base.delay:
            packed["d"] = _pack_delay(self.delay)
        for key, mine, theirs in (("o", self.only, base.only), ("e", self.except_, base.except_)):
            if mine != theirs:
                if mine:
                    raise OptionError(
                        "exception classes (only, except_) can't be set for one call, as they can't travel "
                        "in the job: declare them on the definition, `@registry.job(retry=Retry(only=…))`"
                    )
                packed[key] = []
        if self.on_exhausted != base.on_exhausted:
            packed["x"] = self.on_exhausted
        return packed

    @classmethod
    def unpack(cls, packed: Mapping[str, Any], base: Retry | None = None) -> Retry:
        """What `pack` was called on, given the same `base`.

        Raises:
            SerializationError: it isn't what `pack` gives.
        """
        base = base or Retry()
        changes: dict[str, Any] = {}
        try:
            for key, value in packed.items():
                name = _NAMES[key]
                changes[name] = _unpack_delay(value) if key == "d" else tuple(value) if key in "oe" else value
            return replace(base, **changes)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as exc:
            raise SerializationError(
                f"the job's retry setting {packed!r} can't be read: was it written by a newer version?"
            ) from exc


_NAMES = {"n": "max_retries", "d": "delay", "o": "only", "e": "except_", "x": "on_exhausted"}


def _durations(delay: Any) -> list[timedelta]:
    """The durations of a delay that is one, or several."""
    if isinstance(delay, timedelta):
        return [delay]
    return list(delay) if delay.__class__ is tuple else []


def _checked_delay(delay: Any) -> Any:
    if delay is None or isinstance(delay, Exponential):
        return delay
    if delay.__class__ in (list, tuple):
        if not delay:
            raise OptionError("Retry delay is an empty list: give a delay at least, or None for the default")
        return tuple(_within_longest(part) for part in delay)
    if callable(delay):
        if inspect.iscoroutinefunction(delay):
            raise OptionError(
                "Retry delay is an async function: it has to give the delay at once, so use `def`"
            )
        return delay
    return _within_longest(delay)


def _within_longest(delay: Any) -> timedelta:
    duration = _duration(delay, "Retry delay")
    if duration > MAX_RETRY_DELAY:
        raise OptionError(f"Retry delay is {duration}: give {MAX_RETRY_DELAY.days} days at most")
    return duration


def _check_classes(what: str, classes: Any) -> None:
    if classes.__class__ is not tuple or not all(
        isinstance(cls, type) and issubclass(cls, BaseException) for cls in classes
    ):
        raise OptionError(
            f"Retry {what} is {classes!r}: give a tuple of exception classes, `{what}=(ValueError,)`"
        )


def _pack_delay(delay: Delay | None) -> Any:
    if delay is None:
        return None
    if isinstance(delay, Exponential):
        base, cap = to_ms(delay.base, "base"), to_ms(delay.cap, "cap")
        return {"b": base, "f": delay.factor, "c": cap, "j": delay.jitter}
    parts = [to_ms(part, "delay") for part in _durations(delay)]
    if not parts:
        raise OptionError(
            "a function as retry delay can't be set for one call, as it can't travel in the job: declare it "
            "on the definition, `@registry.job(retry=Retry(delay=…))`"
        )
    return parts[0] if isinstance(delay, timedelta) else parts


def _unpack_delay(packed: Any) -> Any:
    if packed is None:
        return None
    if packed.__class__ is dict:
        base, cap = packed["b"] * _MILLISECOND, packed["c"] * _MILLISECOND
        return Exponential(base, packed["f"], cap, packed["j"])
    if packed.__class__ is list:
        return tuple(part * _MILLISECOND for part in packed)
    return packed * _MILLISECOND
