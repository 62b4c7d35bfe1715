"""Ids in the order of a number each."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator


class Ordered:
    """Ids sorted by the rank that each was put in with, and by the id itself where ranks are equal."""

    def __init__(self) -> None:
        self._ranks: dict[str, tuple[int, ...]] = {}
        self._order: list[tuple[tuple[int, ...], str]] = []

    def put(self, job_id: str, *rank: int) -> None:
        """Put an id in; if it is there already, it moves."""
        self.discard(job_id)
        self._ranks[job_id] = rank
        insort(self._order, (rank, job_id))

    def discard(self, job_id: str) -> bool:
        """Take an id out; False if it isn't there."""
        rank = self._ranks.pop(job_id, None)
        if rank is None:
            return False
        del self._order[bisect_left(self._order, (rank, job_id))]
        return True

    def first_rank(self) -> int | None:
        """The first number of the first id's rank; None if it is empty."""
        return self._order[0][0][0] if self._order else None

    def rank(self, job_id: str) -> tuple[int, ...]:
        """What an id was put in with; KeyError if it isn't there."""
        return self._ranks[job_id]

    def take(self) -> str:
        """Take out the first id."""
        _, job_id = self._order.pop(0)
        del self._ranks[job_id]
        return job_id

    def up_to(self, number: int) -> Iterator[str]:
        """The ids whose rank begins with at most `number`, in order."""
        return (job_id for _, job_id in self._order[: self._end_of(number)])

    def beyond(self, number: int) -> Iterator[str]:
        """The ids whose rank begins with more than `number`, in order."""
        return (job_id for _, job_id in self._order[self._end_of(number) :])

    def _end_of(self, number: int) -> int:
        return bisect_left(self._order, ((number + 1,), ""))

    def __iter__(self) -> Iterator[str]:
        return (job_id for _, job_id in self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._ranks
