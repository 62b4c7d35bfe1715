"""Charts that the server draws: they need no JavaScript. What moves is drawn by the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from asyncjobs.monitoring import Throughput
from asyncjobs.storage.base import BatchRecord

WIDTH, HEIGHT = 720, 150
_GAP = 0.24
"""Of a bar's room."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour or day: its two parts, one on the other, in the chart's own units."""

    start: datetime
    x: float
    width: float
    succeeded: int
    failed: int
    succeeded_y: float
    succeeded_height: float
    failed_y: float
    failed_height: float
    label: str
    """Under it; "" for most."""


@dataclass(frozen=True, slots=True)
class BarChart:
    """Ended jobs an hour or day."""

    bars: tuple[Bar, ...]
    top: int
    """What the uppermost line stands for."""
    succeeded: int
    failed: int
    retried: int


def bar_chart(buckets: Sequence[Throughput], label: str, every: int) -> BarChart:
    """A chart of the buckets; every so many-th has its start under it, written with `label`."""
    ended = [(_count(each, "succeeded"), _count(each, "failed")) for each in buckets]
    top = nice(max((good + bad for good, bad in ended), default=0))
    step = WIDTH / max(1, len(buckets))
    bars: list[Bar] = []
    for index, (bucket, (good, bad)) in enumerate(zip(buckets, ended, strict=True)):
        good_height, bad_height = HEIGHT * good / top, HEIGHT * bad / top
        # What is there is seen, be it one in a million.
        good_height = max(good_height, 2.0) if good else 0.0
        bad_height = max(bad_height, 2.0) if bad else 0.0
        last = len(buckets) - 1
        bars.append(
            Bar(
                start=bucket.start,
                x=round(step * (index + _GAP / 2), 2),
                width=round(step * (1 - _GAP), 2),
                succeeded=good,
                failed=bad,
                succeeded_y=round(HEIGHT - good_height, 2),
                succeeded_height=round(good_height, 2),
                failed_y=round(HEIGHT - good_height - bad_height, 2),
                failed_height=round(bad_height, 2),
                label=bucket.start.strftime(label) if (last - index) % every == 0 else "",
            )
        )
    return BarChart(
        tuple(bars),
        top,
        sum(good for good, _ in ended),
        sum(bad for _, bad in ended),
        sum(_count(each, "retried") for each in buckets),
    )


def nice(most: float) -> int:
    """The next round number that isn't smaller: 1, 2, 5, 10, 20, …"""
    size = 1
    while True:
        for step in (1, 2, 5):
            if size * step >= most:
                return size * step
        size *= 10


def _count(bucket: Throughput, what: str) -> int:
    return bucket.totals.get(what, 0)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stacked bar that is 100 wide."""

    kind: str
    count: int
    x: float
    width: float


LEAST = 1.5
"""How wide a piece is at least: what is there is seen."""


def stacked(parts: Sequence[tuple[str, int]]) -> tuple[Piece, ...]:
    """The pieces of a bar, each as wide as its share; none of what there is none of."""
    there = [(kind, count) for kind, count in parts if count > 0]
    whole = sum(count for _, count in there)
    widths = [max(LEAST, 100 * count / whole) for _, count in there]
    if widths:
        # What the small ones are given, the widest gives.
        widest = max(range(len(widths)), key=widths.__getitem__)
        widths[widest] -= sum(widths) - 100
    pieces: list[Piece] = []
    x = 0.0
    for (kind, count), width in zip(there, widths, strict=True):
        pieces.append(Piece(kind, count, round(x, 2), round(width, 2)))
        x += width
    return tuple(pieces)


def batch_bar(batch: BatchRecord) -> tuple[Piece, ...]:
    """How far a batch is; what is nested in it counts as one member each, as in `Batch.progress`."""
    nested = batch.nested - batch.nested_succeeded - batch.nested_failed
    return stacked(
        (
            ("succeeded", batch.succeeded + batch.nested_succeeded),
            ("failed", batch.failed + batch.nested_failed),
            ("cancelled", batch.cancelled),
            ("pending", batch.pending + nested),
        )
    )
