"""The worker's slots, shared by the pumps of its shards."""

from __future__ import annotations

from typing import Protocol


class Taker(Protocol):
    """What takes slots: a shard's pump."""

    @property
    def backlogged(self) -> bool:
        """Whether its shard may have more jobs than it was given slots for."""
        ...

    def want(self) -> None:
        """Look for jobs."""
        ...


class Slots:
    """How many jobs may be started. A slot is reserved before a shard is asked: no two shards fill it."""

    def __init__(self, concurrency: int) -> None:
        self.free = concurrency
        self.takers: list[Taker] = []
        self._last: Taker | None = None

    def reserve(self, taker: Taker, most: int) -> int:
        """Slots for a shard, up to `most`: all that are free, or its fair share if other shards have work."""
        free = min(self.free, most)
        if free and len(self.takers) > 1:
            # Those after it come first, so that the turn goes round.
            at = self.takers.index(taker) + 1
            others = [other for other in (*self.takers[at:], *self.takers[: at - 1]) if other.backlogged]
            if others:
                for other in others:
                    other.want()
                if free <= len(others) and taker is self._last:
                    # It had the last turn; one of those that were just called takes this one.
                    return 0
                free = max(1, free // (len(others) + 1))
        if free:
            self._last = taker
        self.free -= free
        return free

    def release(self, count: int = 1) -> None:
        """Give slots back, to whoever had too few."""
        if count:
            self.free += count
            for taker in self.takers:
                if taker.backlogged:
                    taker.want()
