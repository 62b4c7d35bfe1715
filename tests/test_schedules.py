"""When cron expressions and intervals occur; the table of docs/recurring-jobs.md among it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncjobs.errors import OptionError
from asyncjobs.schedules import Cron, Every, schedule_of


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def occurrences(cron: Cron, start: str, end: str) -> list[str]:
    """What occurs from a time (included) up to another, as the zone's clock shows it, with its offset."""
    zone = ZoneInfo(cron.timezone)
    found: list[str] = []
    at = cron.after(ms(start) - 1)
    while at is not None and at < ms(end):
        found.append(datetime.fromtimestamp(at / 1000, zone).strftime("%d %H:%M:%S%z")[:-2])
        at = cron.after(at)
    return found


BERLIN_SKIPS = ("Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00")
"""The clock goes from 01:59:59 to 03:00:00."""
BERLIN_DOUBLES = ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00")
"""The clock goes from 02:59:59 to 02:00:00."""
NEW_YORK_SKIPS = ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00")
"""The clock goes from 01:59:59 to 03:00:00."""
NEW_YORK_DOUBLES = ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00")
"""The clock goes from 01:59:59 to 01:00:00."""
LORD_HOWE_SKIPS = ("Australia/Lord_Howe", "2026-10-04T00:00+10:30", "2026-10-05T00:00+11:00")
"""The clock goes from 01:59:59 to 02:30:00: half an hour."""
LORD_HOWE_DOUBLES = ("Australia/Lord_Howe", "2026-04-05T00:00+11:00", "2026-04-06T00:00+10:30")
"""The clock goes from 01:59:59 to 01:30:00: half an hour."""

TABLE = [
    # A fixed time in the gap: right after it. Several are one.
    ("30 2 * * *", BERLIN_SKIPS, ["29 03:00:00+02"]),
    ("30 2 * * *", NEW_YORK_SKIPS, ["08 03:00:00-04"]),
    ("15 2 * * *", LORD_HOWE_SKIPS, ["04 02:30:00+11"]),
    ("0,30 2 * * *", BERLIN_SKIPS, ["29 03:00:00+02"]),
    ("0 1-4 * * *", BERLIN_SKIPS, ["29 01:00:00+01", "29 03:00:00+02", "29 04:00:00+02"]),
    ("45 30 2 * * *", BERLIN_SKIPS, ["29 03:00:00+02"]),
    ("0,45 10-20/10 2 * * *", NEW_YORK_SKIPS, ["08 03:00:00-04"]),
    ("@daily", BERLIN_SKIPS, ["29 00:00:00+01"]),
    # A fixed time in the doubled hour: once, the first time.
    ("30 2 * * *", BERLIN_DOUBLES, ["25 02:30:00+02"]),
    ("30 1 * * *", NEW_YORK_DOUBLES, ["01 01:30:00-04"]),
    ("45 1 * * *", LORD_HOWE_DOUBLES, ["05 01:45:00+11"]),
    ("0 1-4 * * *", BERLIN_DOUBLES, ["25 01:00:00+02", "25 02:00:00+02", "25 03:00:00+01", "25 04:00:00+01"]),
    ("15 30 1 * * *", NEW_YORK_DOUBLES, ["01 01:30:15-04"]),
    ("0,30 0,30 2 * * *", BERLIN_DOUBLES, [f"25 02:{m}:{s}+02" for m in ("00", "30") for s in ("00", "30")]),
    # The times after both.
    ("0 3 * * *", BERLIN_SKIPS, ["29 03:00:00+02"]),
    ("0 3 * * *", BERLIN_DOUBLES, ["25 03:00:00+01"]),
    ("0 2 * * *", NEW_YORK_DOUBLES, ["01 02:00:00-05"]),
    # What begins with a star goes on through.
    (
        "*/30 1-3 * * *",
        BERLIN_SKIPS,
        ["29 01:00:00+01", "29 01:30:00+01", "29 03:00:00+02", "29 03:30:00+02"],
    ),
    (
        "*/30 2 * * *",
        BERLIN_DOUBLES,
        ["25 02:00:00+02", "25 02:30:00+02", "25 02:00:00+01", "25 02:30:00+01"],
    ),
    ("30 */2 * * *", BERLIN_SKIPS, ["29 00:30:00+01", *(f"29 {h:02}:30:00+02" for h in range(4, 24, 2))]),
    (
        "15 */30 1 * * *",
        NEW_YORK_DOUBLES,
        ["01 01:00:15-04", "01 01:30:15-04", "01 01:00:15-05", "01 01:30:15-05"],
    ),
    (
        "*/20 1 * * *",
        LORD_HOWE_DOUBLES,
        [f"05 01:{m}:00+11" for m in ("00", "20", "40")] + ["05 01:40:00+10"],
    ),
    ("0 */8 * * *", LORD_HOWE_DOUBLES, ["05 00:00:00+11", "05 08:00:00+10", "05 16:00:00+10"]),
    ("0 */8 * * *", LORD_HOWE_SKIPS, ["04 00:00:00+10", "04 08:00:00+11", "04 16:00:00+11"]),
    ("*/30 9 * * *", LORD_HOWE_SKIPS, ["04 09:00:00+11", "04 09:30:00+11"]),
]


