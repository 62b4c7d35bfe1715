"""How times, durations, numbers and texts are written on pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from markupsafe import Markup, escape

from asyncjobs.clock import to_datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: int | float | None) -> str:
    """A whole number with separators, a rate with one decimal; a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, float) and value < 100 and not value.is_integer():
        return f"{value:.1f}"
    return f"{value:,.0f}"


def duration(value: timedelta | float | None) -> str:
    """A duration (seconds as a number) in its two largest units: `1 h 5 min`, `3.2 s`, `45 ms`."""
    if value is None:
        return "–"
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 0:
        return f"−{duration(-seconds)}"
    if seconds < 0.001:
        return "0 ms" if seconds == 0 else "< 1 ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in (*_UNITS, (1, "s")):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
        if len(parts) == 2:
            break
    return " ".join(filter(None, parts))


def size(value: float) -> str:
    """A number of bytes: `1.5 MiB`."""
    amount, unit = float(value), 0
    while amount >= 1024 and unit < len(_BYTES) - 1:
        amount /= 1024
        unit += 1
    return f"{amount:.0f} B" if unit == 0 else f"{amount:.1f} {_BYTES[unit]}"


def percent(value: float | None) -> str:
    """A share from 0 to 1."""
    return "–" if value is None else f"{value:.0%}"


def exact(when: datetime) -> str:
    """A time to the millisecond, in UTC."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d} UTC"


def relative(when: datetime, now: datetime) -> str:
    """`3 min ago`, `in 2 h`: in the largest unit alone."""
    seconds = (now - when).total_seconds()
    away = abs(seconds)
    if away < 1.5:
        return "just now"
    for length, unit in _UNITS:
        if away >= length:
            text = f"{int(away // length)} {unit}"
            break
    else:
        text = f"{int(away)} s"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def time(when: datetime | int | None, now: datetime) -> Markup | str:
    """A `<time>` that says how long ago and, when pointed at, exactly when; a dash for None and 0 ms."""
    if not when:
        return "–"
    moment = to_datetime(when) if isinstance(when, int) else when
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.astimezone(UTC).isoformat(timespec="milliseconds"), exact(moment), relative(moment, now)
    )


def clock(when: datetime | int) -> Markup:
    """A `<time>` that says the time of day, and when pointed at also the date."""
    moment = to_datetime(when) if isinstance(when, int) else when
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.astimezone(UTC).isoformat(timespec="milliseconds"), exact(moment), f"{moment:%H:%M:%S}"
    )


def truncated(text: str, longest: int = 120) -> Markup:
    """A text in one line; what is cut off is seen when it is pointed at (as far as 2,000 characters)."""
    line = " ".join(text.split())
    if len(line) <= longest:
        return escape(line)
    return Markup('<span title="{}">{}…</span>').format(line[:2000], line[: longest - 1])


def plural(count: int, one: str, many: str = "") -> str:
    """`1 job`, `2,000 jobs`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "duration": duration,
    "size": size,
    "percent": percent,
    "time": time,
    "clock": clock,
    "truncated": truncated,
    "plural": plural,
    "exact": exact,
}
"""As templates call them: `{{ job.created_ms | time(now) }}`."""
