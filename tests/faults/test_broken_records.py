"""What is wrong with a job's record is seen, in its history or in the log, and stops no other job."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import pytest

from asyncjobs import Client
from asyncjobs.errors import JobFailed
from asyncjobs.storage.redis.keys import FIELDS, Keys, hash_tag
from tests.faults.apps import counted, producer
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import states
from tests.servers import Server
from tests.waiting import eventually

KEYS = Keys(hash_tag("asyncjobs", 0, 1))
ERRORS = "asyncjobs.errors."
LONG = b"x" * 200
"""Arguments that are stored in several pieces."""


NUMBERS = (
    *("attempt", "failures", "recoveries", "deaths", "max_recoveries"),
    *("enqueued", "created", "started", "priority"),
)


class Hand:
    """Somebody who writes into Redis by hand."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.client = server.client()

    def set(self, job_id: str, field: str, value: str | bytes) -> None:
        self.client.hset(KEYS.key("job", job_id), FIELDS.get(field, field), value)

    def unset(self, job_id: str, field: str) -> None:
        assert self.server.command("HDEL", KEYS.key("job", job_id), FIELDS.get(field, field)) == 1

    def remove(self, job_id: str, kind: str = "job") -> None:
        assert self.server.command("DEL", KEYS.key(kind, job_id)) == 1

    def replace(self, job_id: str, kind: str = "job") -> None:
        self.server.command("SET", KEYS.key(kind, job_id), "something else")


@pytest.fixture
def hand(server: Server) -> Hand:
    return Hand(server)


