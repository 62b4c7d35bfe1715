"""`Limit`: how many jobs may run at once, or start within a time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from asyncjobs.errors import OptionError
from asyncjobs.retry import to_ms, whole_number
from asyncjobs.storage.limits import MUTEX, Numbers
from asyncjobs.unique import KeyOf, check_key

MAX_PER_MS = 31 * 86_400_000
MAX_MOST = 100_000
MAX_LIMITS = 8
"""Limits that one job may be under, its mutex included."""
_NAME = re.compile(r"[\w.\-/]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Limit:
    """How many jobs may run at once, or start within a time. All jobs that name it count together.

    * `name`: 1 to 64 letters, digits and `_ . - /`.
    * `concurrency`: so many may run at once; or
    * `rate` and `per`: so many may start within any span of that length (a `timedelta` or seconds, default 1
      s): a sliding window, by Redis' clock.
    * `key`: a template over the call's arguments (`"{tenant}"`), or a function of them: jobs of each key are
      counted apart. Without one, all are counted together.

    A job that is over the limit is `throttled`: it holds no slot of a worker, and runs when there is room,
    longest waiting first. Raises `OptionError`.
    """

    name: str
    concurrency: int | None = None
    rate: int | None = None
    per: timedelta | float = 1.0
    key: KeyOf | None = None

    def __post_init__(self) -> None:
        check_limit_name(self.name)
        if self.key is not None:
            check_key(self.key, f"the key of limit {self.name!r}")
        numbers_of(self.concurrency, self.rate, self.per, f"limit {self.name!r}")

    @property
    def numbers(self) -> Numbers:
        """How many, and within which time."""
        return numbers_of(self.concurrency, self.rate, self.per, f"limit {self.name!r}")


def check_limit_name(name: str) -> str:
    """`name`, if a limit can be called so. Raises `OptionError`."""
    if not isinstance(cast(object, name), str) or not _NAME.fullmatch(name):
        raise OptionError(f"a limit can't be called {name!r}: give 1 to 64 letters, digits and _ . - /")
    if name == MUTEX:
        raise OptionError(f"a limit can't be called {MUTEX!r}: mutexes are")
    return name


def numbers_of(concurrency: int | None, rate: int | None, per: timedelta | float, what: str) -> Numbers:
    """The numbers of a limit, checked. Raises `OptionError`."""
    if (concurrency is None) == (rate is None):
        raise OptionError(f"{what} needs either concurrency=, or rate= and per=")
    if concurrency is not None:
        return Numbers(whole_number(concurrency, f"{what}: concurrency", 1, MAX_MOST))
    per_ms = to_ms(per, f"{what}: per")
    whole_number(per_ms, f"{what}: per, in milliseconds,", 1, MAX_PER_MS)
    return Numbers(whole_number(rate, f"{what}: rate", 1, MAX_MOST), per_ms)
