"""What becomes of a job whose attempt failed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncjobs import Client, Exponential, Job, JobContext, Registry, Retry, State
from asyncjobs.errors import JobCancelled, JobFailed, RetryLater
from tests.reaching import reaches
from tests.worker.conftest import StartWorker

NOW = Retry(max_retries=3, delay=0)


class Flaky(Exception):
    pass


class Fatal(Exception):
    pass


def delay_of(job: Job[Any]) -> timedelta:
    """How long after its last attempt began a retrying job is due; the attempts here take no time."""
    assert job.due_at is not None
    assert job.started_at is not None
    return job.due_at - job.started_at


class TestAttempts:
    async def test_it_is_tried_again_until_it_succeeds(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        seen: list[tuple[int, int]] = []

        @registry.job(retry=NOW, context=True)
        async def flaky(context: JobContext) -> str:
            seen.append((context.attempt, context.failures))
            if context.attempt < 3:
                raise Flaky(f"attempt {context.attempt}")
            return "done"

        await start_worker()
        job = await client.enqueue(flaky)
        assert await job.result(timeout=10) == "done"
        assert seen == [(1, 0), (2, 1), (3, 2)]
        assert (job.attempt, job.failures) == (3, 2)
        assert (await client.stats()).totals["retried"] == 2

    async def test_after_so_many_retries_it_has_failed(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(max_retries=2, delay=0))
        async def broken() -> None:
            raise Flaky("again")

        await start_worker()
        job = await client.enqueue(broken)
        with pytest.raises(JobFailed, match="Flaky: again"):
            await job.result(timeout=10)
        assert (job.state, job.attempt, job.failures) == (State.FAILED, 3, 3)
        assert await client.count("failed") == 1

    async def test_with_none_it_is_tried_once(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(max_retries=0))
        async def broken() -> None:
            raise Flaky("once")

        await start_worker()
        job = await client.enqueue(broken)
        with pytest.raises(JobFailed):
            await job.result(timeout=10)
        assert job.attempt == 1

    async def test_one_call_may_have_another_number(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(max_retries=5, delay=3600))
        async def broken() -> None:
            raise Flaky("no")

        await start_worker()
        job = await client.enqueue(broken.options(retry=Retry(max_retries=1, delay=0)))
        with pytest.raises(JobFailed):
            await job.result(timeout=10)
        assert job.attempt == 2

    async def test_every_failed_attempt_is_in_the_history(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(max_retries=1, delay=0), context=True)
        async def broken(context: JobContext) -> None:
            raise Flaky(f"attempt {context.attempt}")

        worker = await start_worker()
        job = await client.enqueue(broken)
        await reaches(job, State.FAILED)
        first, last = await job.history()
        assert (first.event, last.event) == ("retrying", "failed")
        for number, entry in enumerate((first, last), 1):
            assert entry.attempt == number
            assert entry.worker == worker.id
            assert entry.error_type == f"{__name__}.Flaky"
            assert entry.error_message == f"attempt {number}"
            assert 'raise Flaky(f"attempt {context.attempt}")' in entry.traceback
            assert "asyncjobs/worker" not in entry.traceback
            at = datetime.fromtimestamp(entry.at_ms / 1000, UTC)
            assert job.created_at is not None
            assert job.created_at <= at <= job.created_at + timedelta(seconds=20)
        assert first.at_ms <= last.at_ms

    async def test_the_causes_of_an_error_are_told_too(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(max_retries=0))
        def broken() -> None:
            try:
                raise OSError("disk full")
            except OSError as error:
                raise Fatal("can't go on") from error

        await start_worker()
        with pytest.raises(JobFailed, match="Fatal: can't go on") as caught:
            await (await client.enqueue(broken)).result(timeout=10)
        assert "OSError: disk full" in caught.value.traceback
        assert "direct cause" in caught.value.traceback

    async def test_what_was_logged_in_each_attempt_stays(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=NOW, context=True)
        async def flaky(context: JobContext) -> None:
            context.log("attempt", context.attempt)
            if context.attempt < 3:
                raise Flaky

        await start_worker()
        job = await client.enqueue(flaky)
        await job.result(timeout=10)
        assert [(line.attempt, line.text) for line in await job.logs()] == [
            (number, f"attempt {number}") for number in (1, 2, 3)
        ]


class TestDelays:
    async def retrying(
        self, client: Client, registry: Registry, start_worker: StartWorker, retry: Retry
    ) -> Job[None]:
        @registry.job(retry=retry)
        async def broken() -> None:
            raise Flaky("no")

        await start_worker()
        return await reaches(await client.enqueue(broken), State.RETRYING)

    async def retried(self, job: Job[None], attempt: int) -> Job[None]:
        await job.run_now()
        await reaches(job, State.RETRYING)
        assert job.attempt == attempt
        return job

    async def test_the_default_grows_as_hangfires(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        job = await self.retrying(client, registry, start_worker, Retry())
        assert timedelta(seconds=15) <= delay_of(job) <= timedelta(seconds=46)
        await self.retried(job, 2)
        assert timedelta(seconds=16) <= delay_of(job) <= timedelta(seconds=77)
        await self.retried(job, 3)
        assert timedelta(seconds=31) <= delay_of(job) <= timedelta(seconds=122)

    async def test_a_constant_one(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        job = await self.retrying(client, registry, start_worker, Retry(delay=timedelta(minutes=5)))
        for attempt in (2, 3):
            assert timedelta(minutes=5) <= delay_of(job) < timedelta(minutes=5, seconds=5)
            await self.retried(job, attempt)

    async def test_a_list_whose_last_one_repeats(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        job = await self.retrying(client, registry, start_worker, Retry(delay=[60, timedelta(hours=1)]))
        assert timedelta(seconds=60) <= delay_of(job) < timedelta(seconds=65)
        for attempt in (2, 3):
            await self.retried(job, attempt)
            assert timedelta(hours=1) <= delay_of(job) < timedelta(hours=1, seconds=5)

    async def test_an_exponential_one_up_to_its_cap(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        delay = Exponential(base=100, factor=10, cap=500, jitter="none")
        job = await self.retrying(client, registry, start_worker, Retry(delay=delay))
        assert timedelta(seconds=100) <= delay_of(job) < timedelta(seconds=105)
        for attempt in (2, 3):
            await self.retried(job, attempt)
            assert timedelta(seconds=500) <= delay_of(job) < timedelta(seconds=505)

    async def test_an_exponential_one_with_jitter(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        delay = Exponential(base=1000, jitter="equal")
        job = await self.retrying(client, registry, start_worker, Retry(delay=delay))
        assert timedelta(seconds=500) <= delay_of(job) < timedelta(seconds=1005)

    async def test_one_of_your_own(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        def own(number: int, error: BaseException) -> float:
            assert isinstance(error, Flaky)
            return number * 100

        job = await self.retrying(client, registry, start_worker, Retry(delay=own))
        assert timedelta(seconds=100) <= delay_of(job) < timedelta(seconds=105)
        await self.retried(job, 2)
        assert timedelta(seconds=200) <= delay_of(job) < timedelta(seconds=205)

    async def test_if_your_own_fails_the_default_is_taken(
        self, client: Client, registry: Registry, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
    ) -> None:
        def wrong(number: int, error: BaseException) -> float:
            raise LookupError("no delay today")

        job = await self.retrying(client, registry, start_worker, Retry(delay=wrong))
        assert timedelta(seconds=15) <= delay_of(job) <= timedelta(seconds=46)
        assert "no delay today" in caplog.text

    async def test_a_retry_is_not_early(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(max_retries=2, delay=0.2), context=True)
        async def flaky(context: JobContext) -> None:
            if context.attempt == 1:
                raise Flaky

        await start_worker()
        job = await client.enqueue(flaky)
        await job.result(timeout=10)
        (entry,) = await job.history()
        assert job.started_at is not None
        waited = job.started_at.timestamp() * 1000 - entry.at_ms
        assert 200 <= waited < 2000


class TestWhichErrors:
    async def fails_after(
        self,
        client: Client,
        registry: Registry,
        start_worker: StartWorker,
        retry: Retry,
        error: BaseException,
    ) -> int:
        @registry.job(retry=retry)
        async def broken() -> None:
            raise error

        await start_worker()
        job = await reaches(await client.enqueue(broken), State.FAILED)
        return job.attempt

    async def test_only_these(self, client: Client, registry: Registry, start_worker: StartWorker) -> None:
        only = Retry(max_retries=2, delay=0, only=(Flaky, OSError))
        assert await self.fails_after(client, registry, start_worker, only, ConnectionResetError("x")) == 3

    async def test_no_others(self, client: Client, registry: Registry, start_worker: StartWorker) -> None:
        only = Retry(max_retries=2, delay=0, only=(Flaky, OSError))
        assert await self.fails_after(client, registry, start_worker, only, Fatal("x")) == 1

    async def test_not_these(self, client: Client, registry: Registry, start_worker: StartWorker) -> None:
        but = Retry(max_retries=2, delay=0, except_=(Fatal,))
        assert await self.fails_after(client, registry, start_worker, but, Fatal("x")) == 1

    async def test_all_others(self, client: Client, registry: Registry, start_worker: StartWorker) -> None:
        but = Retry(max_retries=2, delay=0, except_=(Fatal,))
        assert await self.fails_after(client, registry, start_worker, but, Flaky("x")) == 3


class TestRetryLater:
    async def test_it_sets_the_time_of_the_next_attempt_and_uses_one(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(max_retries=1, delay=1, only=(OSError,)))
        async def polite() -> None:
            raise RetryLater(timedelta(minutes=10), "the other side is busy")

        await start_worker()
        job = await reaches(await client.enqueue(polite), State.RETRYING)
        assert timedelta(minutes=10) <= delay_of(job) < timedelta(minutes=10, seconds=5)
        (entry,) = await job.history()
        assert (entry.error_type, entry.error_message) == (
            "asyncjobs.errors.RetryLater",
            "the other side is busy",
        )
        await job.run_now()
        await reaches(job, State.FAILED)
        assert (job.attempt, job.failures) == (2, 2)

    async def test_from_a_thread(self, client: Client, registry: Registry, start_worker: StartWorker) -> None:
        @registry.job(context=True)
        def polite(context: JobContext) -> int:
            if context.attempt == 1:
                raise RetryLater(0)
            return context.attempt

        await start_worker()
        assert await (await client.enqueue(polite)).result(timeout=10) == 2


class TestSnooze:
    async def test_it_runs_later_and_no_attempt_is_used(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        runs = 0

        @registry.job(retry=Retry(max_retries=0), context=True)
        async def sleepy(context: JobContext) -> list[int]:
            nonlocal runs
            runs += 1
            if runs < 4:
                try:
                    context.snooze(0.01)
                except Exception:
                    pytest.fail("a job's own `except Exception` mustn't catch it")
            return [context.attempt, context.failures]

        await start_worker()
        job = await client.enqueue(sleepy)
        assert await job.result(timeout=10) == [1, 0]
        assert runs == 4
        assert [entry.event for entry in await job.history()] == ["snoozed"] * 3

    async def test_meanwhile_it_is_scheduled(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(context=True)
        def sleepy(context: JobContext) -> None:
            context.snooze(timedelta(hours=1))

        await start_worker()
        job = await reaches(await client.enqueue(sleepy), State.SCHEDULED)
        assert timedelta(hours=1) <= delay_of(job) < timedelta(hours=1, seconds=5)
        assert (job.attempt, job.failures) == (0, 0)

    async def test_a_delay_that_cannot_be_is_a_failure(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(context=True, retry=Retry(max_retries=0))
        async def sleepy(context: JobContext) -> None:
            context.snooze(-1)

        await start_worker()
        with pytest.raises(JobFailed, match="negative"):
            await (await client.enqueue(sleepy)).result(timeout=10)


class TestExhausted:
    async def test_it_can_end_as_cancelled(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(max_retries=1, delay=0, on_exhausted="cancel"))
        async def optional() -> None:
            raise Flaky("never mind")

        await start_worker()
        job = await client.enqueue(optional)
        with pytest.raises(JobCancelled, match="never mind"):
            await job.result(timeout=10)
        assert (job.state, job.attempt) == (State.CANCELLED, 2)
        assert (await job.history())[-1].error_type == f"{__name__}.Flaky"

    async def test_it_stays_until_somebody_requeues_it_with_all_its_retries(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        mended = False

        @registry.job(retry=Retry(max_retries=1, delay=0), context=True)
        async def broken(context: JobContext) -> list[int]:
            if not mended or context.failures == 0:
                raise Flaky
            return [context.attempt, context.failures]

        await start_worker()
        job = await reaches(await client.enqueue(broken), State.FAILED)
        assert (job.attempt, job.failures) == (2, 2)
        mended = True
        await job.requeue()
        assert await job.result(timeout=10) == [4, 1]
        events = [entry.event for entry in await job.history()]
        assert events == ["retrying", "failed", "requeued", "retrying"]

    async def test_a_job_that_waits_for_its_retry_can_be_cancelled_or_deleted(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(delay=3600))
        async def broken() -> None:
            raise Flaky

        await start_worker()
        cancelled = await reaches(await client.enqueue(broken), State.RETRYING)
        deleted = await reaches(await client.enqueue(broken), State.RETRYING)
        assert await cancelled.cancel()
        await deleted.delete()
        assert (await cancelled.refresh()).state is State.CANCELLED
        assert await client.get(deleted.id) is None
        assert await client.count("retrying") == 0
