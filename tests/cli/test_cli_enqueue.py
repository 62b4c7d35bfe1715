"""`asyncjobs enqueue`."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import APP, Asyncjobs, Running, Start

SHOP = "cli_shop"


def _only(asyncjobs: Asyncjobs, state: str) -> dict[str, object]:
    (job,) = asyncjobs("list", state, "--json").json["jobs"]
    return job  # type: ignore[no-any-return]


def test_it_prints_the_id_alone(asyncjobs: Asyncjobs) -> None:
    told = asyncjobs("enqueue", APP, "send_email", "ada@example.com", "subject=Hello")
    (job_id,) = told.lines
    job = asyncjobs("show", job_id, "--json").json
    assert (job["name"], job["queue"], job["state"]) == (f"{SHOP}.send_email", "mail", "enqueued")
    assert (job["args"], job["kwargs"]) == (["ada@example.com"], {"subject": "Hello"})
    assert told.err == f"{SHOP}.send_email is enqueued in queue mail:\n"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("5", 5),
        ("1.5", 1.5),
        ("true", True),
        ("null", None),
        ('["a", {"b": 1}]', ["a", {"b": 1}]),
        ('"5"', "5"),
        ('"a=b"', "a=b"),
        ("0123", "0123"),
        ("NaN", "NaN"),
        ("", ""),
        ("two words", "two words"),
        ("https://example.com/?a=b", "https://example.com/?a=b"),
        ("ünï", "ünï"),
    ],
)
def test_arguments_are_json_or_else_strings(asyncjobs: Asyncjobs, written: str, read: object) -> None:
    asyncjobs("enqueue", APP, "echo", written, f"key={written}")
    job = _only(asyncjobs, "enqueued")
    assert (job["args"], job["kwargs"]) == ([read], {"key": read})


def test_options_of_the_call(asyncjobs: Asyncjobs) -> None:
    asyncjobs("enqueue", APP, "add", 1, 2, "--queue", "bulk", "--priority", "-5")
    job = _only(asyncjobs, "enqueued")
    assert (job["queue"], job["priority"]) == ("bulk", -5)


@pytest.mark.parametrize(
    ("written", "seconds"), [("90", 90), ("1h30m", 5400), ("2d", 172_800), ("500ms", 0.5)]
)
def test_a_delay(asyncjobs: Asyncjobs, written: str, seconds: float) -> None:
    told = asyncjobs("enqueue", APP, "add", 1, 2, "--in", written)
    assert "is scheduled" in told.err
    job = _only(asyncjobs, "scheduled")
    due, created = (datetime.fromisoformat(str(job[key])) for key in ("due_at", "created_at"))
    assert due - created == timedelta(seconds=seconds)


def test_a_time(asyncjobs: Asyncjobs) -> None:
    asyncjobs("enqueue", APP, "add", 1, 2, "--at", "2090-01-31T09:30+02:00")
    due = datetime.fromisoformat(str(_only(asyncjobs, "scheduled")["due_at"]))
    assert due == datetime(2090, 1, 31, 7, 30, tzinfo=UTC)


def test_waiting_prints_the_result_as_json(asyncjobs: Asyncjobs, worker: Running) -> None:
    told = asyncjobs("enqueue", APP, "echo", "1", "a=two", "--wait")
    assert told.json == [[1], {"a": "two"}]
    assert asyncjobs("enqueue", APP, "add", "--wait=30s", "--", "-2", "3").out == "1\n"
    told = asyncjobs("enqueue", APP, "forget", "--wait")
    assert told.out == ""
    assert "isn't kept" in told.err


def test_waiting_for_one_that_fails(asyncjobs: Asyncjobs, worker: Running) -> None:
    told = asyncjobs("enqueue", APP, "fail", "x", "--wait", code=1)
    assert told.out == ""
    job_id = told.err.splitlines()[1]
    assert told.err.splitlines()[2:] == [
        f"Error: job {job_id} failed: ValueError: no such thing: x",
        f"See: asyncjobs show {job_id}",
    ]


def test_waiting_in_vain(asyncjobs: Asyncjobs) -> None:
    told = asyncjobs("enqueue", APP, "add", 1, 2, "--wait", "0.1", code=1)
    assert "No worker serves queue default now" in told.err
    assert "has not ended within 0.1 s" in told.err
    assert _only(asyncjobs, "enqueued")["name"] == f"{SHOP}.add"


def test_interrupting_the_wait_leaves_the_job(asyncjobs: Asyncjobs, start: Start, redis_url: str) -> None:
    waiting = start("enqueue", APP, "add", 1, 2, "--wait", url=redis_url)
    waiting.until("No worker serves")
    waiting.signal(signal.SIGINT)
    told = waiting.ended()
    assert told.code == 130
    assert "the job goes on" in told.err
    assert "Traceback" not in told.err
    assert _only(asyncjobs, "enqueued")["state"] == "enqueued"


def test_without_a_name_it_lists_the_jobs(asyncjobs: Asyncjobs) -> None:
    told = asyncjobs("enqueue", APP)
    assert f"{SHOP}.send_email(to: str, *, subject: str = 'Hi') -> str" in told.lines
    assert f"{SHOP}.report(seconds: float) -> str" in told.lines


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ("add", "1"),
            "cli_shop.add(a: int, b: int) -> int can't be called so: missing a required argument: 'b'",
        ),
        (("add", "1", "2", "3"), "too many positional arguments"),
        (("add", "1", "c=2"), "cli_shop.add(a: int, b: int)"),
        (("add", "a=1", "2"), "put it before a="),
        (("add", "a=1", "a=2"), "a= is given twice"),
        (("sned_email", "x"), "Did you mean cli_shop.send_email?"),
        (("zzzz",), "There are: cli_shop.add, cli_shop.bill"),
        (("add", "-2", "3"), "No such option"),
        (("add", "1", "2", "--in", "soon"), "is no duration: write 90 (seconds), 500ms, 5m, 1h30m or 2d"),
        (("add", "1", "2", "--in", "5m 3"), "is no duration"),
        (("add", "1", "2", "--at", "2090-01-31T09:30"), "has no time zone: write 2090-01-31T09:30Z for UTC"),
        (("add", "1", "2", "--at", "noon"), "is no time in ISO 8601"),
        (("add", "1", "2", "--in", "1s", "--at", "2090-01-31T09:30Z"), "give one of them"),
        (("--wait", "add", "1", "2"), "put --wait last"),
        (("add", "1", "2", "--queue", "a b"), "queue name 'a b' can't be used"),
        (("add", "1", "2", "--priority", "501"), "501"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_enqueued(
    asyncjobs: Asyncjobs, args: tuple[str, ...], said: str
) -> None:
    told = asyncjobs("enqueue", APP, *args, code=2)
    assert said in told.err
    assert told.out == ""
    assert len(told.err.splitlines()) <= 2
    assert asyncjobs("list", "enqueued", "--json").json["total"] == 0


def test_results_of_every_type_are_json(asyncjobs: Asyncjobs, worker: Running) -> None:
    told = asyncjobs("enqueue", APP, "report", "0", "--wait")
    assert json.loads(told.out) == "done"
