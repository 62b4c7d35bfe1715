"""`asyncjobs limits`, and what the other commands tell of limits, unique keys, expiry and ids."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.cli.conftest import APP, Asyncjobs, Running, until_state
from tests.waiting import eventually_sync

LIMIT_KEYS = [
    *("name", "key", "concurrency", "rate", "per", "running", "started", "enqueued", "throttled"),
]


def _enqueue(asyncjobs: Asyncjobs, *args: object) -> str:
    return asyncjobs("enqueue", APP, *args).out.strip()


def _limits(asyncjobs: Asyncjobs, *options: object) -> list[tuple[Any, ...]]:
    listed = asyncjobs("limits", "list", "--json", *options).json["limits"]
    return [tuple(one[key] for key in LIMIT_KEYS) for one in listed]


@pytest.fixture
def held(asyncjobs: Asyncjobs, worker: Running) -> tuple[str, str]:
    """A job that holds a mutex, and one that waits for it."""
    first, second = (_enqueue(asyncjobs, "lone_report", "3600") for _ in range(2))
    until_state(asyncjobs, first, "processing")
    until_state(asyncjobs, second, "throttled")
    return first, second


def test_what_is_counted_is_listed(asyncjobs: Asyncjobs, held: tuple[str, str]) -> None:
    until_state(asyncjobs, _enqueue(asyncjobs, "welcome", "ada"), "succeeded")
    _enqueue(asyncjobs, "welcome", "bob", "--queue", "unserved")
    document = asyncjobs("limits", "--json").json
    assert (document["total"], document["offset"]) == (3, 0)
    assert all(list(one) == LIMIT_KEYS for one in document["limits"])
    assert _limits(asyncjobs) == [
        ("mutex", "report:3600", 1, None, None, 1, 0, 0, 1),
        ("smtp", "ada", None, 1, 3600, 0, 1, 0, 0),
        ("smtp", "bob", None, 1, 3600, 0, 0, 1, 0),
    ]
    heading, *rows = asyncjobs("limits").lines
    assert heading.split() == ["LIMIT", "KEY", "NUMBERS", "RUNNING", "STARTED", "ENQUEUED", "THROTTLED"]
    assert re.fullmatch(r"mutex +report:3600 +1 at once +1 +0 +1", rows[0])
    assert re.fullmatch(r"smtp +ada +1 in 1 h +0 +1 +0 +0", rows[1])
    assert asyncjobs("limits", "list").lines == [heading, *rows]


def test_pages_of_them(asyncjobs: Asyncjobs) -> None:
    for to in "abc":
        _enqueue(asyncjobs, "welcome", to)
    assert [key for _, key, *_ in _limits(asyncjobs, "--limit", 1, "--offset", 1)] == ["b"]
    told = asyncjobs("limits", "list", "--limit", 2)
    assert len(told.lines) == 3
    assert told.err == "1 more: --offset 2\n"
    assert asyncjobs("limits", "list", "--offset", 3).out == "There are only 3.\n"


def test_nothing_is_limited(asyncjobs: Asyncjobs) -> None:
    assert asyncjobs("limits").out == "No job is under a limit now.\n"
    assert asyncjobs("limits", "numbers").out == "No job was ever under a limit.\n"
    assert asyncjobs("limits", "--json").json == {"total": 0, "offset": 0, "limits": []}
    assert asyncjobs("limits", "numbers", "--json").json == {"numbers": []}


def test_numbers_are_set_and_reset(asyncjobs: Asyncjobs, worker: Running) -> None:
    until_state(asyncjobs, _enqueue(asyncjobs, "welcome", "ada"), "succeeded")
    waiting = _enqueue(asyncjobs, "welcome", "ada")
    until_state(asyncjobs, waiting, "throttled")
    assert _enqueue(asyncjobs, "welcome", "ada") == waiting, "it is unique"
    said = {"name": "smtp", "concurrency": None, "rate": 1, "per": 3600, "by_hand": False}
    assert asyncjobs("limits", "numbers", "--json").json == {"numbers": [said]}
    assert re.fullmatch(r"smtp +1 in 1 h", asyncjobs("limits", "numbers").lines[1])

    told = asyncjobs("limits", "set", "smtp", "--rate", 2, "--per", "30m")
    assert told.out == "smtp: 2 in 30 min, whatever the code says\n"
    until_state(asyncjobs, waiting, "succeeded")
    _enqueue(asyncjobs, "welcome", "bob")
    said |= {"rate": 2, "per": 1800, "by_hand": True}
    assert asyncjobs("limits", "numbers", "--json").json == {"numbers": [said]}
    assert re.fullmatch(r"smtp +2 in 30 min +set by hand", asyncjobs("limits", "numbers").lines[1])

    assert asyncjobs("limits", "set", "smtp", "--rate", 5).out == "smtp: 5 in 1 s, whatever the code says\n"
    assert asyncjobs("limits", "reset", "smtp").out.startswith("smtp: the numbers come from the code again")
    _enqueue(asyncjobs, "welcome", "eve")
    (now,) = asyncjobs("limits", "numbers", "--json").json["numbers"]
    assert (now["rate"], now["per"], now["by_hand"]) == (1, 3600, False)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("set", "smtp"), "Give either --concurrency, or --rate"),
        (("set", "smtp", "--concurrency", 1, "--rate", 1), "Give either --concurrency, or --rate"),
        (("set", "smtp", "--concurrency", 1, "--per", 1), "--per is for --rate"),
        (("set", "smtp", "--rate", 1, "--per", "soon"), "'soon' is no duration"),
        (("set", "smtp", "--rate", 0), "--rate"),
        (("set", "smtp", "--rate", 1, "--per", 0), "limit 'smtp': per"),
        (("set", "smpt", "--rate", 1), "there is no limit 'smpt': no job was ever created under it; did you"),
        (("set", "smtp", "--concurrency", 1), "limit 'smtp' is a rate"),
        (("set", "mutex", "--concurrency", 1), "mutexes are"),
        (("set", "a b", "--concurrency", 1), "a limit can't be called 'a b'"),
        (("reset", "smpt"), "there is no limit 'smpt'"),
        (("reset",), "Missing argument"),
        (("lsit",), "lsit"),
    ],
)
def test_what_can_not_be_is_refused(asyncjobs: Asyncjobs, words: tuple[object, ...], told: str) -> None:
    _enqueue(asyncjobs, "welcome", "ada")
    assert told in asyncjobs("limits", *words, code=2).err


def test_a_job_that_is_throttled(asyncjobs: Asyncjobs, held: tuple[str, str]) -> None:
    _, waiting = held
    document = asyncjobs("show", waiting, "--json").json
    assert (document["limits"], document["throttled_by"]) == (["mutex:report:3600"], "mutex:report:3600")
    shown = asyncjobs("show", waiting).out
    assert re.search(r"^limits +mutex:report:3600$", shown, re.MULTILINE)
    assert re.search(r"^waits for +limit mutex:report:3600$", shown, re.MULTILINE)
    assert asyncjobs("stats", "--json").json["counts"]["throttled"] == 1
    assert ["throttled", "1"] in [line.split() for line in asyncjobs("stats").lines]

    assert asyncjobs("cancel", waiting).out == f"{waiting} is cancelled\n"
    assert asyncjobs("list", "throttled").out == "No throttled jobs.\n"
    asyncjobs("requeue", waiting)
    until_state(asyncjobs, waiting, "throttled")
    assert asyncjobs("purge", "--state", "throttled", "--yes").out == "1 job is deleted\n"


def test_it_runs_when_there_is_room(asyncjobs: Asyncjobs, held: tuple[str, str]) -> None:
    running, waiting = held
    asyncjobs("cancel", running)
    until_state(asyncjobs, waiting, "processing")
    document = asyncjobs("show", waiting, "--json").json
    assert (document["limits"], document["throttled_by"]) == (["mutex:report:3600"], None)


def test_a_unique_key_and_when_a_job_expires(asyncjobs: Asyncjobs) -> None:
    job = _enqueue(asyncjobs, "welcome", "ada")
    document = asyncjobs("show", job, "--json").json
    assert document["unique"] == "welcome:ada"
    assert document["expires_at"] > document["created_at"]
    shown = asyncjobs("show", job).out
    assert re.search(r"^unique key +welcome:ada$", shown, re.MULTILINE)
    assert re.search(r"^expires +\d{4}-.*\(in \d+ min", shown, re.MULTILINE)
    plain = asyncjobs("show", _enqueue(asyncjobs, "add", 1, 2), "--json").json
    told = [plain[key] for key in ("unique", "limits", "throttled_by", "expires_at")]
    assert told == [None, [], None, None]
    for word in ("unique key", "limits", "expires"):
        assert word not in asyncjobs("show", plain["id"]).out


def test_one_that_another_took_the_place_of_says_so(asyncjobs: Asyncjobs) -> None:
    first = _enqueue(asyncjobs, "digest", "ada")
    second = _enqueue(asyncjobs, "digest", "ada")
    assert first != second
    document = asyncjobs("show", first, "--json").json
    assert document["state"] == "cancelled"
    (entry,) = document["history"]
    assert (entry["event"], entry["error"]["type"]) == ("cancelled", "Replaced")
    assert f"Replaced: job {second} of the same unique key" in asyncjobs("show", first).out
    assert "Replaced" in asyncjobs("show", first).out


def test_one_that_expired_says_so(asyncjobs: Asyncjobs, worker: Running) -> None:
    # It is in a queue of nobody until its time is over.
    job = _enqueue(asyncjobs, "brief", "ada", "--queue", "unserved")
    late = asyncjobs("show", job, "--json").json["expires_at"]
    eventually_sync(lambda: asyncjobs("stats", "--json").json["now"] > late, 20)
    start = asyncjobs("worker", APP, "--queues", "unserved", "--burst")
    assert start.code == 0
    document = asyncjobs("show", job, "--json").json
    assert document["state"] == "cancelled"
    assert [entry["event"] for entry in document["history"]] == ["expired"]
    assert re.search(r" expired$", asyncjobs("show", job).out, re.MULTILINE)


def test_a_conflict_is_told(asyncjobs: Asyncjobs) -> None:
    first = _enqueue(asyncjobs, "bill", 7)
    told = asyncjobs("enqueue", APP, "bill", 7, code=1)
    assert told.err == f"Error: cli_shop.bill wasn't created: job {first} holds its unique key 'bill:7'\n"
    _enqueue(asyncjobs, "bill", 8)


def test_an_id_of_ones_own(asyncjobs: Asyncjobs) -> None:
    assert _enqueue(asyncjobs, "add", 1, 2, "--job-id", "sum-1") == "sum-1"
    assert _enqueue(asyncjobs, "add", 3, 4, "--job-id", "sum-1") == "sum-1"
    assert asyncjobs("show", "sum-1", "--json").json["args"] == [1, 2]
    told = asyncjobs("enqueue", APP, "send_email", "ada", "--job-id", "sum-1", code=1)
    assert "job sum-1 is there instead, but is a cli_shop.add, not a cli_shop.send_email" in told.err
    told = asyncjobs("enqueue", APP, "add", 1, 2, "--job-id", "a b", code=2)
    assert "a job's id can't be 'a b'" in told.err
