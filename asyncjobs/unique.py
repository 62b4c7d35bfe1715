"""`Unique`: at most one job of a key at a time."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeAlias, cast

from asyncjobs.errors import OptionError
from asyncjobs.retry import to_ms
from asyncjobs.storage.unique import Until

KeyOf: TypeAlias = str | Callable[..., object]
"""A template over a call's arguments (`"welcome:{user_id}"`), or a function of them that gives the key."""

_UNTIL = {"started": Until.STARTED, "finished": Until.FINISHED}
_ON_CONFLICT = ("return", "replace", "raise")


@dataclass(frozen=True, slots=True)
class Unique:
    """A key that only one job holds at a time, whatever its definition.

    * `key`: a template over the call's arguments, `"welcome:{user_id}"`, in the syntax of `str.format`; or a
      function that takes the arguments and returns the key.
    * `until`: for how long the job holds it: `"finished"` (default): until it has succeeded, failed or was
      cancelled; `"started"`: until its first attempt begins; a `timedelta` or seconds: for so long from its
      creation, whatever becomes of it.
    * `on_conflict`: what becomes of a call whose key another job holds. `"return"` (default): no job is
      created, and the other one is returned. `"replace"`: if the other one waits, it is cancelled, and the
      new one created in its place; if it runs already, it goes on, and the new one is created and holds the
      key from then on. `"raise"`: `UniqueConflict` is raised.

    Raises:
        OptionError: a value that can't be right.
    """

    key: KeyOf
    until: Literal["finished", "started"] | timedelta | float = "finished"
    on_conflict: Literal["return", "replace", "raise"] = "return"

    def __post_init__(self) -> None:
        check_key(self.key, "a unique key")
        if self.on_conflict not in _ON_CONFLICT:
            raise OptionError(f"on_conflict is {self.on_conflict!r}: give 'return', 'replace' or 'raise'")
        if isinstance(cast(object, self.until), str):
            if self.until not in _UNTIL:
                raise OptionError(f"until is {self.until!r}: give 'finished', 'started' or a duration")
        elif not self.period_ms:
            raise OptionError("a unique key can't be held for no time at all: give a longer period")

    @property
    def kind(self) -> Until:
        """`until`, as a storage knows it."""
        return _UNTIL[self.until] if isinstance(self.until, str) else Until.PERIOD

    @property
    def period_ms(self) -> int:
        """The period, in milliseconds; 0 if it isn't for a period."""
        return 0 if isinstance(self.until, str) else to_ms(self.until, "until")


def check_key(key: Any, what: str) -> None:
    """Raise `OptionError` for what can't make a key."""
    if not (isinstance(key, str) and key) and not callable(key):
        raise OptionError(
            f"{what} is {key!r}: give a template over the arguments, as in 'welcome:{{user_id}}', or a"
            " function of them"
        )
    if inspect.iscoroutinefunction(key):
        raise OptionError(f"{what} is {key!r}: give a plain function, which isn't awaited")
