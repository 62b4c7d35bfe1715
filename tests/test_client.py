"""The client's verbs: create jobs, look at them, control them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from asyncjobs import Call, Client, Job, Registry, Retry, State, Worker
from asyncjobs.client import CHUNK
from asyncjobs.errors import (
    CallError,
    JobNotFound,
    JobStateError,
    OptionError,
    PayloadTooLarge,
    SerializationError,
    StorageUnavailable,
    WrongDefinition,
)
from tests.reaching import reaches
from tests.waiting import eventually

registry = Registry()

MISSING = "0" * 20


@registry.job(name="client.send", queue="mail")
async def send(to: str, *, subject: str = "") -> str:
    return f"{to}: {subject}"


@registry.job(name="client.double")
async def double(number: int) -> int:
    return number * 2


@registry.job(name="client.renamed", aliases=["client.old_name"])
async def renamed(text: str) -> str:
    return text.upper()


@registry.job(name="client.fail", retry=Retry(max_retries=0))
async def fail() -> None:
    raise ValueError("no")


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry) as client:
        yield client


class TestEnqueue:
    async def test_a_job_is_stored_when_it_returns(self, client: Client) -> None:
        job = await client.enqueue(send, "ada@example.com", subject="Hi")
        assert (job.name, job.queue, job.state, job.attempt) == ("client.send", "mail", State.ENQUEUED, 0)
        found = await client.get(job.id, send)
        assert found is not None
        assert (found.state, found.queue, found.priority) == (State.ENQUEUED, "mail", 0)
        assert found.arguments() == (["ada@example.com"], {"subject": "Hi"})
        assert found.created_at is not None
        assert abs(datetime.now(UTC) - found.created_at) < timedelta(minutes=1)
        assert (found.started_at, found.finished_at, found.worker, found.progress) == (None, None, None, None)

    async def test_a_call_can_be_made_before(self, client: Client) -> None:
        call = send.call("ada@example.com")
        first, second = await client.enqueue(call), await client.enqueue(call)
        assert first.id != second.id
        assert second.arguments() == (["ada@example.com"], {})

    async def test_a_call_has_its_arguments_already(self, client: Client) -> None:
        enqueue: Any = client.enqueue
        with pytest.raises(OptionError, match="arguments already"):
            await enqueue(send.call("ada"), subject="Hi")

    async def test_options_of_one_call(self, client: Client) -> None:
        job = await client.enqueue(send.options(queue="bulk", priority=7), "ada")
        await job.refresh()
        assert (job.queue, job.priority) == ("bulk", 7)
        assert (await client.enqueue(send, "ada")).queue == "mail"

    async def test_a_function_that_is_no_job_is_refused(self, client: Client) -> None:
        enqueue: Any = client.enqueue
        with pytest.raises(OptionError, match=r"declare the function with @registry\.job"):
            await enqueue(str.upper, "ada")

    async def test_nothing_is_stored_if_the_arguments_are_wrong(self, client: Client) -> None:
        enqueue: Any = client.enqueue
        with pytest.raises(CallError, match="sujet"):
            await enqueue(send, "ada", sujet="Hi")
        with pytest.raises(SerializationError, match="argument 'to'"):
            await enqueue(send, object())
        with pytest.raises(PayloadTooLarge):
            await client.enqueue(send, "x" * 2_000_000)
        assert await client.count("enqueued") == 0

    async def test_many_at_once_travel_together_and_all_arrive(self, client: Client) -> None:
        jobs = await asyncio.gather(*(client.enqueue(double, n) for n in range(500)))
        assert len({job.id for job in jobs}) == 500
        assert await client.count("enqueued") == 500

    async def test_a_cancelled_enqueue_takes_no_other_with_it(self, client: Client) -> None:
        tasks = [asyncio.create_task(client.enqueue(double, n)) for n in range(50)]
        await asyncio.sleep(0)
        tasks[10].cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [n for n, job in enumerate(done) if not isinstance(job, Job)] == [10]
        for job in done:
            if isinstance(job, Job):
                assert await client.get(job.id) is not None

    async def test_without_a_server_it_says_so_in_time(self) -> None:
        client = Client("redis://127.0.0.1:1/0", patience=0.2)
        with pytest.raises(StorageUnavailable, match="can't be reached"):
            await client.open()

    async def test_without_an_address_the_environments_is_taken(
        self, client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ASYNCJOBS_REDIS", redis_url)
        job = await client.enqueue(double, 1)
        async with Client() as other:
            assert await other.get(job.id) is not None

    async def test_namespaces_know_nothing_of_each_other(self, client: Client, redis_url: str) -> None:
        job = await client.enqueue(double, 1)
        async with Client(redis_url, registry=registry, namespace="other") as other:
            assert await other.get(job.id) is None
            assert await other.count("enqueued") == 0


class TestLater:
    async def test_in_a_while(self, client: Client) -> None:
        job = await client.enqueue_in(timedelta(minutes=5), send, "ada", subject="Later")
        assert job.state is State.SCHEDULED
        await job.refresh()
        assert job.state is State.SCHEDULED
        assert job.due_at is not None
        assert job.created_at is not None
        assert job.due_at - job.created_at == timedelta(minutes=5)
        assert (await client.enqueue_in(2.5, send.call("ada"))).state is State.SCHEDULED

    async def test_at_a_time(self, client: Client) -> None:
        when = datetime(2100, 1, 1, 9, 30, tzinfo=UTC)
        job = await (await client.enqueue_at(when, send, "ada", subject="Then")).refresh()
        assert (job.state, job.due_at) == (State.SCHEDULED, when)
        assert job.arguments() == (["ada"], {"subject": "Then"})

    async def test_a_time_that_has_passed_means_now(self, client: Client) -> None:
        job = await client.enqueue_at(datetime(2020, 1, 1, tzinfo=UTC), send, "ada")
        assert (await job.refresh()).state is State.ENQUEUED
        assert (await (await client.enqueue_in(0, send, "ada")).refresh()).state is State.ENQUEUED

    async def test_a_naive_datetime_is_refused(self, client: Client) -> None:
        with pytest.raises(OptionError, match="no time zone"):
            await client.enqueue_at(datetime(2100, 1, 1), send, "ada")
        with pytest.raises(OptionError, match="negative"):
            await client.enqueue_in(-1, send, "ada")
        with pytest.raises(OptionError, match="negative"):
            await client.enqueue_in(timedelta(seconds=-1), send, "ada")
        assert await client.count("scheduled") == 0

    async def test_one_can_be_run_without_waiting(self, client: Client) -> None:
        job = await client.enqueue_in(3600, double, 4)
        await job.run_now()
        assert (await job.refresh()).state is State.ENQUEUED
        with pytest.raises(JobStateError, match="is enqueued"):
            await job.run_now()
        with pytest.raises(JobNotFound):
            await client.run_now(MISSING)


class TestEnqueueMany:
    async def test_from_an_iterable(self, client: Client) -> None:
        jobs = await client.enqueue_many(double.call(n) for n in range(3 * CHUNK + 7))
        assert [job.arguments() for job in jobs] == [([n], {}) for n in range(3 * CHUNK + 7)]
        assert await client.count("enqueued") == 3 * CHUNK + 7
        first = await client.jobs("enqueued", queue="default", limit=5)
        assert [job.id for job in first] == [job.id for job in jobs[:5]]

    async def test_from_an_async_iterable(self, client: Client) -> None:
        async def calls() -> AsyncIterator[Call[int]]:
            for n in range(CHUNK + 1):
                await asyncio.sleep(0)
                yield double.call(n)

        assert len(await client.enqueue_many(calls())) == CHUNK + 1
        assert await client.count("enqueued") == CHUNK + 1

    async def test_of_several_definitions_and_options(self, client: Client) -> None:
        calls: list[Call[object]] = [double.call(1), send.options(queue="bulk").call("ada")]
        jobs = await client.enqueue_many(calls)
        assert [(job.name, job.queue) for job in jobs] == [
            ("client.double", "default"),
            ("client.send", "bulk"),
        ]

    async def test_none_at_all(self, client: Client) -> None:
        assert await client.enqueue_many([]) == []

    async def test_it_starts_before_the_iterable_is_through(self, client: Client) -> None:
        async def calls() -> AsyncIterator[Call[int]]:
            for n in range(CHUNK):
                yield double.call(n)
            await eventually(lambda: client.count("enqueued"), because="the first chunk is stored")
            yield double.call(-1)

        assert len(await client.enqueue_many(calls())) == CHUNK + 1

    async def test_if_the_iterable_raises_the_chunks_before_are_there(self, client: Client) -> None:
        def calls() -> Iterator[Call[int]]:
            for n in range(2 * CHUNK + 10):
                yield double.call(n)
            raise LookupError("the source is broken")

        with pytest.raises(LookupError, match="the source is broken"):
            await client.enqueue_many(calls())
        assert await client.count("enqueued") == 2 * CHUNK

    async def test_if_an_async_iterable_raises_likewise(self, client: Client) -> None:
        async def calls() -> AsyncIterator[Call[int]]:
            for n in range(CHUNK):
                yield double.call(n)
            raise LookupError("the source is broken")

        with pytest.raises(LookupError):
            await client.enqueue_many(calls())
        assert await client.count("enqueued") == CHUNK

    async def test_what_is_no_call_is_refused(self, client: Client) -> None:
        calls: list[Any] = [double.call(1), double]
        with pytest.raises(OptionError, match=r"`\.call\(…\)`"):
            await client.enqueue_many(calls)
        assert await client.count("enqueued") == 0


class TestGet:
    async def test_a_definition_gives_the_result_a_type(self, client: Client) -> None:
        job = await client.enqueue(double, 21)
        found = await client.get(job.id, double)
        assert found is not None
        async with Worker(registry, client):
            assert await found.result(timeout=10) + 1 == 43

    async def test_there_is_none(self, client: Client) -> None:
        assert await client.get(MISSING) is None
        assert await client.get(MISSING, double) is None
        assert await client.get("no id at all") is None

    async def test_a_job_of_another_definition_is_an_error(self, client: Client) -> None:
        job = await client.enqueue(double, 21)
        with pytest.raises(WrongDefinition, match=r"client\.double, not a client\.send"):
            await client.get(job.id, send)

    async def test_a_job_under_an_old_name_is_the_definitions_own(self, client: Client) -> None:
        old = Registry()

        @old.job(name="client.old_name")
        async def before(text: str) -> str:
            return text

        job = await client.enqueue(before, "hi")
        found = await client.get(job.id, renamed)
        assert found is not None
        async with Worker(registry, client):
            assert await found.result(timeout=10) == "HI"

    async def test_a_client_without_a_registry_reads_what_it_can(
        self, client: Client, redis_url: str
    ) -> None:
        job = await client.enqueue(double, 21)
        async with Worker(registry, client):
            await job.result(timeout=10)
        async with Client(redis_url) as stranger:
            found = await stranger.get(job.id)
            assert found is not None
            assert found.arguments() == ([21], {})
            assert await found.result() == 42


class TestRequeue:
    async def test_from_every_final_state(self, client: Client) -> None:
        failing = await client.enqueue(fail)
        cancelled = await client.enqueue_in(3600, double, 1)
        succeeded = await client.enqueue(double, 1)
        await cancelled.cancel()
        async with Worker(registry, client):
            await reaches(failing, State.FAILED)
            await reaches(succeeded, State.SUCCEEDED)
        for job in (failing, cancelled, succeeded):
            await job.requeue()
            await job.refresh()
            assert (job.state, job.failures, job.finished_at) == (State.ENQUEUED, 0, None)
        assert [entry.event for entry in await cancelled.history()] == ["cancelled", "requeued"]

    async def test_one_that_has_not_ended_is_refused(self, client: Client) -> None:
        job = await client.enqueue(double, 1)
        with pytest.raises(JobStateError, match="is enqueued: it has not ended"):
            await job.requeue()
        later = await client.enqueue_in(60, double, 1)
        with pytest.raises(JobStateError, match="is scheduled"):
            await client.requeue(later.id)
        with pytest.raises(JobNotFound, match=MISSING):
            await client.requeue(MISSING)


class TestDelete:
    async def test_a_job_is_gone_with_all_that_belongs_to_it(self, client: Client) -> None:
        job = await client.enqueue(double, 1)
        await job.cancel()
        await job.delete()
        assert await client.get(job.id) is None
        assert await client.count("cancelled") == 0
        assert await job.history() == []
        with pytest.raises(JobNotFound):
            await job.refresh()
        with pytest.raises(JobNotFound):
            await job.delete()

    async def test_an_enqueued_one_never_runs(self, client: Client) -> None:
        gone, kept = await client.enqueue(double, 1), await client.enqueue(double, 2)
        await gone.delete()
        assert [queue.length for queue in await client.queues()] == [1]
        async with Worker(registry, client):
            assert await kept.result(timeout=10) == 4
        assert (await client.stats()).totals["succeeded"] == 1

    async def test_a_running_one_is_refused(self, client: Client) -> None:
        registry = Registry()
        release = asyncio.Event()

        @registry.job
        async def hold() -> None:
            await release.wait()

        job = await client.enqueue(hold)
        async with Worker(registry, client):
            await reaches(job, State.PROCESSING)
            with pytest.raises(JobStateError, match="running: cancel it first"):
                await job.delete()
            release.set()
            await job.result(timeout=10)
            await job.delete()


class TestCancel:
    async def test_jobs_that_wait_never_run(self, client: Client) -> None:
        enqueued, scheduled = await client.enqueue(double, 1), await client.enqueue_in(0.05, double, 2)
        assert await enqueued.cancel()
        assert await scheduled.cancel()
        async with Worker(registry, client):
            assert await (await client.enqueue(double, 3)).result(timeout=10) == 6
            assert await (await client.enqueue_in(0.1, double, 4)).result(timeout=10) == 8
        for job in (enqueued, scheduled):
            await job.refresh()
            assert (job.state, job.attempt) == (State.CANCELLED, 0)
        assert await client.count("cancelled") == 2

    async def test_one_that_has_ended_stays_as_it_is(self, client: Client) -> None:
        job = await client.enqueue(double, 1)
        async with Worker(registry, client):
            await job.result(timeout=10)
        assert not await job.cancel()
        assert (await job.refresh()).state is State.SUCCEEDED
        with pytest.raises(JobNotFound):
            await client.cancel(MISSING)


class TestLists:
    async def test_pages_of_a_state(self, client: Client) -> None:
        jobs = await client.enqueue_many(double.call(n) for n in range(25))
        page = await client.jobs("enqueued", offset=10, limit=5)
        assert [job.id for job in page] == [job.id for job in jobs[10:15]]
        newest = await client.jobs(State.ENQUEUED, limit=3, newest_first=True)
        assert [job.id for job in newest] == [job.id for job in reversed(jobs[-3:])]
        assert await client.jobs("failed") == []
        assert await client.jobs("enqueued", queue="mail") == []

    async def test_scheduled_ones_come_by_their_time(self, client: Client) -> None:
        for delay in (300, 100, 200):
            await client.enqueue_in(delay, double, delay)
        assert [job.arguments()[0] for job in await client.jobs("scheduled")] == [[100], [200], [300]]

    async def test_an_unknown_state_is_refused(self, client: Client) -> None:
        with pytest.raises(ValueError, match="finished"):
            await client.jobs("finished")

    async def test_counts_totals_and_queues(self, client: Client) -> None:
        await client.enqueue(double, 1)
        await client.enqueue(send.options(priority=5), "ada")
        await client.enqueue_in(60, double, 1)
        await (await client.enqueue(double, 1)).cancel()
        stats = await client.stats()
        assert stats.counts[State.ENQUEUED] == 2
        assert stats.counts[State.SCHEDULED] == 1
        assert stats.counts[State.CANCELLED] == 1
        assert stats.totals["cancelled"] == 1
        assert [(queue.name, queue.length, queue.paused) for queue in stats.queues] == [
            ("default", 1, False),
            ("mail", 1, False),
        ]
        assert all(queue.latency is not None and queue.latency >= timedelta(0) for queue in stats.queues)

    async def test_a_queue_is_purged_and_others_are_not(self, client: Client) -> None:
        await client.enqueue_many(double.call(n) for n in range(700))
        kept = await client.enqueue(send, "ada")
        assert await client.purge("default") == 700
        assert await client.count("enqueued") == 1
        assert await client.get(kept.id) is not None
        assert await client.purge("default") == 0

    async def test_a_state_is_cleared(self, client: Client) -> None:
        for n in range(3):
            await (await client.enqueue(double, n)).cancel()
        await client.enqueue_in(60, double, 1)
        assert await client.clear("cancelled") == 3
        assert await client.count("cancelled") == 0
        assert await client.count("scheduled") == 1


class TestSerializer:
    async def test_one_of_your_own_packs_arguments_and_results(self, redis_url: str) -> None:
        class Json:
            def pack(self, value: Any, /) -> bytes:
                return json.dumps(value).encode()

            def unpack(self, data: bytes, /) -> Any:
                return json.loads(data)

        registry = Registry(serializer=Json())

        @registry.job(name="client.join")
        async def join(words: list[str], by: str = " ") -> dict[str, str]:
            return {"joined": by.join(words)}

        async with Client(redis_url, registry=registry) as client:
            job = await client.enqueue(join, ["a", "b"], by="-")
            record = await client.read(job.id)
            assert json.loads(record.payload) == [[["a", "b"]], {"by": "-"}]
            with pytest.raises(SerializationError, match="argument 'words'"):
                await client.enqueue(join, cast(Any, {1, 2}))
            async with Worker(registry, client):
                assert await job.result(timeout=10) == {"joined": "a-b"}