@pytest.mark.parametrize(("expression", "day", "expected"), TABLE, ids=lambda value: str(value)[:60])
def test_the_table_of_daylight_saving(
    expression: str, day: tuple[str, str, str], expected: list[str]
) -> None:
    zone, start, end = day
    assert occurrences(Cron(expression, zone), start, end) == expected


@pytest.mark.parametrize("expression", ["*/15 * * * *", "* * * * *", "30 * * * *", "0 */10 * * * *"])
@pytest.mark.parametrize(
    "day", [BERLIN_SKIPS, BERLIN_DOUBLES, NEW_YORK_SKIPS, NEW_YORK_DOUBLES], ids=lambda day: "-".join(day[:2])
)
def test_an_interval_written_as_cron_keeps_its_pace(expression: str, day: tuple[str, str, str]) -> None:
    zone, start, end = day
    cron = Cron(expression, zone)
    found = cron.first(ms(start), ms(end) - 1, 10_000)
    assert len({b - a for a, b in pairwise(found)}) == 1
    assert (ms(end) - ms(start)) % (found[1] - found[0]) == 0
    assert len(found) == (ms(end) - ms(start)) // (found[1] - found[0])


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"])
def test_a_daily_time_occurs_once_on_each_day_of_a_year(zone: str) -> None:
    for expression in ("30 1 * * *", "30 2 * * *", "10 45 1 * * *", "10 45 2 * * *"):
        found = Cron(expression, zone).first(ms("2026-01-01T12:00Z"), ms("2027-01-01T12:00Z") - 1, 1_000)
        days = [datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).date() for at in found]
        assert len(days) == len(set(days)) == 365


EXPRESSIONS = [
    "30 2 * * *",
    "0 0 1 * *",
    "*/7 * * * *",
    "5 4 3 2 * *",
    "*/20 0 2 * * sun",
    "0 1-3 * * *",
    "@hourly",
]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.integers(ms("2026-01-01T00:00Z"), ms("2027-01-01T00:00Z")),
    st.integers(1, 5 * 86_400_000),
    st.integers(1, 20),
)
def test_wherever_one_begins_the_occurrences_are_the_same(
    expression: str, zone: str, start: int, span: int, count: int
) -> None:
    cron = Cron(expression, zone)
    whole = cron.first(start, start + span, 100_000)
    assert whole == sorted(set(whole))
    assert cron.last(start, start + span, count) == whole[-count:]
    assert cron.first(start, start + span, count) == whole[:count]
    for at in whole[:50]:
        assert cron.after(at - 1) == at
    middle = start + span // 2
    assert [at for at in whole if at > middle] == cron.first(middle + 1, start + span, 100_000)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 9 * * mon-fri", ["01 09:00:00+00", "02 09:00:00+00", "05 09:00:00+00"]),
        ("0 0 1 JAN,feb *", ["01 00:00:00+00"]),
        ("@weekly", ["04 00:00:00+00"]),
        ("0 12 * * fri#1", ["02 12:00:00+00"]),
        ("0 12 * * 7", ["04 12:00:00+00"]),
        ("  0   12 *  * 0 ", ["04 12:00:00+00"]),
        ("59 59 23 5 * *", ["05 23:59:59+00"]),
        # Either of the two days is enough, but where one of them begins with a star.
        ("0 0 3 * fri", ["02 00:00:00+00", "03 00:00:00+00"]),
        ("0 0 */2 * fri", []),
        ("0 0 L * *", []),
    ],
)
def test_what_an_expression_means(expression: str, expected: list[str]) -> None:
    # A Thursday to a Monday.
    assert occurrences(Cron(expression), "2026-01-01T00:00Z", "2026-01-06T00:00Z") == expected


def test_the_time_that_is_asked_of_is_not_its_own_next() -> None:
    cron = Cron("0 0 * * *")
    assert cron.after(ms("2026-01-01T00:00Z")) == ms("2026-01-02T00:00Z")
    assert cron.after(ms("2026-01-01T00:00Z") - 1) == ms("2026-01-01T00:00Z")
    assert cron.after(ms("2026-01-01T00:00Z") + 1) == ms("2026-01-02T00:00Z")


