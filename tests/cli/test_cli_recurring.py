"""`asyncjobs recurring`."""

from __future__ import annotations

import re

import pytest

from tests.cli.conftest import APP, Asyncjobs, Running, until_state
from tests.waiting import eventually_sync

KEYS = [
    *("id", "cron", "timezone", "every", "name", "queue", "misfire", "overlap", "jitter", "start", "end"),
    *("next_at", "last_at", "last_run_at", "last_job", "last_state", "fired", "missed", "skipped", "refused"),
    *("gave_up_at", "declared", "orphaned", "rescheduled", "paused", "waiting", "unreadable"),
]


def test_one_is_put_and_shown(asyncjobs: Asyncjobs) -> None:
    told = asyncjobs(
        *("recurring", "put", APP, "nightly", "0 3 * * *", "add", 1, "b=2"),
        *("--timezone", "Europe/Berlin", "--misfire", "skip", "--overlap", "queue", "--jitter", "1m"),
        *("--start", "2030-01-01T00:00Z", "--end", "2031-01-01T00:00Z"),
    )
    assert told.out.startswith("nightly: cli_shop.add 0 3 * * * (Europe/Berlin); next at 2030-01-0")

    shown = asyncjobs("recurring", "show", "nightly", "--json").json
    assert list(shown) == KEYS
    assert (shown["cron"], shown["timezone"], shown["every"]) == ("0 3 * * *", "Europe/Berlin", None)
    assert (shown["misfire"], shown["overlap"], shown["jitter"]) == ("skip", "queue", 60)
    assert shown["next_at"] == "2030-01-01T02:00:00.000Z"
    assert (shown["start"], shown["end"]) == ("2030-01-01T00:00:00.000Z", "2031-01-01T00:00:00.000Z")
    told = asyncjobs("recurring", "show", "nightly")
    assert "put by a client" in told.out
    assert "0 3 * * * (Europe/Berlin)" in told.out


def test_they_are_listed(asyncjobs: Asyncjobs) -> None:
    assert asyncjobs("recurring", "list").out == "Nothing recurs.\n"
    asyncjobs("recurring", "put", APP, "later", "@yearly", "add", 1, 2)
    asyncjobs("recurring", "put", APP, "soon", "90s", "add", 1, 2)
    asyncjobs("recurring", "pause", "later")

    listed = asyncjobs("recurring", "list", "--json").json
    assert [(one["id"], one["every"], one["paused"]) for one in listed["recurring"]] == [
        ("soon", 90, False),
        ("later", None, True),
    ]
    assert listed["total"] == 2
    told = asyncjobs("recurring", "list")
    assert re.search(r"^later +@yearly +cli_shop.add +- +- +paused$", told.out, re.MULTILINE), told.out
    told = asyncjobs("recurring", "list", "--limit", 1)
    assert len(told.lines) == 2
    assert told.err == "1 more: --offset 1\n"


def test_they_are_triggered_paused_resumed_and_removed(asyncjobs: Asyncjobs, worker: Running) -> None:
    asyncjobs("recurring", "put", APP, "sum", "@yearly", "add", 1, 2)
    job = asyncjobs("recurring", "trigger", "sum").out.strip()
    until_state(asyncjobs, job, "succeeded")
    shown = asyncjobs("recurring", "show", "sum", "--json").json
    assert (shown["last_job"], shown["last_state"], shown["fired"]) == (job, "succeeded", 0)
    assert f"{job} (succeeded)" in asyncjobs("recurring", "show", "sum").out

    assert asyncjobs("recurring", "pause", "sum").out == "sum is paused\n"
    assert asyncjobs("recurring", "resume", "sum").out == "sum goes on\n"
    assert asyncjobs("recurring", "remove", "sum").out == "sum is removed\n"
    for verb in ("trigger", "pause", "resume", "remove"):
        told = asyncjobs("recurring", verb, "sum", code=1)
        assert told.err.startswith("Error: there is no recurring job sum")
    asyncjobs("recurring", "show", "sum", code=1)


def test_a_worker_fires_them(asyncjobs: Asyncjobs, worker: Running) -> None:
    asyncjobs("recurring", "put", APP, "tick", "500ms", "add", 1, 2)
    eventually_sync(lambda: asyncjobs("recurring", "show", "tick", "--json").json["fired"] >= 2, 20)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nightly", "61 * * * *", "add", 1, 2), "minute"),
        (("nightly", "soon", "add", 1, 2), "no duration"),
        (("nightly", "@daily", "add", 1), "can't be called so"),
        (("nightly", "@daily", "ad", 1), "Did you mean"),
        (("nightly", "@daily", "add", 1, 2, "--timezone", "Mars"), "time zone"),
        (("nightly", "5m", "add", 1, 2, "--timezone", "UTC"), "timezone"),
        (("nightly", "@daily", "add", 1, 2, "--misfire", "all", "--overlap", "skip"), "choose one"),
    ],
)
def test_what_can_not_be_is_refused(asyncjobs: Asyncjobs, words: tuple[object, ...], told: str) -> None:
    assert told in asyncjobs("recurring", "put", APP, *words, code=2).err


def test_one_is_rescheduled(asyncjobs: Asyncjobs) -> None:
    asyncjobs("recurring", "put", APP, "nightly", "0 3 * * *", "add", 1, 2, "--timezone", "Europe/Berlin")

    told = asyncjobs("recurring", "reschedule", "nightly", "30 4 * * *")
    assert told.out.startswith("nightly: cli_shop.add 30 4 * * * (Europe/Berlin); next at ")
    assert "rescheduled by hand" not in asyncjobs("recurring", "show", "nightly").out
    told = asyncjobs("recurring", "reschedule", "nightly", "90s")
    assert told.out.startswith("nightly: cli_shop.add every")
    told = asyncjobs("recurring", "reschedule", "other", "1h", code=1)
    assert "there is no recurring job other" in told.err
    assert "61 4" in asyncjobs("recurring", "reschedule", "nightly", "61 4 * * *", code=2).err
    assert asyncjobs("recurring", "reset", "nightly").out.startswith("nightly: cli_shop.add every")
