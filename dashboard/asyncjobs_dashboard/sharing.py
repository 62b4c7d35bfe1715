"""What pages read of the storage by themselves: once for all who look at the same page at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

T = TypeVar("T")

MOST_KEPT = 100
"""Pages whose readings are kept."""


@dataclass(slots=True)
class _Reading:
    task: asyncio.Task[Any]
    began: float = field(default_factory=time.monotonic)


class Shared:
    """Readings that are at most `seconds` old, by what they are of."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._readings: dict[Hashable, _Reading] = {}
        self._outdated_at = 0.0

    async def get(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` gives, or has just given to somebody else; what it raises isn't kept."""
        known = self._readings.get(key)
        if known is None or not self._fresh(known):
            known = self._begin(key, read)
        # Whoever asked first may leave; the others still wait for it.
        return cast(T, await asyncio.shield(known.task))

    def outdate(self) -> None:
        """Something was changed here: what was read so far, or begun to be, says nothing of it."""
        self._outdated_at = time.monotonic()

    async def close(self) -> None:
        """End what is under way."""
        for reading in self._readings.values():
            reading.task.cancel()
        await asyncio.gather(*(each.task for each in self._readings.values()), return_exceptions=True)
        self._readings.clear()

    def _begin(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> _Reading:
        async def run() -> T:
            return await read()

        for old in [each for each, reading in self._readings.items() if not self._fresh(reading)]:
            del self._readings[old]
        while len(self._readings) >= MOST_KEPT:
            del self._readings[next(iter(self._readings))]
        reading = _Reading(asyncio.create_task(run(), name="asyncjobs dashboard: reading for a page"))
        self._readings[key] = reading

        def ended(task: asyncio.Task[Any]) -> None:
            failed = task.cancelled() or task.exception() is not None
            if failed and self._readings.get(key) is reading:
                del self._readings[key]

        reading.task.add_done_callback(ended)
        return reading

    def _fresh(self, reading: _Reading) -> bool:
        age = time.monotonic() - reading.began
        # One that takes its time is waited for rather than begun again beside itself.
        return reading.began > self._outdated_at and (age <= self._seconds or not reading.task.done())