async def test_what_cant_be_run_fails_with_its_reason(
    server: Server, hand: Hand, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(server.url) as client:
        broken = {
            "unknown name": await client.enqueue(producer.renamed, 1.0),
            "changed signature": await client.enqueue(producer.brief_as_it_was, 1.0, 2.0),
            "fewer parameters": await client.enqueue(producer.failing_as_it_was, "for fun"),
            "unknown type": await client.enqueue(producer.heavy_of_place, producer.Place("here")),
        }
        healthy = [await client.enqueue(counted.brief)]
        changes: dict[str, Callable[[str], None]] = {
            "no msgpack": lambda job_id: hand.set(job_id, "payload", b"\xc1\xc1"),
            "cut off": lambda job_id: hand.set(job_id, "payload", b"\x91"),
            "another shape": lambda job_id: hand.set(job_id, "payload", b"\x05"),
            "no arguments": lambda job_id: hand.unset(job_id, "payload"),
            "no name": lambda job_id: hand.unset(job_id, "name"),
            "a binary name": lambda job_id: hand.set(job_id, "name", b"\xff\xfe"),
            "its options": lambda job_id: hand.set(job_id, "options", b"\xc1"),
            "other options": lambda job_id: hand.set(job_id, "options", b"\x81\xa1?\x01"),
        }
        for what, change in changes.items():
            broken[what] = job = await client.enqueue(counted.heavy, b"")
            change(job.id)
            healthy.append(await client.enqueue(counted.brief))
        broken["a piece missing"] = job = await client.enqueue(counted.heavy, LONG)
        hand.unset(job.id, f"{FIELDS['payload']}1")
        healthy.append(await client.enqueue(counted.brief))

        start_worker(server.url)
        for job in healthy:
            await job.result(timeout=10)
        assert await states(client, [job.id for job in broken.values()]) == {"failed": len(broken)}
        seen: dict[str, str] = {}
        for what, job in broken.items():
            (entry,) = await job.history()
            assert entry.event == "failed"
            assert entry.error_message
            seen[what] = entry.error_type.removeprefix(ERRORS)
        assert seen == {
            "unknown name": "UnknownJob",
            "changed signature": "CallError",
            "fewer parameters": "CallError",
            "unknown type": "SerializationError",
            "no msgpack": "SerializationError",
            "cut off": "SerializationError",
            "another shape": "SerializationError",
            "no arguments": "CallError",
            "no name": "UnknownJob",
            "a binary name": "UnknownJob",
            "its options": "SerializationError",
            "other options": "SerializationError",
            "a piece missing": "SerializationError",
        }
        assert ledger.runs().keys() == {job.id for job in healthy}


async def test_what_isnt_known_here_waits_for_who_knows_it(server: Server, start_worker: WorkerFactory):
    """By default it is retried: a worker with newer code may be on its way."""
    async with Client(server.url) as client:
        start_worker(server.url, app="tests.faults.apps.producer")
        job = await client.enqueue(counted.brief)
        await eventually(lambda: waits(client))
        (entry,) = await job.history()
        assert (entry.event, entry.error_type) == ("retrying", f"{ERRORS}UnknownJob")
        assert "only declared here" in entry.error_message


async def waits(client: Client) -> bool:
    return await client.count("retrying") == 1


async def test_what_cant_be_granted_is_named_in_the_log(
    server: Server, hand: Hand, start_worker: WorkerFactory, ledger: Ledger
):
    changes: dict[str, Callable[[str], None]] = {
        "its hash is gone": hand.remove,
        "its key holds something else": hand.replace,
        "no state": lambda job_id: hand.unset(job_id, "state"),
        "a state that isn't one": lambda job_id: hand.set(job_id, "state", "?"),
        "no queue": lambda job_id: hand.unset(job_id, "queue"),
        "another queue": lambda job_id: hand.set(job_id, "queue", "elsewhere"),
    }
    async with Client(server.url) as client:
        ids: dict[str, str] = {}
        healthy = [await client.enqueue(counted.brief)]
        for priority in (0, 3):
            for what, change in changes.items():
                job = await client.enqueue(counted.brief.options(priority=priority))
                change(job.id)
                ids[f"{what}, of priority {priority}"] = job.id
                healthy.append(await client.enqueue(counted.brief))
        del changes["another queue"]
        for what, change in changes.items():
            job = await client.enqueue_in(0.01, counted.brief)
            change(job.id)
            ids[f"{what}, scheduled"] = job.id
        junk = ("nothing", "two words", "")
        server.command("RPUSH", KEYS.key("queue", "default"), *junk)
        server.client().rpush(KEYS.key("queue", "default"), b"\xff\xfe")
        healthy.append(await client.enqueue(counted.brief))

        worker = start_worker(server.url)
        for job in healthy:
            await job.result(timeout=10)
        late = await client.enqueue_in(0.1, counted.brief)
        await late.result(timeout=10)
        log = worker.log
        assert [what for what, job_id in ids.items() if job_id not in log] == []
        assert "nothing" in log
        assert ledger.runs().keys() == {job.id for job in [*healthy, late]}
        assert worker.stop() == 0


async def test_numbers_that_arent(server: Server, hand: Hand, start_worker: WorkerFactory):
    async with Client(server.url) as client:
        ids: list[str] = []
        failing: list[str] = []
        for field in NUMBERS:
            for definition, kind in ((counted.brief, ids), (counted.failing, failing)):
                job = await client.enqueue(definition)
                hand.set(job.id, field, "many")
                kind.append(job.id)
        healthy = await client.enqueue(counted.brief)
        start_worker(server.url)
        await healthy.result(timeout=10)
        assert await states(client, ids) == {"succeeded": len(ids)}
        assert await states(client, failing) == {"failed": len(failing)}


async def test_what_happens_to_a_dead_workers_jobs(
    server: Server, hand: Hand, start_worker: WorkerFactory, ledger: Ledger
):
    changes: dict[str, Callable[[str], None]] = {
        "its hash is gone": hand.remove,
        "its key holds something else": hand.replace,
        "no state": lambda job_id: hand.unset(job_id, "state"),
        "no queue": lambda job_id: hand.unset(job_id, "queue"),
        **{field: functools.partial(hand.set, field=field, value="many") for field in NUMBERS},
    }
    async with Client(server.url) as client:
        dead = start_worker(server.url, lease=3)
        broken = {what: await client.enqueue(counted.gated, "gate") for what in changes}
        fine = await client.enqueue_many(counted.gated.call("gate") for _ in range(30))
        await eventually(lambda: len(ledger.runs()) == len(broken) + len(fine))
        for what, change in changes.items():
            change(broken[what].id)
        dead.kill()
        ledger.open_gate("gate")
        worker = start_worker(server.url, lease=3)
        for job in fine:
            await job.result(timeout=20)
        for field in NUMBERS:
            await broken[field].result(timeout=10)
        with pytest.raises(JobFailed, match="names no queue"):
            await broken["no queue"].result(timeout=10)
        assert [entry.id for entry in await client.workers()] == [worker.id]


async def test_what_happens_to_running_jobs(
    server: Server, hand: Hand, start_worker: WorkerFactory, ledger: Ledger
):
    changes: dict[str, Callable[[str], None]] = {
        "its hash is gone": hand.remove,
        "its key holds something else": hand.replace,
        "no state": lambda job_id: hand.unset(job_id, "state"),
        "no worker": lambda job_id: hand.unset(job_id, "worker"),
        "another exchange": lambda job_id: hand.set(job_id, "exchange", "0"),
    }
    async with Client(server.url) as client:
        worker = start_worker(server.url, concurrency=20)
        jobs = {what: await client.enqueue(counted.gated, "gate") for what in changes}
        fine = [await client.enqueue(counted.gated, "gate") for _ in range(5)]
        await eventually(lambda: len(ledger.runs()) == len(jobs) + len(fine))
        for what, change in changes.items():
            change(jobs[what].id)
        ledger.open_gate("gate")
        for job in fine:
            await job.result(timeout=10)
        await eventually(lambda: none_runs(client), because="no lease is left")
        log = worker.log
        for what, job in jobs.items():
            assert re.search(rf"job {job.id}\b.*lease was lost", log), what
        assert await (await client.enqueue(counted.silent)).result(timeout=10) is None


async def none_runs(client: Client) -> bool:
    return [worker.running for worker in await client.workers()] == [0]


async def test_a_history_that_cant_be_added_to(
    server: Server, hand: Hand, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(server.url) as client:
        start_worker(server.url, concurrency=20)
        jobs = [await client.enqueue(counted.gated_failing, "gate") for _ in range(3)]
        fine = [await client.enqueue(counted.gated, "gate") for _ in range(3)]
        await eventually(lambda: len(ledger.runs()) == 6)
        hand.replace(jobs[1].id, "history")
        ledger.open_gate("gate")
        for job in fine:
            await job.result(timeout=10)
        assert await (await client.enqueue(counted.silent)).result(timeout=10) is None

        async def all_failed() -> bool:
            return await states(client, [job.id for job in jobs]) == {"failed": 3}

        await eventually(all_failed)
        assert [entry.event for job in (jobs[0], jobs[2]) for entry in await job.history()] == ["failed"] * 2


@pytest.mark.parametrize("kind", ["queue", "priority", "suspects"])
async def test_a_queue_whose_key_holds_something_else(
    server: Server, hand: Hand, start_worker: WorkerFactory, kind: str
):
    """The other queues go on, and it goes on when the key is gone."""
    async with Client(server.url) as client:
        worker = start_worker(server.url, queues=["broken", "default"])
        await client.enqueue(counted.silent.options(queue="known"))
        hand.replace("broken", kind)
        for _ in range(20):
            assert await (await client.enqueue(counted.silent)).result(timeout=10) is None
        await eventually(lambda: KEYS.key(kind, "broken") in worker.log)
        hand.remove("broken", kind)
        job = await client.enqueue(counted.silent.options(queue="broken"))
        assert await job.result(timeout=10) is None
        assert worker.stop() == 0
