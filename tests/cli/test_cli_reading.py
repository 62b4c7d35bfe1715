"""`asyncjobs list`, `show`, `stats` and `workers`: for people and for scripts."""

from __future__ import annotations

import asyncio
import re
from datetime import datetime

import pytest

from asyncjobs import Client, SyncClient
from asyncjobs.cli.display import ID, Column, table
from tests.cli.apps import cli_producer, cli_shop
from tests.cli.conftest import APP, Asyncjobs, OpenTerminal, Running, until_state
from tests.waiting import eventually_sync

JOB_KEYS = [
    *("id", "name", "queue", "priority", "state", "args", "kwargs", "unreadable", "attempt", "failures"),
    *("recoveries", "worker", "created_at", "enqueued_at", "due_at", "started_at", "finished_at"),
    *("cancel_requested", "progress", "progress_message", "batch", "parents", "unmet", "unique", "limits"),
    *("throttled_by", "expires_at", "error"),
]
ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STATES = [
    *("enqueued", "throttled", "scheduled", "awaiting", "processing", "retrying"),
    *("succeeded", "failed", "cancelled"),
]


def _enqueue(asyncjobs: Asyncjobs, *args: object) -> str:
    return asyncjobs("enqueue", APP, *args).out.strip()


@pytest.fixture
def all_states(asyncjobs: Asyncjobs, worker: Running, redis_url: str) -> dict[str, str]:
    """A job in each state; its id by its state."""
    jobs = {
        "succeeded": _enqueue(asyncjobs, "send_email", "ada@example.com"),
        "failed": _enqueue(asyncjobs, "fail", "it"),
        "retrying": _enqueue(asyncjobs, "fail_slowly", "it"),
        "processing": _enqueue(asyncjobs, "lone_report", "3600"),
        "throttled": _enqueue(asyncjobs, "lone_report", "3600"),
        "enqueued": _enqueue(asyncjobs, "add", "1", "b=2", "--queue", "unserved"),
        "scheduled": _enqueue(asyncjobs, "add", "1", "2", "--in", "1h"),
        "cancelled": _enqueue(asyncjobs, "add", "1", "2", "--queue", "unserved"),
    }
    asyncjobs("cancel", jobs["cancelled"])
    with SyncClient(redis_url, registry=cli_producer.registry) as client:
        parent = client.get(jobs["scheduled"])
        assert parent is not None
        jobs["awaiting"] = client.continue_with(parent, cli_producer.add, 1, b=2).id
    for state, job_id in jobs.items():
        until_state(asyncjobs, job_id, state)
    eventually_sync(lambda: asyncjobs("show", jobs["processing"], "--json").json["logs"], 20)
    return jobs


def test_every_state_has_its_list(asyncjobs: Asyncjobs, all_states: dict[str, str]) -> None:
    for state in STATES:
        document = asyncjobs("list", state, "--json").json
        assert [document[key] for key in ("state", "queue", "total", "offset")] == [state, None, 1, 0]
        (job,) = document["jobs"]
        assert list(job) == JOB_KEYS
        assert (job["id"], job["state"]) == (all_states[state], state)
        told = asyncjobs("list", state)
        heading, row = told.lines[:2]
        assert heading.startswith("ID  ")
        assert row.startswith(f"{all_states[state]}  cli_shop.")
        assert "\x1b" not in told.out
        assert all(len(line) <= 80 and line == line.rstrip() for line in told.lines)


def test_what_the_lists_tell(asyncjobs: Asyncjobs, all_states: dict[str, str]) -> None:
    assert "1, b=2" in asyncjobs("list", "enqueued").out
    assert re.search(r"\d+ m?s +mutex:report:36", asyncjobs("list", "throttled").out)
    assert re.search(r"in (1 h|\d+ min)", asyncjobs("list", "scheduled").out)
    assert "25% a quarter" in asyncjobs("list", "processing").out
    assert "1×  LookupError: not" in asyncjobs("list", "retrying").out
    assert re.search(r"ago +2  ValueError: no", asyncjobs("list", "failed").out)
    (failed,) = asyncjobs("list", "failed", "--json").json["jobs"]
    assert (failed["error"]["type"], failed["error"]["message"]) == ("ValueError", "no such thing: it")
    assert "Traceback" in failed["error"]["traceback"]


