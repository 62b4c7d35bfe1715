"""`asyncjobs requeue`, `cancel`, `move`, `delete`, `pause`, `resume`, `purge`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import APP, Asyncjobs, OpenTerminal, Running, until_state
from tests.waiting import eventually_sync


def _enqueue(asyncjobs: Asyncjobs, *args: object) -> str:
    return asyncjobs("enqueue", APP, *args).out.strip()


def _cancelled(asyncjobs: Asyncjobs, count: int) -> list[str]:
    ids = [_enqueue(asyncjobs, "add", number, 0) for number in range(count)]
    asyncjobs("cancel", *ids)
    return ids


def _state(asyncjobs: Asyncjobs, job_id: str) -> str:
    return str(asyncjobs("show", job_id, "--json").json["state"])


def _total(asyncjobs: Asyncjobs, state: str) -> int:
    return int(asyncjobs("list", state, "--json").json["total"])


def test_cancelling(asyncjobs: Asyncjobs, worker: Running) -> None:
    running = _enqueue(asyncjobs, "report", 3600)
    until_state(asyncjobs, running, "processing")
    waiting = _enqueue(asyncjobs, "add", 1, 2, "--in", "1h")
    told = asyncjobs("cancel", running, waiting, waiting)
    first, second = told.lines
    # Its worker may be faster than the look at it.
    assert first in (f"{running} is running and told to stop", f"{running} is cancelled")
    assert second == f"{waiting} is cancelled"
    until_state(asyncjobs, running, "cancelled")
    told = asyncjobs("cancel", waiting, "nope", code=1)
    assert told.out == ""
    assert told.err.splitlines() == [
        f"Error: {waiting} had ended already",
        "Error: there is no job nope: it was never created, was deleted, or is past its retention",
    ]


def test_moving(asyncjobs: Asyncjobs, worker: Running) -> None:
    running = _enqueue(asyncjobs, "report", 3600)
    until_state(asyncjobs, running, "processing")
    later, ended = [_enqueue(asyncjobs, "add", 1, 2, "--in", "1h") for _ in range(2)]
    asyncjobs("cancel", ended)
    told = asyncjobs("move", "bulk", later, running, "nope", ended, code=1)
    assert told.lines == [f"{job_id} is moved to queue bulk" for job_id in (later, ended)]
    first, second = told.err.splitlines()
    assert first == f"Error: job {running} is running, and can't be moved"
    assert second.startswith("Error: there is no job nope")
    assert asyncjobs("show", later, "--json").json["queue"] == "bulk"
    # No worker serves that queue.
    asyncjobs("requeue", ended)
    assert asyncjobs("list", "enqueued", "--queue", "bulk", "--json").json["total"] == 1
    assert "queue name 'no name' can't be used" in asyncjobs("move", "no name", later, code=2).err


def test_requeueing_by_id(asyncjobs: Asyncjobs) -> None:
    ended, other = _cancelled(asyncjobs, 2)
    waiting = _enqueue(asyncjobs, "add", 1, 2)
    told = asyncjobs("requeue", ended, waiting, "nope", other, code=1)
    assert told.lines == [f"{ended} is enqueued again", f"{other} is enqueued again"]
    first, second = told.err.splitlines()
    assert first == f"Error: job {waiting} is enqueued: it has not ended"
    assert second.startswith("Error: there is no job nope")
    assert _state(asyncjobs, ended) == "enqueued"


def test_requeueing_all_of_a_state(asyncjobs: Asyncjobs) -> None:
    ids = _cancelled(asyncjobs, 3)
    assert (
        asyncjobs("requeue", "--state", "cancelled", "--all").out == "3 cancelled jobs are enqueued again\n"
    )
    assert {_state(asyncjobs, job_id) for job_id in ids} == {"enqueued"}
    assert (
        asyncjobs("requeue", "--state", "cancelled", "--all").out == "0 cancelled jobs are enqueued again\n"
    )


def test_jobs_that_fail_again_at_once_are_requeued_only_once(asyncjobs: Asyncjobs, worker: Running) -> None:
    ids = [_enqueue(asyncjobs, "fail", number) for number in range(3)]
    for job_id in ids:
        until_state(asyncjobs, job_id, "failed")
    assert asyncjobs("requeue", "--state", "failed", "--all").out == "3 failed jobs are enqueued again\n"

    def failed_again() -> bool:
        shown = [asyncjobs("show", job_id, "--json").json for job_id in ids]
        return all(job["state"] == "failed" and job["attempt"] == 4 for job in shown)

    eventually_sync(failed_again, 20)
    events = [entry["event"] for entry in asyncjobs("show", ids[0], "--json").json["history"]]
    assert events.count("requeued") == 1


def test_deleting(asyncjobs: Asyncjobs, worker: Running) -> None:
    running = _enqueue(asyncjobs, "report", 3600)
    until_state(asyncjobs, running, "processing")
    waiting = _enqueue(asyncjobs, "add", 1, 2, "--in", "1h")
    told = asyncjobs("delete", waiting, running, "nope", code=1)
    assert told.lines == [f"{waiting} is deleted"]
    first, second = told.err.splitlines()
    assert first == f"Error: job {running} is running: cancel it first, and delete it when it has ended"
    assert second.startswith("Error: there is no job nope")
    asyncjobs("show", waiting, code=1)


def test_pausing(asyncjobs: Asyncjobs, worker: Running) -> None:
    _enqueue(asyncjobs, "send_email", "ada", "--wait")
    told = asyncjobs("pause", "mail")
    assert (told.out, told.err) == ("mail is paused; 0 jobs wait in it\n", "")
    paused = _enqueue(asyncjobs, "send_email", "ada")
    # A job of another queue that came later has run: the worker passes the paused one by.
    _enqueue(asyncjobs, "add", 1, 2, "--wait")
    assert _state(asyncjobs, paused) == "enqueued"
    assert asyncjobs("resume", "mail").out == "mail goes on\n"
    until_state(asyncjobs, paused, "succeeded")
    assert asyncjobs("resume", "mail").out == "mail wasn't paused\n"


def test_a_queue_that_was_never_used_may_be_a_slip(asyncjobs: Asyncjobs) -> None:
    _enqueue(asyncjobs, "send_email", "ada")
    told = asyncjobs("pause", "mial")
    assert told.err == "No job has been in mial yet. Known queues: mail\n"
    assert asyncjobs("resume", "mali", code=1).err == "Error: there is no queue mali. Known: mail, mial\n"


def test_purging_a_queue(asyncjobs: Asyncjobs) -> None:
    for number in range(3):
        _enqueue(asyncjobs, "add", number, 0)
    kept = _enqueue(asyncjobs, "send_email", "ada")
    assert asyncjobs("purge", "default", "--yes").out == "3 jobs are deleted\n"
    assert [job["id"] for job in asyncjobs("list", "enqueued", "--json").json["jobs"]] == [kept]


def test_purging_a_state(asyncjobs: Asyncjobs) -> None:
    _cancelled(asyncjobs, 1)
    waiting = _enqueue(asyncjobs, "add", 1, 2)
    assert asyncjobs("purge", "--state", "cancelled", "--yes").out == "1 job is deleted\n"
    assert _total(asyncjobs, "cancelled") == 0
    assert _state(asyncjobs, waiting) == "enqueued"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("purge", "default"), "Nobody can be asked here: add --yes"),
        (("purge", "--state", "cancelled"), "Nobody can be asked here: add --yes"),
        (("purge", "--yes"), "Give a queue, or --state"),
        (("purge", "default", "--state", "failed", "--yes"), "Give a queue, or --state"),
        (("purge", "--state", "processing", "--yes"), "processing"),
        (("requeue",), "Give the ids of jobs, or --state"),
        (("requeue", "--all"), "Give the ids of jobs, or --state"),
        (("requeue", "someid", "--state", "failed"), "Give the ids of jobs, or --state"),
        (("requeue", "--state", "cancelled"), "Nobody can be asked here: add --all"),
        (("requeue", "--state", "scheduled", "--all"), "scheduled"),
        (("cancel",), "ID"),
        (("pause",), "QUEUE"),
        (("pause", "a:b"), "queue name 'a:b' can't be used"),
    ],
)
def test_wrong_usage_changes_nothing(asyncjobs: Asyncjobs, args: tuple[str, ...], said: str) -> None:
    _cancelled(asyncjobs, 1)
    _enqueue(asyncjobs, "add", 1, 2)
    told = asyncjobs(*args, code=2)
    assert said in told.err
    assert len(told.err.splitlines()) <= 2
    assert (_total(asyncjobs, "cancelled"), _total(asyncjobs, "enqueued")) == (1, 1)


def test_on_a_terminal_it_asks_before_it_deletes(asyncjobs: Asyncjobs, terminal: OpenTerminal) -> None:
    _enqueue(asyncjobs, "add", 1, 2)
    screen = terminal("purge", "default")
    screen.until("Delete all 1 jobs enqueued in default? [y/N]: ")
    screen.type("n")
    assert screen.ended() == 1
    assert "Nothing was deleted" in screen.seen
    assert _total(asyncjobs, "enqueued") == 1
    screen = terminal("purge", "default")
    screen.until("[y/N]: ")
    screen.type("y")
    assert screen.ended() == 0
    assert "1 job is deleted" in screen.seen
    assert _total(asyncjobs, "enqueued") == 0
    screen = terminal("purge", "default")
    assert screen.ended() == 0
    assert "There are no jobs enqueued in default." in screen.seen


def test_on_a_terminal_it_asks_before_it_requeues(asyncjobs: Asyncjobs, terminal: OpenTerminal) -> None:
    _cancelled(asyncjobs, 2)
    screen = terminal("requeue", "--state", "cancelled")
    screen.until("Requeue all 2 cancelled jobs? [y/N]: ")
    screen.type("\x03")
    assert screen.ended() == 130
    assert _total(asyncjobs, "cancelled") == 2
    screen = terminal("requeue", "--state", "cancelled")
    screen.until("[y/N]: ")
    screen.type("y")
    assert screen.ended() == 0
    assert _total(asyncjobs, "cancelled") == 0
