"""The worker's slots, shared by the pumps of its shards."""

from __future__ import annotations

from typing import Protocol

PATIENCE = 16
"""Turns of others that a shard lets pass before it is given one: to take turns costs an exchange."""


class Taker(Protocol):
    """What takes slots: a shard's pump."""

    @property
    def backlogged(self) -> bool:
        """Whether its shard may have more jobs than it was given slots for."""
        ...

    @property
    def asking(self) -> bool:
        """Whether it is looking for jobs already; it does so again by itself if there are more."""
        ...

    def offer(self) -> None:
        """There are slots: look for jobs."""
        ...


class Slots:
    """How many jobs may be started. A slot is reserved before a shard is asked: no two shards fill it."""

    def __init__(self, concurrency: int) -> None:
        self.free = concurrency
        self.takers: list[Taker] = []
        self._turn = 0
        self._served: dict[Taker, int] = {}
        self._yielded: dict[Taker, int] = {}

    def reserve(self, taker: Taker, most: int) -> int:
        """Slots for a shard, up to `most`: all that are free, or its fair share if other shards have work."""
        free = min(self.free, most)
        others = [other for other in self.takers if other is not taker and other.backlogged] if free else []
        if others:
            idle = [other for other in others if not other.asking]
            for other in idle:
                other.offer()
            if free <= len(others) and self._yields(taker, others):
                return 0
            free = max(1, free // (len(idle) + 1))
        if free:
            self._turn += 1
            self._served[taker] = self._turn
            self.free -= free
        return free

    def _yields(self, taker: Taker, others: list[Taker]) -> bool:
        """Whether another one has waited for long; asked again in the same turn, that one doesn't come."""
        longest = max(self._turn - self._served.get(other, 0) for other in others)
        if longest < PATIENCE or self._yielded.get(taker) == self._turn:
            return False
        self._yielded[taker] = self._turn
        return True

    def release(self, count: int = 1) -> None:
        """Give slots back, to whoever had too few."""
        if count:
            self.free += count
            for taker in self.takers:
                if taker.backlogged and not taker.asking:
                    taker.offer()