def test_times_are_iso(asyncjobs: Asyncjobs, all_states: dict[str, str]) -> None:
    (job,) = asyncjobs("list", "succeeded", "--json").json["jobs"]
    times = [job[key] for key in ("created_at", "enqueued_at", "started_at", "finished_at")]
    assert all(ISO.fullmatch(time) for time in times)
    assert times == sorted(times)
    assert job["due_at"] is None


def test_pages_from_both_ends(asyncjobs: Asyncjobs) -> None:
    ids = [_enqueue(asyncjobs, "add", number, 0) for number in range(4)]

    def listed(*options: object) -> list[str]:
        return [job["id"] for job in asyncjobs("list", "enqueued", "--json", *options).json["jobs"]]

    assert listed() == ids
    assert listed("--limit", 2) == ids[:2]
    assert listed("--limit", 2, "--offset", 3) == ids[3:]
    assert listed("--newest", "--limit", 1) == ids[3:]
    told = asyncjobs("list", "enqueued", "--limit", 2, "--offset", 1)
    assert told.lines[-1] == "2 to 3 of 4 enqueued jobs; --offset 3 for more"
    assert asyncjobs("list", "enqueued", "--offset", 4).out == "No enqueued jobs after the first 4.\n"


def test_one_queue(asyncjobs: Asyncjobs) -> None:
    mail = _enqueue(asyncjobs, "send_email", "ada")
    _enqueue(asyncjobs, "add", 1, 2)
    document = asyncjobs("list", "enqueued", "--queue", "mail", "--json").json
    assert (document["queue"], document["total"]) == ("mail", 1)
    assert [job["id"] for job in document["jobs"]] == [mail]
    assert asyncjobs("list", "enqueued", "--queue", "other").out == "No enqueued jobs in queue other.\n"
    assert "--queue is for enqueued jobs" in asyncjobs("list", "failed", "--queue", "mail", code=2).err


def test_an_empty_list(asyncjobs: Asyncjobs) -> None:
    assert asyncjobs("list", "failed").out == "No failed jobs.\n"
    document = asyncjobs("list", "failed", "--json").json
    assert document == {"state": "failed", "queue": None, "total": 0, "offset": 0, "jobs": []}


def test_show_tells_all(asyncjobs: Asyncjobs, all_states: dict[str, str]) -> None:
    shown = asyncjobs("show", all_states["failed"]).out
    assert shown.startswith(f"{all_states['failed']} cli_shop.fail failed\n")
    assert re.search(r"^arguments +'it'$", shown, re.MULTILINE)
    assert re.search(
        r"^created +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d +\(.* ago\)$", shown, re.MULTILINE
    )
    assert re.search(r"^attempt +2  \(2 failed\)$", shown, re.MULTILINE)
    assert re.findall(r" (retrying|failed) attempt (\d) on \S+$", shown, re.MULTILINE) == [
        ("retrying", "1"),
        ("failed", "2"),
    ]
    assert shown.count("    ValueError: no such thing: it\n") == 2
    assert "cli_shop.py" in shown
    running = asyncjobs("show", all_states["processing"]).out
    assert re.search(r"^progress +25% a quarter$", running, re.MULTILINE)
    assert re.search(r"^running for ", running, re.MULTILINE)
    assert re.search(r"^LOG\n\S+ \S+ began 3600$", running, re.MULTILINE)
    done = asyncjobs("show", all_states["succeeded"]).out
    assert re.search(r"^result +'ada@example.com: Hi'$", done, re.MULTILINE)
    assert "HISTORY" not in done


def test_show_for_scripts(asyncjobs: Asyncjobs, all_states: dict[str, str]) -> None:
    document = asyncjobs("show", all_states["failed"], "--json").json
    assert list(document) == [*JOB_KEYS, "result", "result_kept", "history", "logs"]
    assert [(entry["event"], entry["attempt"]) for entry in document["history"]] == [
        ("retrying", 1),
        ("failed", 2),
    ]
    assert document["history"][-1]["error"] == document["error"]
    assert ISO.fullmatch(document["history"][0]["at"])
    running = asyncjobs("show", all_states["processing"], "--json").json
    assert (running["progress"], running["progress_message"]) == (0.25, "a quarter\nof it")
    assert [line["text"] for line in running["logs"]] == ["began 3600"]
    done = asyncjobs("show", all_states["succeeded"], "--json").json
    assert (done["result"], done["result_kept"], done["history"]) == ("ada@example.com: Hi", True, [])


