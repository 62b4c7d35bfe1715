"""Cron expressions around changes of the clock, against what trying each half minute finds."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from asyncjobs.schedules import Cron

STEP = timedelta(seconds=30)
CASES = 40
"""Expressions for each change of a clock."""

CHANGES = [
    ("Australia/Lord_Howe", "2025-04-05"),
    ("Australia/Lord_Howe", "2025-10-04"),
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    # A day begins twice; two hours at once; quarters of an hour from UTC; a day is left out.
    ("America/Havana", "2026-11-01"),
    ("Antarctica/Troll", "2026-10-25"),
    ("Pacific/Chatham", "2026-04-04"),
    ("Pacific/Apia", "2011-12-30"),
    ("UTC", "2026-03-29"),
]


@cache
def shown(zone: str, day: str) -> list[tuple[int, datetime]]:
    """Each half minute of the three days around a change, in ms, and what the clock shows then."""
    begin = datetime.fromisoformat(day).replace(tzinfo=UTC) - timedelta(days=1)
    moments = [begin + STEP * step for step in range(timedelta(days=3) // STEP)]
    at = ZoneInfo(zone)
    return [(int(m.timestamp()) * 1000, m.astimezone(at).replace(tzinfo=None, fold=0)) for m in moments]


class Drawn:
    """A random expression whose fields are known as sets."""

    def __init__(self, chance: random.Random) -> None:
        self.fields: list[str] = []
        self.sets: list[set[int]] = []
        for values, steps in (
            (range(0, 60, 30), (30,)),
            (range(60), (7, 10, 15, 20, 30)),
            (range(24), (2, 4, 9)),
        ):
            self._draw(chance, values, steps)
        if chance.random() < 0.5:
            # As five fields, it occurs at the first second.
            self.fields[0], self.sets[0] = "", {0}
        weekdays = chance.sample(range(7), 4) if chance.random() < 0.3 else range(7)
        self.weekdays = set(weekdays)
        self.fields += ["*", "*", "*" if len(weekdays) == 7 else ",".join(map(str, weekdays))]
        self.fixed = not (self.fields[1].startswith("*") or self.fields[2].startswith("*"))

    def _draw(self, chance: random.Random, values: range, steps: tuple[int, ...]) -> None:
        kind = chance.choice(("star", "steps", "one", "several", "range"))
        chosen = sorted(chance.sample(values, 2))
        if kind == "star":
            text, meant = "*", set(values)
            if values.step > 1:
                text = f"*/{values.step}"
        elif kind == "steps":
            step = chance.choice(steps)
            text, meant = f"*/{step}", set(range(0, values.stop, step))
        elif kind == "one" or values.step > 1:
            text, meant = str(chosen[0]), {chosen[0]}
        elif kind == "several":
            text, meant = f"{chosen[0]},{chosen[1]}", set(chosen)
        else:
            text, meant = f"{chosen[0]}-{chosen[1]}", set(range(chosen[0], chosen[1] + 1))
        self.fields.append(text)
        self.sets.append(meant)

    def __str__(self) -> str:
        return " ".join(self.fields).strip()

    def matches(self, wall: datetime) -> bool:
        seconds, minutes, hours = self.sets
        return (
            wall.minute in minutes
            and wall.hour in hours
            and wall.second in seconds
            and wall.isoweekday() % 7 in self.weekdays
        )

    def found(self, moments: list[tuple[int, datetime]]) -> list[int]:
        """When it occurs in these."""
        if not self.fixed:
            return [at for at, wall in moments if self.matches(wall)]
        # Each time of the clock at the first moment that shows it or, if none does, a later one.
        found: set[int] = set()
        wall = moments[0][1]
        for at, shows in moments:
            while wall <= shows:
                if self.matches(wall):
                    found.add(at)
                wall += STEP
        return sorted(found)


@pytest.mark.parametrize(("zone", "day"), CHANGES)
def test_around_a_change_of_the_clock_each_occurrence_is_found_and_no_other(zone: str, day: str) -> None:
    chance = random.Random(f"{zone} {day}")
    moments = shown(zone, day)
    start, end = moments[0][0], moments[-1][0]
    for _ in range(CASES):
        drawn = Drawn(chance)
        cron = Cron(str(drawn), zone)
        expected = drawn.found(moments)

        assert cron.first(start, end, 10_000) == expected, cron
        for _ in range(5):
            at = chance.randrange(start, end)
            behind = bisect_right(expected, at)
            assert cron.first(at + 1, end, 3) == expected[behind : behind + 3], (cron, at)
            assert cron.last(at, end, 3) == expected[bisect_left(expected, at) :][-3:], (cron, at)