def test_the_latest_occurrences_are_found_far_back() -> None:
    assert Cron("0 0 29 2 *").last(0, ms("2027-06-01T00:00Z"), 2) == [
        ms("2020-02-29T00:00Z"),
        ms("2024-02-29T00:00Z"),
    ]
    assert Cron("* * * * * *").last(0, ms("2026-01-01T00:00Z"), 3) == [
        ms("2026-01-01T00:00Z") - back for back in (2_000, 1_000, 0)
    ]


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("", "fields"),
        ("* * * *", "has 4 fields"),
        ("* * * * * * *", "has 7 fields"),
        ("61 * * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 0 0 * *", "day-of-month"),
        ("0 0 * * funday", "day-of-week"),
        ("0 9 * * mon,", "day-of-week"),
        ("*/0 * * * *", "minute"),
        ("0 0 31 4,6 *", "day-of-month"),
        ("0 0 30 feb *", "day-of-month"),
        ("60 0 0 * * *", "second"),
        ("@reboot", "@daily"),
        ("@every 5m", "@daily"),
        (5, "cron expression"),
    ],
)
def test_an_expression_that_can_not_be_is_refused(expression: str, told: str) -> None:
    with pytest.raises(OptionError, match=re.escape(told)):
        Cron(expression)


@pytest.mark.parametrize("zone", ["Europe/Berlim", "", "../etc/passwd", "CET+1", None, 5])
def test_a_time_zone_that_is_not_known_is_refused(zone: str) -> None:
    with pytest.raises(OptionError, match="time zone"):
        Cron("@daily", zone)


def test_a_time_zone_can_be_given_as_such() -> None:
    assert Cron("@daily", ZoneInfo("Europe/Berlin")) == Cron("@daily", "Europe/Berlin")  # type: ignore[arg-type]


def test_intervals_are_counted_from_1970_or_from_their_anchor() -> None:
    quarter = Every(timedelta(minutes=15))
    assert quarter.after(ms("2026-01-01T00:00Z")) == ms("2026-01-01T00:15Z")
    assert quarter.after(ms("2026-01-01T00:14:59.999Z")) == ms("2026-01-01T00:15Z")
    odd = Every(7, datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC))
    assert odd.after(ms("2026-01-01T00:00:03Z")) == ms("2026-01-01T00:00:10Z")
    assert odd.after(ms("2025-12-31T23:59:59Z")) == ms("2026-01-01T00:00:03Z")
    berlin = timezone(timedelta(hours=1))
    assert Every(timedelta(days=1), datetime(2026, 1, 1, tzinfo=berlin)).after(ms("2026-01-01T00:00Z")) == ms(
        "2026-01-01T23:00Z"
    )


def test_intervals_are_counted_and_the_latest_found() -> None:
    second = Every(1)
    start = ms("2026-01-01T00:00:00Z")
    assert second.count(start, start + 86_400_000) == 86_401
    assert second.last(start, start + 86_400_000, 2) == [start + 86_399_000, start + 86_400_000]
    assert second.last(start, start + 1_500, 100) == [start, start + 1_000]
    assert second.count(start + 1, start + 999) == 0
    assert second.last(start + 1, start + 999, 5) == []


@pytest.mark.parametrize("interval", [0, -1, 0.05, "1h", None, True, float("nan")])
def test_an_interval_that_can_not_be_is_refused(interval: float) -> None:
    with pytest.raises(OptionError, match="every"):
        Every(interval)


def test_an_anchor_needs_a_time_zone() -> None:
    with pytest.raises(OptionError, match="time zone"):
        Every(1, datetime(2026, 1, 1))


def test_a_schedule_is_given_in_one_of_its_forms() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert schedule_of("@daily", timezone="Europe/Berlin") == Cron("@daily", "Europe/Berlin")
    assert schedule_of(timedelta(hours=1), anchor=start) == Every(3600, start)
    assert schedule_of(None, every=5) == Every(5)
    assert schedule_of(Every(5), anchor=start) == Every(5, start)
    assert schedule_of(Every(5, datetime(2000, 1, 1, tzinfo=UTC)), anchor=start).anchor != start  # type: ignore[union-attr]
    assert schedule_of(Cron("@daily", "Europe/Berlin")) == Cron("@daily", "Europe/Berlin")
    for wrong in (
        lambda: schedule_of(None),
        lambda: schedule_of("@daily", every=5),
        lambda: schedule_of(timedelta(hours=1), timezone="UTC"),
        lambda: schedule_of(None, every=5, timezone="Europe/Berlin"),
        lambda: schedule_of(Cron("@daily"), timezone="Europe/Berlin"),
        lambda: schedule_of(5.5j),  # type: ignore[arg-type]
    ):
        with pytest.raises(OptionError):
            wrong()


def test_a_schedule_reads_as_it_is_written() -> None:
    assert str(Cron("0 9 * * mon-fri", "Europe/Berlin")) == "0 9 * * mon-fri (Europe/Berlin)"
    assert str(Cron("@daily")) == "@daily"
    assert str(Every(timedelta(minutes=15))) == "every 0:15:00"