def test_a_job_that_is_not_there(asyncjobs: Asyncjobs) -> None:
    for job_id in ("nope", "", "a b:{c}"):
        told = asyncjobs("show", job_id, code=1)
        assert told.out == ""
        assert told.err.startswith(f"Error: there is no job {job_id}")


def test_types_of_the_application_are_read_with_its_registry(asyncjobs: Asyncjobs, redis_url: str) -> None:
    async def ship() -> str:
        async with Client(redis_url, registry=cli_producer.registry) as client:
            return (await client.enqueue(cli_shop.ship, cli_shop.Order(7, {"b", "a"}))).id

    job_id = asyncio.run(ship())
    document = asyncjobs("show", job_id, "--json").json
    assert document["args"] is None
    assert "Order" in document["unreadable"]
    assert "give --app app:registry" in asyncjobs("show", job_id).out
    assert "(of types" in asyncjobs("list", "enqueued").out
    document = asyncjobs("show", job_id, "--json", "--app", "tests.cli.apps.cli_shop:registry").json
    assert document["args"] == [{"number": 7, "tags": ["a", "b"]}]
    assert "Order(number=7" in asyncjobs("show", job_id, "--app", "tests.cli.apps.cli_shop:registry").out


def test_control_characters_of_a_job_do_not_reach_the_terminal(asyncjobs: Asyncjobs, worker: Running) -> None:
    job_id = _enqueue(asyncjobs, "fail", r'"\u001b]0;owned\u0007 [bold]x[/bold] \u202e \u009b2J"')
    until_state(asyncjobs, job_id, "failed")
    for told in (asyncjobs("show", job_id), asyncjobs("list", "failed")):
        assert not re.search("[\x1b\x07\x9b\u202e]", told.out)
        assert "[bold]x[/bold]" in asyncjobs("show", job_id).out
    assert r"\x1b]0;owned\x07" in asyncjobs("show", job_id).out


def test_stats(asyncjobs: Asyncjobs, all_states: dict[str, str]) -> None:
    asyncjobs("pause", "mail")
    document = asyncjobs("stats", "--json").json
    assert list(document) == ["now", "counts", "totals", "queues", "workers"]
    assert {state: document["counts"][state] for state in STATES} == dict.fromkeys(STATES, 1)
    assert {name: document["totals"][name] for name in ("succeeded", "failed", "cancelled", "retried")} == {
        "succeeded": 1,
        "failed": 1,
        "cancelled": 1,
        "retried": 2,
    }
    queues = {queue["name"]: queue for queue in document["queues"]}
    assert (queues["unserved"]["length"], queues["unserved"]["paused"]) == (1, False)
    assert queues["unserved"]["latency"] > 0
    assert queues["mail"] == {"name": "mail", "length": 0, "paused": True, "latency": None}
    assert document["workers"] == 1
    told = asyncjobs("stats")
    assert [line.split() for line in told.lines[: len(STATES)]] == [[state, "1"] for state in STATES]
    assert re.search(r"^mail +0 +- +paused$", told.out, re.MULTILINE)
    assert re.search(r"^unserved +1 +\d", told.out, re.MULTILINE)
    assert told.lines[-2:] == [
        "Since the beginning: 1 succeeded, 1 failed, 1 cancelled, 2 retried",
        "Workers: 1",
    ]


def test_stats_of_nothing(asyncjobs: Asyncjobs) -> None:
    told = asyncjobs("stats")
    assert told.lines[-3:] == ["", "Since the beginning: nothing has ended", "No worker is running"]
    assert "No queue has been used yet." in told.lines


def test_workers(asyncjobs: Asyncjobs, worker: Running) -> None:
    worker_id = worker.until_serving()
    document = asyncjobs("workers", "--json").json
    assert list(document) == ["now", "workers"]
    (info,) = document["workers"]
    assert (info["id"], info["pid"], info["queues"]) == (worker_id, worker.process.pid, ["default", "mail"])
    assert (info["concurrency"], info["running"], info["quiet"]) == (100, 0, False)
    assert datetime.fromisoformat(info["lease_ends_at"]) > datetime.fromisoformat(document["now"])
    heading, row = asyncjobs("workers").lines
    assert heading.split() == ["ID", "QUEUES", "RUNNING", "STARTED", "LAG", "MEMORY"]
    assert row.startswith(f"{worker_id}  default, mail    0/100  ")


