"""Schedules as people type them: a cron expression, or an interval such as `15m`."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from asyncjobs.errors import OptionError
from asyncjobs.schedules import Cron, Every, Schedule

_UNITS = {"d": 86_400.0, "h": 3_600.0, "min": 60.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(d|h|min|m|s)\s*", re.ASCII)


def schedule_of(text: str) -> str | timedelta:
    """What `reschedule` takes. Raises `OptionError`."""
    text = text.strip()
    if not text:
        raise OptionError("the schedule is empty: give a cron expression, or an interval such as 15m")
    if text.startswith("@") or len(text.split()) >= 5:
        return text
    at, seconds = 0, 0.0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise OptionError(
                f"{text!r} is no schedule: give a cron expression (0 3 * * *) or an interval (15m, 1h 30m)"
            )
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise OptionError(f"the interval {text!r} is too long") from None


def text_of(schedule: Schedule | None) -> str:
    """As it is typed."""
    if isinstance(schedule, Cron):
        return schedule.expression
    if not isinstance(schedule, Every):
        return ""
    left, parts = schedule.interval_ms / 1000, list[str]()
    for unit in ("d", "h", "min"):
        count, left = divmod(left, _UNITS[unit])
        if count:
            parts.append(f"{count:.0f}{unit}")
    if left:
        parts.append(f"{left:g}s")
    return " ".join(parts)


def zone_of(schedule: Schedule | None) -> str:
    """The name of its time zone; "" of an interval, which has none."""
    return schedule.timezone if isinstance(schedule, Cron) else ""


def in_zone(when: datetime, name: str) -> str:
    """A time as clocks show it in a zone: `Thu 26 Nov 03:00:00 CET`."""
    zone: tzinfo = ZoneInfo(name)
    return f"{when.astimezone(zone):%a %-d %b %H:%M:%S %Z}"


@cache
def zones() -> list[str]:
    """Names of time zones to choose from."""
    places = (zone for zone in available_timezones() if "/" in zone and not zone.startswith("Etc/"))
    return ["UTC", *sorted(places)]
