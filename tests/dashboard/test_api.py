"""The API for programs: it gives and does what the pages do, and says clearly what is wrong."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from asyncjobs import Client, Limit, Registry, Retry, State, Worker
from asyncjobs_dashboard.api import queues as api_queues
from asyncjobs_dashboard.navigation import STATES
from tests.dashboard.conftest import Serve
from tests.dashboard.programs import HEADER, Program
from tests.dashboard.scene import set_up
from tests.waiting import eventually

ODD = "täglich/{tenant}?#%2F&=\"'<b>"
"""An id that a recurring job may have."""


@pytest.fixture
def work(registry: Registry) -> Any:
    @registry.job(name="work", queue="mail")
    async def work(number: int = 0) -> None: ...

    return work


@pytest.fixture
async def program(client: Client, serve: Serve) -> Program:
    return Program(await serve(client))


async def test_everything_of_a_busy_namespace(client: Client, registry: Registry, program: Program) -> None:
    @registry.process
    async def tidy() -> None:
        await asyncio.Event().wait()

    async with (
        Worker(registry, client, queues=["evil", "default"], grace=0.1),
        client.lock("ledger") as lock,
    ):
        scene = await set_up(client, registry)
        assert set(scene.ids) == set(STATES)
        for state, job_id in scene.ids.items():
            listed = await program.get("api_jobs", state=state.value)
            assert job_id in [job["id"] for job in listed["jobs"]]
            job = await program.get("api_job", id=job_id)
            assert (job["id"], job["state"]) == (job_id, state.value)
        assert (await program.get("api_job", id=scene.ids[State.FAILED]))["history"][0]["error_type"]
        overview = await program.get("api_overview")
        assert overview["counts"]["failed"] == 1
        assert {queue["name"] for queue in (await program.get("api_queues"))["queues"]} >= {
            "evil",
            "unserved",
        }

        (worker,) = (await program.get("api_workers"))["workers"]
        whole = await program.get("api_worker", id=worker["id"])
        assert [job["id"] for job in whole["jobs"]] == [scene.ids[State.PROCESSING]]
        told = (await eventually(lambda: processes(program), because="the worker tells its processes"))[0]
        assert (told["worker"], told["name"].rsplit(".", 1)[-1]) == (worker["id"], "tidy")

        assert [batch["id"] for batch in (await program.get("api_batches"))["batches"]] == [scene.batch]
        limits = await program.get("api_limits")
        assert [limit["name"] for limit in limits["limits"]] == ["one"]
        assert [(key["running"], key["throttled"]) for key in limits["keys"]] == [(1, 1)]
        (held,) = (await program.get("api_locks"))["locks"]
        assert (held["name"], held["token"]) == ("ledger", lock.token)

        found = await program.get("api_search", query={"q": f" {scene.ids[State.FAILED]} "})
        assert found["job"]["id"] == scene.ids[State.FAILED]
        assert (await program.get("api_search", query={"q": scene.batch}))["batch"]["id"] == scene.batch
        assert len((await program.get("api_search", query={"q": worker["host"]}))["workers"]) == 1
        assert [each["name"] for each in found["queues"]] == []
        found = await program.get("api_search", query={"q": "UNSERV"})
        assert [each["name"] for each in found["queues"]] == ["unserved"]
        await program.get("api_search", 400, {"q": " "})

        assert (await program.post("api_worker_act", status=202, id=worker["id"], action="quiet"))[
            "told"
        ] == "quiet"
        await eventually(lambda: is_quiet(program, worker["id"]), because="the worker has heard of it")


async def processes(program: Program) -> Any:
    return (await program.get("api_processes"))["processes"]


async def is_quiet(program: Program, worker_id: str) -> Any:
    return (await program.get("api_worker", id=worker_id))["quiet"]


async def test_queues(client: Client, work: Any, program: Program) -> None:
    await client.enqueue_many(work.call(number) for number in range(3))
    told = await program.post("api_queue_act", queue="mail", action="pause")
    assert (told["queue"]["paused"], told["queue"]["length"], told["bulk"]) == (True, 3, None)
    told = await program.post("api_queue_act", queue="mail", action="resume")
    assert told["queue"]["paused"] is False
    told = await program.post("api_queue_act", queue="mail", action="purge")
    assert (told["queue"]["length"], told["bulk"]["done"], told["bulk"]["stage"]) == (0, 3, "done")
    told = await program.post("api_queue_act", queue="not:one", action="pause", status=400)
    assert "queue name 'not:one' can't be used" in told["reason"]


async def test_a_purge_that_takes_too_long_goes_on(
    client: Client, work: Any, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.enqueue_many(work.call(number) for number in range(3))
    monkeypatch.setattr(api_queues, "PATIENCE", 0.01)
    may_go_on = asyncio.Event()
    purge = client.storage.purge

    async def held_up(*given: Any) -> Any:
        await may_go_on.wait()
        return await purge(*given)

    monkeypatch.setattr(client.storage, "purge", held_up)
    told = await program.post("api_queue_act", queue="mail", action="purge")
    assert (told["queue"]["length"], told["bulk"]["stage"]) == (3, "working")
    may_go_on.set()
    assert (await ended(program, told["bulk"]))["done"] == 3


async def test_a_batch_and_its_members_page_by_page(client: Client, work: Any, program: Program) -> None:
    async with client.batch("import") as batch:
        jobs = [batch.enqueue(work, number) for number in range(3)]
        with batch.batch("inner") as inner:
            inner.enqueue(work, 3)
    told = await program.get("api_batch", id=batch.id)
    assert (told["name"], told["total"], told["nested"], told["progress"]) == ("import", 3, 1, 0)
    seen: dict[str, list[str]] = {"jobs": [], "batches": []}
    begin: int | None = 0
    while begin is not None:
        page = await program.get("api_batch_jobs", id=batch.id, query={"from": begin, "size": 2})
        assert page["total"] == 4
        for kind, found in seen.items():
            found += [each["id"] for each in page[kind]]
        begin = page["next"]
    assert sorted(seen["jobs"]) == sorted(job.id for job in jobs)
    assert seen["batches"] == [inner.id]
    assert (await program.get("api_batch", id=inner.id))["parent"] == batch.id

    page = await program.get("api_batches", query={"size": 1})
    rest = await program.get("api_batches", query={"from": page["next"]})
    assert {each["id"] for each in page["batches"] + rest["batches"]} == {batch.id, inner.id}
    assert rest["next"] is None

    only = await program.get("api_batch_jobs", id=batch.id, query={"show": "batches"})
    assert ([each["id"] for each in only["batches"]], only["jobs"]) == ([inner.id], [])
    only = await program.get("api_batch_jobs", id=batch.id, query={"show": "failed"})
    assert (only["batches"], only["jobs"]) == ([], [])
    only = await program.get("api_batch_jobs", id=batch.id, query={"show": "enqueued"})
    assert (only["batches"], len(only["jobs"]), only["looked_at"]) == ([], 3, 4)

    await program.post("api_batch_cancel", status=202, id=batch.id)
    assert (await program.get("api_batch", id=inner.id))["state"] == "cancelled"
    assert (await program.get("api_batch", id=batch.id))["state"] == "cancelled"


async def test_what_failed_in_a_batch_again(client: Client, registry: Registry, program: Program) -> None:
    @registry.job(name="fails", retry=Retry(max_retries=0))
    async def fail() -> None:
        raise ValueError

    async with client.batch() as batch:
        job = batch.enqueue(fail)
    async with Worker(registry, client):
        await client.batch_of(batch.id).wait(timeout=10)
    told = await program.post("api_batch_requeue", status=202, id=batch.id)
    assert told["batch"] == batch.id
    assert (await ended(program, told))["done"] == 1
    assert (await client.read(job.id)).state is State.ENQUEUED


async def test_recurring_jobs_whatever_their_ids(client: Client, work: Any, program: Program) -> None:
    for name in ("nightly", ODD):
        await client.recurring.put(name, "0 3 * * *", work.call(1), timezone="Europe/Berlin")
    page = await program.get("api_recurring_jobs", query={"size": 1})
    assert (page["total"], page["next"], len(page["recurring"])) == (2, 1, 1)
    told = await program.get("api_recurring", id=ODD)
    assert (told["id"], told["name"], told["schedule"]) == (ODD, "work", "0 3 * * * (Europe/Berlin)")
    assert datetime.fromisoformat(told["next_at"]).utcoffset() is not None

    told = await program.post("api_recurring_act", id=ODD, action="trigger")
    assert (await client.read(told["job"])).state is State.ENQUEUED
    assert told["recurring"]["last_job"] == told["job"]
    assert (await program.get("api_search", query={"q": ODD}))["recurring"]["id"] == ODD
    told = await program.post("api_recurring_act", id=ODD, action="pause")
    assert (told["recurring"]["paused"], told["recurring"]["next_at"], told["job"]) == (True, None, None)
    assert not (await program.post("api_recurring_act", id=ODD, action="resume"))["recurring"]["paused"]
    times = await program.get("api_recurring_preview", id=ODD, query={"schedule": "90m", "count": 3})
    assert len(times["times"]) == 3
    assert len((await program.get("api_recurring_preview", id=ODD))["times"]) == 5
    told = await program.post(
        "api_recurring_reschedule", {"schedule": "30 4 * * *", "timezone": "Asia/Tokyo"}, id=ODD
    )
    assert (told["schedule"], told["rescheduled"]) == ("30 4 * * * (Asia/Tokyo)", False)
    await program.post("api_recurring_reschedule", {"schedule": "often"}, id=ODD, status=400)
    assert (await program.post("api_recurring_act", id=ODD, action="reset"))["recurring"] == told
    assert (await program.post("api_recurring_act", id=ODD, action="remove"))["recurring"] is None
    for action in ("trigger", "pause", "resume", "remove"):
        await program.post("api_recurring_act", id=ODD, action=action, status=404)


async def test_limits(client: Client, registry: Registry, program: Program) -> None:
    @registry.job(limits=[Limit("smtp", rate=100, per=60)])
    async def send() -> None: ...

    await client.enqueue(send)
    told = await program.post("api_limit_set", {"name": "smtp", "rate": 5, "per": 2.5})
    assert told == {"name": "smtp", "concurrency": None, "rate": 5, "per": 2.5, "by_hand": True}
    assert (await client.limits.numbers())[0].per == timedelta(seconds=2.5)
    told = await program.post("api_limit_reset", {"name": "smtp"})
    assert (told["rate"], told["per"], told["by_hand"]) == (100, 60, False)
    for body, words in (
        ({"name": "smtp", "concurrency": 5}, "limit 'smtp' is a rate"),
        ({"name": "smtp", "concurrency": 5, "per": 1}, "per goes with rate"),
        ({"name": "smtp"}, "needs either concurrency=, or rate="),
        ({"name": "smpt", "rate": 5}, "did you mean smtp?"),
    ):
        assert words in (await program.post("api_limit_set", body, status=400))["reason"]


async def test_a_limit_that_only_the_code_knows(client: Client, registry: Registry, program: Program) -> None:
    @registry.job(limits=[Limit("unused", concurrency=3)])
    async def send() -> None: ...

    told = await program.post("api_limit_reset", {"name": "unused"})
    assert (told["concurrency"], told["by_hand"]) == (3, False)
    told = await program.post("api_limit_set", {"name": "unused", "concurrency": 7})
    assert (told["concurrency"], told["by_hand"]) == (7, True)


async def test_locks(client: Client, program: Program) -> None:
    lock = client.lock("ledger/2026", ttl=60)
    assert await lock.acquire()
    (held,) = (await program.get("api_locks"))["locks"]
    other = {"name": held["name"], "holder": "another"}
    assert not (await program.post("api_lock_release", other))["released"]
    mine = {"name": held["name"], "holder": held["holder"]}
    assert (await program.post("api_lock_release", mine))["released"]
    assert (await program.get("api_locks"))["locks"] == []
    assert not (await program.post("api_lock_release", mine))["released"]
    await lock.release()


async def test_many_jobs_at_once(client: Client, work: Any, program: Program) -> None:
    jobs = [await client.enqueue_in(3600, work, number) for number in range(12)]
    chosen = {"action": "run", "ids": [jobs[0].id, jobs[1].id, "gone"]}
    told = await ended(program, await program.post("api_bulk_start", chosen, status=202, state="scheduled"))
    assert (told["stage"], told["chosen"], told["done"], told["refused"]) == ("done", 3, 2, 1)
    assert [refusal["id"] for refusal in told["refusals"]] == ["gone"]

    matching = {"action": "move", "queue": "slow", "filter": {"text": "1"}}
    told = await ended(program, await program.post("api_bulk_start", matching, status=202, state="scheduled"))
    assert (told["stage"], told["done"], told["filter"], told["queue"]) == ("done", 2, {"text": "1"}, "slow")
    moved = [job for job in jobs if (await job.refresh()).queue == "slow"]
    assert moved == jobs[10:]

    everything = {"action": "cancel", "filter": {}}
    told = await ended(
        program, await program.post("api_bulk_start", everything, status=202, state="scheduled")
    )
    assert told["done"] == 10
    assert [bulk["action"] for bulk in (await program.get("api_bulk_jobs"))["bulk"]] == [
        "cancel",
        "move",
        "run",
    ]
    assert (await program.post("api_bulk_stop", id=told["id"]))["stage"] == "done"
    await program.post("api_bulk_stop", id="gone", status=404)


async def ended(program: Program, told: dict[str, Any]) -> dict[str, Any]:
    async def over() -> dict[str, Any] | None:
        now: dict[str, Any] = await program.get("api_bulk_job", id=told["id"])
        return now if now["ended_at"] else None

    found = await eventually(over)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"action": "run"}, "give either ids or a filter"),
        ({"action": "run", "ids": ["x"], "filter": {}}, "give either ids or a filter"),
        ({"action": "run", "ids": []}, "the number of ids is 0: give one from 1 to 5,000"),
        ({"action": "run", "ids": "x"}, "ids is 'x': give a list"),
        ({"action": "run", "ids": [7]}, "one of ids is 7: give a string"),
        (
            {"action": "run", "filter": {"nmae": "x"}},
            "no field of filter 'nmae': there are queue, name",
        ),
        ({"action": "run", "filter": {"since": "yesterday"}}, "give one such as 2026-01-31T12:00"),
        ({"action": "run", "filter": {"since": "2026-02-30"}}, "give a time such as"),
        ({"action": "run", "filter": {"text": "\ud800"}}, "is no text"),
        ({"action": "run", "queue": "x", "filter": {}}, "a queue is for move, not for run"),
        ({"action": "move", "filter": {}}, "say to which queue"),
        ({"action": "requeue", "filter": {}}, "requeue isn't for jobs that are scheduled"),
        ({"action": "explode", "filter": {}}, "there are requeue, run, move, cancel, delete"),
        ({"filter": {}}, "the field action is missing"),
        ([], "isn't an object"),
    ],
    ids=str,
)
async def test_a_bulk_job_that_cannot_be_meant(memory: Client, serve: Serve, body: Any, words: str) -> None:
    program = Program(await serve(memory))
    told = await program.post("api_bulk_start", body, status=400, state="scheduled")
    assert words in told["reason"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"size": "0"}, "size is 0: give one from 1 to 200"),
        ({"size": "201"}, "size is 201: give one from 1 to 200"),
        ({"size": "ten"}, "size is 'ten': give a whole number from 1 to 200"),
        ({"size": "1" * 5000}, "size is '1111"),
        ({"size": "１０"}, "give a whole number"),
        ({"from": "-1"}, "from is -1: give one from 0 to 1,000,000,000"),
        ({"sizee": "1"}, "there is no parameter 'sizee': there are from, size, order, queue"),
        ({"order": "best"}, "order is 'best': there are oldest, newest"),
        ({"name": "x" * 201}, "the length of name is 201"),
        ([("size", "1"), ("size", "2")], "'size' is given more than once"),
        ({"until": "2026-01-31T12:00\n"}, "give one such as"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_query_that_cannot_be_meant(memory: Client, serve: Serve, query: Any, words: str) -> None:
    told = await Program(await serve(memory)).get("api_jobs", 400, query, state="failed")
    assert words in told["reason"]
    assert len(told["reason"]) < 300


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("api_jobs", {"state": "staging"}),
        ("api_job", {"id": "gone"}),
        ("api_job", {"id": "a/b"}),
        ("api_worker", {"id": "gone"}),
        ("api_batch", {"id": "gone"}),
        ("api_batch_jobs", {"id": "gone"}),
        ("api_recurring", {"id": "gone"}),
        ("api_bulk_job", {"id": "gone"}),
    ],
    ids=str,
)
async def test_what_is_not_there(memory: Client, serve: Serve, name: str, parts: dict[str, str]) -> None:
    await Program(await serve(memory)).get(name, 404, **parts)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("api_job_act", {"id": "gone", "action": "cancel"}),
        ("api_job_act", {"id": "gone", "action": "explode"}),
        ("api_worker_act", {"id": "gone", "action": "stop"}),
        ("api_batch_cancel", {"id": "gone"}),
        ("api_queue_act", {"queue": "mail", "action": "explode"}),
    ],
    ids=str,
)
async def test_what_is_not_there_can_not_be_changed(
    memory: Client, serve: Serve, name: str, parts: dict[str, str]
) -> None:
    told = await Program(await serve(memory)).post(name, status=404, **parts)
    assert parts.get("action") != "explode" or "there is no action 'explode': there are" in told["reason"]


@pytest.mark.parametrize("mounted", ["", "/admin/jobs/"])
async def test_a_path_or_method_that_is_not_there_is_told_in_json(
    memory: Client, serve: Serve, mounted: str
) -> None:
    browser = await serve(memory, prefix=mounted)
    for method, path, status in (
        ("GET", "/api/nowhere", 404),
        ("POST", "/api/nowhere", 404),
        ("DELETE", "/api/job/x", 405),
        ("POST", "/api/queues", 405),
        ("GET", "/api/locks/release", 405),
    ):
        async with browser.request(method, mounted.rstrip("/") + path) as response:
            assert (response.status, (await response.json())["kind"]) == (status, "http")
            assert status != 405 or response.headers["Allow"]


BODY = {"name": "ledger"}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (json.dumps(BODY), "application/json", 200),
        (json.dumps(BODY), "application/json; charset=utf-8", 200),
        (json.dumps(BODY), "text/plain", 415),
        ("name=ledger", "application/x-www-form-urlencoded", 415),
        ("{", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ('{"name": NaN}', "application/json", 400),
        ('{"name": "\xff"}'.encode("latin-1"), "application/json", 400),
        ('{"name": "' + "x" * 300_000 + '"}', "application/json", 413),
        ('{"name": "ledger", "force": true}', "application/json", 400),
        ('{"name": 7}', "application/json", 400),
        ("{}", "application/json", 400),
        ("", "application/json", 400),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_bodies(memory: Client, serve: Serve, body: Any, kind: str, status: int) -> None:
    browser = await serve(memory)
    headers = HEADER | {"Content-Type": kind}
    async with browser.post("/api/locks/release", data=body, headers=headers) as response:
        assert response.status == status, await response.text()
        assert status == 200 or (await response.json())["reason"]


async def test_what_takes_no_body_refuses_one(client: Client, work: Any, program: Program) -> None:
    job = await client.enqueue(work)
    told = await program.post("api_queue_act", {"most": 1}, status=400, queue="mail", action="purge")
    assert "there is no field 'most': there are none here" in told["reason"]
    await program.post("api_job_act", {"queue": "slow"}, status=400, id=job.id, action="move")
    assert (await program.post("api_job_act", {}, id=job.id, action="cancel"))["state"] == "cancelled"
    assert (await program.post("api_job_act", id=job.id, action="run", status=409))["kind"] == "state"
    told = await program.post("api_job_act", id=job.id, action="move", query={"queue": "slow"})
    assert (await job.refresh()).queue == "slow"
