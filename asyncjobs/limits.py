"""Limits, as a client sees them and changes their numbers."""

from __future__ import annotations

import builtins
import difflib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from asyncjobs.errors import OptionError
from asyncjobs.limit import check_limit_name, numbers_of
from asyncjobs.storage.base import MUTEX, LimitRecord, LimitSetting, Numbers

if TYPE_CHECKING:
    from asyncjobs.control import Control

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class LimitInfo:
    """One key of a limit, as it was when it was read."""

    name: str
    """The limit's; "mutex" of a mutex."""
    key: str
    """What is counted apart; "" for all jobs of the limit."""
    concurrency: int | None
    """So many may run at once; None if it is a rate."""
    rate: int | None
    """So many may start within `per`; None if it is none."""
    per: timedelta | None
    running: int
    """Jobs that run under it."""
    started: int
    """Of a rate: jobs that have started within the last `per`."""
    enqueued: int
    """Jobs in their queues that it has let through."""
    throttled: int
    """Jobs that wait for it."""

    @classmethod
    def of(cls, record: LimitRecord) -> LimitInfo:
        """From a storage's record."""
        name, _, key = record.id.partition(":")
        numbers = record.numbers
        return cls(
            name,
            key,
            *_parts(numbers),
            record.running,
            record.started,
            record.enqueued,
            record.throttled,
        )


@dataclass(frozen=True, slots=True)
class LimitNumbers:
    """A limit's numbers, which count for each of its keys."""

    name: str
    concurrency: int | None
    rate: int | None
    per: timedelta | None
    by_hand: bool
    """They were set by `Limits.set`, and stay whatever the code says."""

    @classmethod
    def of(cls, setting: LimitSetting) -> LimitNumbers:
        """From a storage's record."""
        return cls(setting.name, *_parts(setting.numbers), setting.by_hand)


class Limits:
    """`client.limits`: the limits of a namespace."""

    def __init__(self, client: Control) -> None:
        self._client = client

    async def list(self, *, offset: int = 0, limit: int = 100) -> list[LimitInfo]:
        """A page of the keys that jobs run, are enqueued or wait under, by name and key."""
        records, _ = await self._client.storage.limits(offset=offset, limit=limit)
        return [LimitInfo.of(record) for record in records]

    async def count(self) -> int:
        """How many such keys there are."""
        return (await self._client.storage.limits(limit=0))[1]

    async def numbers(self) -> builtins.list[LimitNumbers]:
        """The numbers of all limits that jobs were ever created under, by name."""
        settings = await self._client.storage.limit_settings()
        return [LimitNumbers.of(setting) for setting in settings if setting.name != MUTEX]

    async def set(
        self,
        name: str,
        /,
        *,
        concurrency: int | None = None,
        rate: int | None = None,
        per: timedelta | float = 1.0,
    ) -> None:
        """Change a limit's numbers at once, for all its keys and whatever the code says, until `reset`.

        What the code limits by `concurrency` stays so, and what it limits by `rate`. Jobs that there is room
        for now are let go; none is stopped. Raises `OptionError`, also if no job was ever under that limit
        and the registry doesn't know it.
        """
        check_limit_name(name)
        numbers = numbers_of(concurrency, rate, per, f"limit {name!r}")
        known = await self._known(name)
        if bool(known.per_ms) != bool(numbers.per_ms):
            kind = "a rate: give rate= and per=" if known.per_ms else "so many at once: give concurrency="
            raise OptionError(f"limit {name!r} is {kind}")
        await self._client.storage.set_limit(name, numbers)

    async def reset(self, name: str, /) -> None:
        """Undo `set`: the code's numbers count again, those of whoever creates the next job under it.

        Raises `OptionError`.
        """
        check_limit_name(name)
        await self._known(name)
        declared = self._declared().get(name)
        if declared is not None:
            await self._client.storage.set_limit(name, declared)
        await self._client.storage.set_limit(name, None)

    def _declared(self) -> dict[str, Numbers]:
        registry = self._client.registry
        return {} if registry is None else {limit.name: limit.numbers for limit in registry.limits()}

    async def _known(self, name: str) -> Numbers:
        """The numbers of a limit in the code, else in the storage. Raises `OptionError`."""
        known = self._declared()
        if name not in known:
            settings = await self._client.storage.limit_settings()
            known |= {setting.name: setting.numbers for setting in settings if setting.name != MUTEX}
        if name not in known:
            near = difflib.get_close_matches(name, known, 3) or sorted(known)[:3]
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise OptionError(f"there is no limit {name!r}: no job was ever created under it{hint}")
        return known[name]


def _parts(numbers: Numbers) -> tuple[int | None, int | None, timedelta | None]:
    if numbers.per_ms:
        return None, numbers.most, numbers.per_ms * _MILLISECOND
    return numbers.most, None, None
