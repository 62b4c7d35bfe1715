"""How long jobs wait and run: counted in classes of durations, which can be added up over workers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

CLASSES = 120
"""Classes of durations."""
_PER_DOUBLING = 4
_SHORTEST = 0.0001
"""Seconds: what is shorter is in the first class. The last one begins at 25 hours."""

Histogram = dict[int, int]
"""Class → how many."""


def class_of(seconds: float) -> int:
    """The class of a duration: each is a fifth longer than the one before."""
    if seconds <= _SHORTEST:
        return 0
    return min(int(math.log2(seconds / _SHORTEST) * _PER_DOUBLING) + 1, CLASSES - 1)


def longest_in(number: int) -> float:
    """The longest duration of a class, in seconds."""
    return _SHORTEST * 2 ** (number / _PER_DOUBLING)


class Timings:
    """Durations of the last minute or two: a full minute, and what there is of the present one."""

    def __init__(self) -> None:
        self._minute = 0
        self._now: Histogram = {}
        self._before: Histogram = {}

    def add(self, seconds: float, now: float) -> None:
        """Count a duration that ended at `now`, in seconds of any clock that goes on."""
        self._turn(now)
        number = class_of(seconds)
        self._now[number] = self._now.get(number, 0) + 1

    def recent(self, now: float) -> Histogram:
        """What was counted within the last one to two minutes. May be called from another thread."""
        age = int(now // 60) - self._minute
        if age == 0:
            return merged((self._before, self._now))
        return dict(self._now) if age == 1 else {}

    def _turn(self, now: float) -> None:
        minute = int(now // 60)
        if minute != self._minute:
            self._before = self._now if minute == self._minute + 1 else {}
            self._now = {}
            self._minute = minute


def merged(histograms: Iterable[Mapping[int, int]]) -> Histogram:
    """All of them, added up."""
    total: Histogram = {}
    for histogram in histograms:
        # A copy, made at once: another thread may be counting.
        for number, count in list(histogram.items()):
            total[number] = total.get(number, 0) + count
    return total


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """The duration (seconds) that a share (0 to 1) doesn't exceed, to within a fifth; None of nothing."""
    total = sum(histogram.values())
    if not total:
        return None
    wanted, seen = max(1, math.ceil(total * share)), 0
    for number in sorted(histogram):
        seen += histogram[number]
        if seen >= wanted:
            return longest_in(number)
    return None
