"""`asyncjobs batches`, and what the other commands tell of batches and continuations."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from asyncjobs import SyncClient
from tests.cli.apps import cli_producer
from tests.cli.conftest import APP, Asyncjobs, Running, until_state
from tests.waiting import eventually_sync

BATCH_KEYS = [
    *("id", "name", "state", "parent", "progress", "total", "pending", "succeeded", "failed", "cancelled"),
    *("nested", "nested_succeeded", "nested_failed", "cancel_requested", "created_at", "finished_at"),
]


@pytest.fixture
def client(redis_url: str) -> Iterator[SyncClient]:
    with SyncClient(redis_url, registry=cli_producer.registry) as client:
        yield client


def _until(asyncjobs: Asyncjobs, batch_id: str, state: str) -> None:
    eventually_sync(lambda: asyncjobs("batches", batch_id, "--json").json["state"] == state, 30)


def test_the_list(asyncjobs: Asyncjobs, client: SyncClient, worker: Running) -> None:
    with client.batch("all done") as done:
        done.enqueue(cli_producer.add, 1, 2)
    with client.batch() as failed:
        failed.enqueue(cli_producer.fail, "it")
    with client.batch("half") as half:
        half.enqueue(cli_producer.add, 1, 2)
        half.enqueue(cli_producer.add.options(queue="unserved"), 1, 2)
    _until(asyncjobs, done.id, "succeeded")
    _until(asyncjobs, failed.id, "failed")
    eventually_sync(lambda: asyncjobs("batches", half.id, "--json").json["progress"] == 0.5, 30)
    told = asyncjobs("batches")
    heading, first, *_ = told.lines
    assert heading.split() == ["ID", "NAME", "STATE", "DONE", "JOBS", "FAILED", "CREATED"]
    assert re.fullmatch(rf"{half.id} +half +open +50% +2 +0 +.* ago", first)
    assert re.search(rf"^{done.id} +all done +succeeded +100% +1 +0 ", told.out, re.MULTILINE)
    assert re.search(rf"^{failed.id} +failed +100% +1 +1 ", told.out, re.MULTILINE)
    assert all(len(line) <= 80 and line == line.rstrip() for line in told.lines)
    document = asyncjobs("batches", "--json").json
    assert document["offset"] == 0
    assert [list(batch) for batch in document["batches"]] == [BATCH_KEYS] * 3
    assert document["batches"][0]["id"] == half.id
    assert document["batches"][0]["finished_at"] is None
    assert {batch["state"] for batch in document["batches"]} == {"open", "succeeded", "failed"}
    page = asyncjobs("batches", "--limit", 1, "--offset", 1)
    assert len(page.lines) == 4
    assert page.lines[-1] == "1 batches from 2; --offset 2 for more"


def test_there_are_none(asyncjobs: Asyncjobs) -> None:
    assert asyncjobs("batches").out == "No batches.\n"
    assert asyncjobs("batches", "--offset", 5).out == "No batches after the first 5.\n"
    assert asyncjobs("batches", "--json").json == {"offset": 0, "batches": []}


def test_one_and_what_is_nested_in_it(asyncjobs: Asyncjobs, client: SyncClient, worker: Running) -> None:
    with client.batch("outer") as outer:
        outer.enqueue_many(cli_producer.add.call(number, 1) for number in range(3))
        outer.enqueue(cli_producer.fail, "it")
        outer.enqueue(cli_producer.add.options(queue="unserved"), 1, 2)
        with outer.batch("inner") as inner:
            inner.enqueue(cli_producer.add, 1, 2)
    eventually_sync(lambda: asyncjobs("batches", outer.id, "--json").json["pending"] == 1, 30)
    _until(asyncjobs, inner.id, "succeeded")
    told = asyncjobs("batches", outer.id)
    assert told.lines[0] == f"{outer.id} outer open"
    assert re.search(r"^progress +#{25}-{5}  83%$", told.out, re.MULTILINE)
    counts = [("jobs", 5), ("  pending", 1), ("  succeeded", 3), ("  failed", 1)]
    for title, count in counts:
        assert re.search(rf"^{title} +{count}$", told.out, re.MULTILINE)
    assert "cancelled" not in told.out
    assert "\nNESTED BATCHES: 1\n" in told.out
    assert re.search(rf"^{inner.id} +inner +succeeded +100% +1 +0 ", told.out, re.MULTILINE)
    document = asyncjobs("batches", outer.id, "--json").json
    assert list(document) == [*BATCH_KEYS, "batches"]
    assert (document["nested"], document["nested_succeeded"], document["parent"]) == (1, 1, None)
    assert [nested["id"] for nested in document["batches"]] == [inner.id]
    assert document["batches"][0]["parent"] == outer.id
    assert re.search(rf"^nested in +{outer.id}$", asyncjobs("batches", inner.id).out, re.MULTILINE)
    assert re.search(r"^took +\d", asyncjobs("batches", inner.id).out, re.MULTILINE)


def test_one_that_is_not_there(asyncjobs: Asyncjobs) -> None:
    told = asyncjobs("batches", "nobody", code=1)
    assert "there is no batch nobody: it was never committed, or is past its retention" in told.err
    told = asyncjobs("cancel", "--batch", "nobody", code=1)
    assert "there is no batch nobody" in told.err


def test_cancelling_them(asyncjobs: Asyncjobs, client: SyncClient) -> None:
    with client.batch() as batch:
        job = batch.enqueue(cli_producer.add, 1, 2)
        with batch.batch() as inner:
            inner.enqueue(cli_producer.add, 1, 2)
    assert asyncjobs("cancel", "--batch", batch.id).out == f"batch {batch.id} is cancelled\n"
    until_state(asyncjobs, job.id, "cancelled")
    _until(asyncjobs, batch.id, "cancelled")
    _until(asyncjobs, inner.id, "cancelled")
    told = asyncjobs("cancel", "--batch", batch.id, code=1)
    assert f"{batch.id} had finished already" in told.err


def test_a_job_tells_its_batch_and_what_it_waits_for(asyncjobs: Asyncjobs, client: SyncClient) -> None:
    with client.batch("import") as batch:
        first = batch.enqueue(cli_producer.add, 1, 2)
        second = batch.enqueue(cli_producer.fail, "it")
        with batch.batch("inner") as inner:
            inner.enqueue(cli_producer.add, 1, 2)
        third = batch.continue_with([first, inner], cli_producer.add, first.output, b=1)
    alert = client.continue_with(second, cli_producer.send_email.call("ada@example.com"), on="failed")
    told = asyncjobs("show", third.id)
    assert re.search(rf"^batch +{batch.id}$", told.out, re.MULTILINE)
    assert re.search(
        rf"^after +job {first.id} cli_shop.add enqueued, takes its output$", told.out, re.MULTILINE
    )
    assert re.search(rf"^ +batch {inner.id} inner open$", told.out, re.MULTILINE)
    assert re.search(r"^waits for +2 of 2$", told.out, re.MULTILINE)
    assert re.search(rf"^arguments +<output of {first.id}>$", told.out, re.MULTILINE)
    assert ", once it has failed\n" in asyncjobs("show", alert.id).out
    document = asyncjobs("show", third.id, "--json").json
    assert (document["batch"], document["unmet"]) == (batch.id, 2)
    plain = {"on": "succeeded", "on_parent_failed": "wait"}
    assert document["parents"] == [
        {"id": first.id, "type": "job", "output": True, **plain},
        {"id": inner.id, "type": "batch", "output": False, **plain},
    ]
    listed = asyncjobs("list", "awaiting")
    assert re.search(rf"^{third.id} +cli_shop.add +default +2 of 2 +<output of ", listed.out, re.MULTILINE)
    assert re.search(r"^awaiting +2$", asyncjobs("stats").out, re.MULTILINE)
    asyncjobs("delete", second.id)
    assert f"job {second.id} (removed), once it has failed" in asyncjobs("show", alert.id).out
    until_state(asyncjobs, alert.id, "cancelled")
    assert asyncjobs("purge", "--state", "awaiting", "--yes").out == "1 job is deleted\n"


def test_what_awaits_for_ever_does_not_keep_a_worker_from_ending(
    asyncjobs: Asyncjobs, client: SyncClient
) -> None:
    parent = client.enqueue(cli_producer.add, 1, 2)
    child = client.continue_with(parent, cli_producer.add, parent.output, 4)
    failing = client.enqueue(cli_producer.fail, "it")
    stuck = client.continue_with(failing, cli_producer.add, 1, 2)
    asyncjobs("worker", APP, "--burst")
    assert asyncjobs("show", child.id, "--json").json["result"] == 7
    assert asyncjobs("show", stuck.id, "--json").json["state"] == "awaiting"
