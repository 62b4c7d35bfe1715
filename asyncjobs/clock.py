"""Time: milliseconds as `int` inside, aware `datetime` and `timedelta` at the public edge."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], int]
"""Gives the present as milliseconds since 1970, UTC."""


def system_clock() -> int:
    """Milliseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1_000_000


def to_datetime(ms: int) -> datetime:
    """The aware UTC datetime of a number of milliseconds since 1970."""
    return datetime.fromtimestamp(ms / 1000, UTC)
