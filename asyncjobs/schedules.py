"""When a recurring job occurs: by a cron expression in a time zone, or every so often.

The rules for daylight saving, of which docs/recurring-jobs.md has a table:

* A fixed time (neither the minute nor the hour begins with `*`) occurs once on each of its days. In the hour
  that a clock shows twice, it is the first of the two. A time that the clock skips becomes the first moment
  after the gap; several times in one gap are one occurrence.
* Any other expression goes by what the clock shows: in a doubled hour it occurs both times, in a skipped one
  not at all.
* An interval knows no time zone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import cast
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from asyncjobs.errors import OptionError
from asyncjobs.options import epoch_ms, to_ms

__all__ = ["Cron", "Every", "Schedule", "schedule_of"]

SHORTEST_MS = 100
"""An interval can't be shorter."""

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_MILLISECOND = timedelta(milliseconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_NOTHING = timedelta(0)
# A year without a February 29th, so that an expression for that day has to look on.
_SOME_TIME = datetime(2001, 1, 1)
# Looking back for the latest occurrences, from a minute to longer than any expression's pause.
_BACK_MS = 60_000
_FARTHEST_BACK_MS = 50 * 366 * 86_400_000


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a time zone: `Cron("0 9 * * mon-fri", "Europe/Berlin")`.

    * `expression`: five fields (minute, hour, day of the month, month, day of the week), or six with seconds
      before them; names as `jan` and `mon`; `L` for a month's last day, `LW` its last weekday, `fri#2` and
      `friL` the second and last Friday; `@yearly`, `@monthly`, `@weekly`, `@daily`, `@hourly`. If both days
      are given, either is enough, unless one of them begins with `*`: then both must be met.
    * `timezone`: an IANA name or a `ZoneInfo`; default UTC.

    Raises `OptionError` for an expression that can't be read or never comes true, or an unknown time zone.
    """

    expression: str
    timezone: str = "UTC"
    fields: str = field(init=False, repr=False, compare=False)
    """The expression with `@daily` and the like written out."""
    _zone: tzinfo = field(init=False, repr=False, compare=False)
    _fixed: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(cast(object, self.expression), str):
            raise OptionError(
                f'{self.expression!r} is no cron expression: give text such as "0 9 * * mon-fri"'
            )
        zone = cast(object, self.timezone)
        name = zone.key if isinstance(zone, ZoneInfo) else zone
        object.__setattr__(self, "timezone", name)
        object.__setattr__(self, "_zone", _zone(name))
        expression = " ".join(self.expression.split())
        fields = MACROS.get(expression.lower(), expression).lower()
        object.__setattr__(self, "expression", expression)
        object.__setattr__(self, "fields", fields)
        parts = fields.split(" ")
        if fields.startswith("@"):
            raise OptionError(f"{expression!r} is none of {', '.join(MACROS)}")
        if len(parts) not in (5, 6):
            raise OptionError(
                f"cron expression {expression!r} has {len(parts)} fields: give five (minute, hour, day of the"
                f" month, month, day of the week), or six with seconds first"
            )
        minute, hour = parts[-5], parts[-4]
        object.__setattr__(self, "_fixed", not (minute.startswith("*") or hour.startswith("*")))
        try:
            next(CronSim(fields, _SOME_TIME))
        except (CronSimError, ValueError) as error:
            raise OptionError(f"cron expression {expression!r} can't be read: {error}") from None
        except StopIteration:
            raise OptionError(f"cron expression {expression!r} never comes true") from None

    def __str__(self) -> str:
        return self.expression if self.timezone == "UTC" else f"{self.expression} ({self.timezone})"

    def after(self, ms: int) -> int | None:
        """The first occurrence later than a time, both in ms since 1970; None if there is none any more."""
        return next(self._later(ms), None)

    def first(self, start_ms: int, end_ms: int, count: int) -> list[int]:
        """The first `count` occurrences from `start_ms` to `end_ms`, both included."""
        found: list[int] = []
        for ms in islice(self._later(start_ms - 1), count):
            if ms > end_ms:
                break
            found.append(ms)
        return found

    def last(self, start_ms: int, end_ms: int, count: int) -> list[int]:
        """The last `count` occurrences from `start_ms` to `end_ms`, both included, in order."""
        back = _BACK_MS
        while True:
            begin = max(start_ms, end_ms - back)
            found: list[int] = []
            for ms in self._later(begin - 1):
                if ms > end_ms:
                    break
                found.append(ms)
            if len(found) >= count or begin == start_ms or back > _FARTHEST_BACK_MS:
                return found[-count:]
            back *= 2

    def _later(self, ms: int) -> Iterator[int]:
        """All occurrences later than a time, in order."""
        return self._fixed_times(ms) if self._fixed else self._shown_times(ms)

    def _fixed_times(self, ms: int) -> Iterator[int]:
        for wall in CronSim(self.fields, self._shown(ms)):
            moment = wall.replace(tzinfo=self._zone)
            while _skipped(moment):
                moment = (moment + _MINUTE).replace(second=0)
            at = int(moment.timestamp()) * 1000
            if at > ms:
                ms = at
                yield at

    def _shown_times(self, ms: int) -> Iterator[int]:
        # Stepped by what the clock shows: where that jumps by half an hour, full hours stay full hours.
        again: deque[int] = deque()
        for wall in CronSim(self.fields, self._shown(ms) - self._doubling(ms)):
            once, twice = wall.replace(tzinfo=self._zone), wall.replace(tzinfo=self._zone, fold=1)
            at = int(once.timestamp()) * 1000
            while again and again[0] < at:
                yield again.popleft()
            later = int(twice.timestamp()) * 1000
            if later < at:
                # In a gap, before and after which this would be.
                continue
            if at > ms:
                yield at
            if later > max(at, ms):
                again.append(later)
        yield from again

    def _shown(self, ms: int) -> datetime:
        """What the clock shows at a time."""
        return datetime.fromtimestamp(ms / 1000, self._zone).replace(tzinfo=None, fold=0)

    def _doubling(self, ms: int) -> timedelta:
        """By how much the clock is about to be put back so that it shows again what it has shown by now."""
        shown = self._shown(ms)
        back = shown + _DAY - self._shown(ms + _DAY // _MILLISECOND)
        if back <= _NOTHING or shown + back <= self._shown(ms + back // _MILLISECOND):
            return _NOTHING
        return back


@dataclass(frozen=True, slots=True)
class Every:
    """An interval: `Every(timedelta(minutes=15))`.

    * `interval`: a `timedelta` or seconds, 0.1 s at least.
    * `anchor`: an aware `datetime` that the intervals are counted from; default 1970-01-01 00:00 UTC, so that
      a quarter of an hour occurs at :00, :15, :30 and :45.

    Raises `OptionError`.
    """

    interval: timedelta | float
    anchor: datetime | None = None

    def __post_init__(self) -> None:
        ms = to_ms(self.interval, "every")
        if ms < SHORTEST_MS:
            raise OptionError(f"every is {self.interval!r}: give {SHORTEST_MS / 1000:g} s or more")
        object.__setattr__(self, "interval", ms * _MILLISECOND)
        if self.anchor is not None:
            epoch_ms(self.anchor, "the anchor of the intervals")

    def __str__(self) -> str:
        return f"every {self.interval}"

    @property
    def interval_ms(self) -> int:
        """The interval in milliseconds."""
        return to_ms(self.interval, "every")

    @property
    def anchor_ms(self) -> int:
        """The anchor in milliseconds since 1970."""
        return 0 if self.anchor is None else epoch_ms(self.anchor, "the anchor of the intervals")

    def after(self, ms: int) -> int | None:
        """The first occurrence later than a time, both in ms since 1970."""
        step = self.interval_ms
        return ms + step - (ms - self.anchor_ms) % step

    def count(self, start_ms: int, end_ms: int) -> int:
        """How many occurrences there are from `start_ms` to `end_ms`, both included."""
        return len(self._all(start_ms, end_ms))

    def last(self, start_ms: int, end_ms: int, count: int) -> list[int]:
        """The last `count` occurrences from `start_ms` to `end_ms`, both included, in order."""
        found = self._all(start_ms, end_ms)
        return list(found[max(0, len(found) - count) :])

    def _all(self, start_ms: int, end_ms: int) -> range:
        begin = self.after(start_ms - 1)
        assert begin is not None
        return range(begin, end_ms + 1, self.interval_ms)


Schedule = Cron | Every


def schedule_of(
    when: str | timedelta | Schedule | None,
    *,
    every: timedelta | float | None = None,
    timezone: str | ZoneInfo | None = None,
    anchor: datetime | None = None,
) -> Schedule:
    """The schedule that a user has given in one of its forms.

    Raises `OptionError` if there is none, more than one, or a time zone that has nothing to say.
    """
    if (when is None) == (every is None):
        raise OptionError("give either a cron expression or every=…, and one of them")
    given = every if when is None else when
    if isinstance(given, str):
        return Cron(given, "UTC" if timezone is None else cast(str, timezone))
    if timezone is not None:
        raise OptionError(
            f"timezone={timezone!r} goes with the text of a cron expression, as an interval has none and a"
            f" Cron its own"
        )
    if isinstance(given, Every) and given.anchor is None and anchor is not None:
        return Every(given.interval, anchor)
    if isinstance(given, (Cron, Every)):
        return given
    return Every(cast("timedelta | float", given), anchor)


def _zone(name: object) -> tzinfo:
    if name in ("UTC", "Etc/UTC"):
        return UTC
    try:
        return ZoneInfo(cast(str, name))
    except Exception:
        raise OptionError(
            f"time zone {name!r} isn't known here: give an IANA name such as 'Europe/Berlin' (and install the"
            f" package tzdata if this machine has no time zones)"
        ) from None


def _skipped(moment: datetime) -> bool:
    """Whether a clock never shows this time, as it lies in a gap."""
    zone = moment.tzinfo
    if zone is UTC:
        return False
    return moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None)