def test_the_background_processes_of_workers(asyncjobs: Asyncjobs, redis_url: str) -> None:
    processes: list[object] = [
        {"name": "a", "state": "running", "since_ms": 1_700_000_000_000, "restarts": 0, "error": ""},
        {
            "name": "b",
            "state": "restarting",
            "since_ms": 1,
            "restarts": 3,
            "error": "ValueError: \x1b[31mred",
        },
        {"name": "of a later version", "state": "dancing", "since_ms": 1, "restarts": 0, "error": ""},
        "nonsense",
    ]

    async def register() -> None:
        async with Client(redis_url) as client:
            await client.storage.register(0, "web1-1-1", {"processes": processes}, 60_000)
            await client.storage.register(0, "web2-1-1", {}, 60_000)

    asyncio.run(register())
    one, two = asyncjobs("workers", "--json").json["workers"]
    assert two["processes"] == []
    assert one["processes"][0] == {
        "name": "a",
        "state": "running",
        "since": "2023-11-14T22:13:20.000Z",
        "restarts": 0,
        "last_error": None,
    }
    assert [process["name"] for process in one["processes"]] == ["a", "b"]
    told = asyncjobs("workers")
    heading, first, second = told.lines[-3:]
    assert heading.split() == ["PROCESS", "WORKER", "STATE", "SINCE", "RESTARTS", "LAST", "ERROR"]
    assert first.split()[:3] == ["a", "web1-1-1", "running"]
    assert second.split()[:3] == ["b", "web1-1-1", "restarting"]
    assert "ValueError" in second
    assert "\x1b" not in told.out


def test_no_worker(asyncjobs: Asyncjobs) -> None:
    assert asyncjobs("workers").out.startswith("No worker is running.")


def test_telling_workers(asyncjobs: Asyncjobs, worker: Running) -> None:
    worker_id = worker.until_serving()
    assert asyncjobs("workers", "--quiet", worker_id).out == f"{worker_id} is told to take no new jobs\n"
    eventually_sync(lambda: asyncjobs("workers", "--json").json["workers"][0]["quiet"], 20)
    assert asyncjobs("workers").lines[1].endswith("quiet")
    told = asyncjobs("workers", "--stop", worker_id, "--stop", "nobody-1-2", code=1)
    assert told.out == f"{worker_id} is told to stop\n"
    assert told.err == "Error: there is no worker nobody-1-2\n"
    assert worker.ended().code == 0


def test_a_namespace_is_apart(asyncjobs: Asyncjobs) -> None:
    job_id = asyncjobs("enqueue", APP, "add", 1, 2, "--namespace", "other").out.strip()
    assert asyncjobs("show", job_id, "--namespace", "other", "--json").json["id"] == job_id
    asyncjobs("show", job_id, code=1)
    job_id = asyncjobs("enqueue", APP, "add", 1, 2, "--namespace", "sharded", "--shards", 3).out.strip()
    listed = asyncjobs("list", "enqueued", "--namespace", "sharded", "--shards", 3, "--json").json
    assert [job["id"] for job in listed["jobs"]] == [job_id]


def test_only_what_may_be_cut_is_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    columns = (
        ID,
        Column("JOB", folds=True),
        Column("ENDED"),
        Column("N", "right"),
        Column("ERROR", rest=True),
    )
    for length in range(5, 90):
        cells = ("0" * 20, "j" * length, "59 min ago", "17", "e" * length)
        table(columns, [cells])
        heading, first, *more = capsys.readouterr().out.splitlines()
        assert max(map(len, (heading, first, *more))) <= 80
        # The header shows where each column begins.
        at = [heading.index(column.title) for column in columns]
        assert (first[: at[1]].strip(), first[at[2] : at[2] + 10]) == (cells[0], cells[2])
        assert "  17  e" in first
        assert "".join(line[at[1] : at[2]].strip() for line in (first, *more)) == cells[1]
        assert first.endswith(("…", f"  {cells[4]}"))


def test_colours_on_a_terminal_and_no_line_too_wide(asyncjobs: Asyncjobs, terminal: OpenTerminal) -> None:
    job_id = _enqueue(
        asyncjobs, "echo", "a rather long argument " * 10, "--queue", "a.queue.with.a.long.name.as.well"
    )
    screen = terminal("list", "enqueued")
    assert screen.ended() == 0
    assert "\x1b[1m" in screen.seen
    plain = re.sub(r"\x1b\[[\d;]*m", "", screen.seen).splitlines()
    assert plain[1].startswith(job_id)
    assert max(map(len, plain)) <= 80
    assert "…" in plain[1]
