"""How a job's function is run, and what becomes of what it returns or raises."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
import threading
import time
from datetime import timedelta

import pytest

from asyncjobs import Client, JobContext, Registry, Retry, State, Worker, current_context
from asyncjobs.errors import JobFailed, OptionError
from tests.reaching import reaches
from tests.worker.conftest import StartWorker

ONCE = Retry(max_retries=0)


async def test_a_coroutine_function_runs_on_the_workers_loop(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def where() -> list[object]:
        return [threading.get_ident(), id(asyncio.get_running_loop())]

    await start_worker()
    ran = await (await client.enqueue(where)).result(timeout=10)
    assert ran == [threading.get_ident(), id(asyncio.get_running_loop())]


async def test_a_plain_function_runs_in_a_thread_and_holds_up_nobody(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    released = threading.Event()

    @registry.job
    def block() -> bool:
        return released.wait(10)

    @registry.job
    async def release() -> None:
        released.set()

    await start_worker()
    blocked = await client.enqueue(block)
    await reaches(blocked, State.PROCESSING)
    await client.enqueue(release)
    assert await blocked.result(timeout=10)


async def test_as_many_jobs_run_at_once_as_its_concurrency_says(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    running, most = 0, 0
    full = asyncio.Event()

    @registry.job
    async def count() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 3:
            full.set()
        await asyncio.wait_for(full.wait(), 10)
        await asyncio.sleep(0)
        running -= 1

    worker = await start_worker(concurrency=3)
    jobs = await client.enqueue_many(count.call() for _ in range(30))
    for job in jobs:
        await job.result(timeout=10)
    assert most == 3
    assert worker.running == 0


async def test_threads_too_are_limited_by_the_concurrency_alone(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    meeting = threading.Barrier(60)

    @registry.job
    def meet() -> None:
        meeting.wait(timeout=10)

    await start_worker(concurrency=60)
    jobs = await client.enqueue_many(meet.call() for _ in range(60))
    for job in jobs:
        await job.result(timeout=10)


async def test_arguments_arrive_as_they_were_given(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def tell(first: int, /, *rest: int, flag: bool = False, **more: str) -> list[object]:
        return [first, list(rest), flag, more]

    await start_worker()
    job = await client.enqueue(tell, 1, 2, 3, flag=True, colour="red")
    assert await job.result(timeout=10) == [1, [2, 3], True, {"colour": "red"}]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration, asyncio.CancelledError]
)
@pytest.mark.parametrize("kind", ["coroutine", "thread"])
async def test_whatever_it_raises_is_its_own_failure_and_the_worker_stays_up(
    client: Client, registry: Registry, start_worker: StartWorker, error: type[BaseException], kind: str
) -> None:
    @registry.job(name="coroutine", retry=ONCE)
    async def coroutine() -> None:
        raise error("whoa")

    @registry.job(name="thread", retry=ONCE)
    def thread() -> None:
        raise error("whoa")

    @registry.job
    async def well() -> str:
        return "well"

    worker = await start_worker()
    job = await client.enqueue(coroutine if kind == "coroutine" else thread)
    with pytest.raises(JobFailed, match=r"whoa|raised StopIteration"):
        await job.result(timeout=10)
    assert await (await client.enqueue(well)).result(timeout=10) == "well"
    assert not worker.stopping.is_set()
    assert worker.running == 0


async def test_sys_exit_ends_the_job_and_not_the_worker(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(retry=ONCE)
    async def leave() -> None:
        sys.exit(3)

    await start_worker()
    job = await client.enqueue(leave)
    with pytest.raises(JobFailed) as caught:
        await job.result(timeout=10)
    assert caught.value.error_type == "SystemExit"


class TestTimeouts:
    async def test_a_coroutine_is_cancelled_and_the_attempt_has_failed(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        cleaned = asyncio.Event()

        @registry.job(timeout=0.1, retry=ONCE)
        async def slow() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                cleaned.set()

        await start_worker()
        job = await client.enqueue(slow)
        with pytest.raises(JobFailed, match=r"ran longer than its timeout of 0\.1 s") as caught:
            await job.result(timeout=10)
        assert caught.value.error_type == "asyncjobs.errors.JobTimeout"
        assert "asyncio.sleep(3600)" in caught.value.traceback
        assert cleaned.is_set()

    async def test_it_is_retried_like_any_failure(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(timeout=timedelta(milliseconds=100), retry=Retry(max_retries=1, delay=0), context=True)
        async def slow_at_first(context: JobContext) -> int:
            if context.attempt == 1:
                await asyncio.sleep(3600)
            return context.attempt

        await start_worker()
        assert await (await client.enqueue(slow_at_first)).result(timeout=10) == 2

    async def test_one_call_may_have_another(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(timeout=3600, retry=ONCE)
        async def slow() -> None:
            await asyncio.sleep(3600)

        await start_worker()
        job = await client.enqueue(slow.options(timeout=0.05))
        with pytest.raises(JobFailed, match=r"timeout of 0\.05 s"):
            await job.result(timeout=10)

    async def test_a_timeout_of_the_jobs_own_is_no_timeout_of_the_attempt(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(timeout=3600, retry=ONCE)
        async def impatient() -> None:
            await asyncio.wait_for(asyncio.sleep(3600), 0.01)

        await start_worker()
        job = await client.enqueue(impatient)
        with pytest.raises(JobFailed) as caught:
            await job.result(timeout=10)
        assert caught.value.error_type == "TimeoutError"

    async def test_a_thread_is_told_and_its_slot_is_free_when_it_returns(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        told, let_go = threading.Event(), threading.Event()

        @registry.job(timeout=0.5, retry=ONCE, context=True)
        def slow(context: JobContext) -> None:
            while not context.cancelled:
                time.sleep(0.001)
            told.set()
            let_go.wait(10)

        @registry.job
        async def well() -> str:
            return "well"

        worker = await start_worker(concurrency=1)
        job = await client.enqueue(slow)
        with pytest.raises(JobFailed, match="timeout") as caught:
            await job.result(timeout=10)
        assert "anyio" not in caught.value.traceback
        assert worker.running == 1
        after = await client.enqueue(well)
        assert (await after.refresh()).state is State.ENQUEUED
        let_go.set()
        assert await after.result(timeout=10) == "well"
        assert told.is_set()


class TestWhatCannotRun:
    async def test_an_unknown_name_is_seen_and_holds_up_nobody(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        elsewhere = Registry()

        @elsewhere.job(name="mail.send")
        async def send() -> None: ...

        @registry.job
        async def well() -> str:
            return "well"

        await start_worker(concurrency=1)
        unknown = await client.enqueue(send)
        assert await (await client.enqueue(well)).result(timeout=10) == "well"
        await reaches(unknown, State.RETRYING)
        (entry,) = await unknown.history()
        assert entry.error_type == "asyncjobs.errors.UnknownJob"
        assert "'mail.send'" in entry.error_message

    async def test_a_job_that_is_only_declared_here(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.external("mail.send", retry=ONCE)
        async def send(to: str) -> None: ...

        await start_worker()
        job = await client.enqueue(send, "ada")
        await reaches(job, State.RETRYING, State.FAILED)
        assert "only declared here" in (await job.history())[0].error_message

    async def test_arguments_that_no_longer_fit_the_signature(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        older = Registry()

        @older.job(name="mail.send")
        async def before(to: str, cc: str) -> None: ...

        @registry.job(name="mail.send", retry=ONCE)
        async def now(to: str) -> None: ...

        await start_worker()
        job = await client.enqueue(before, "ada", "bob")
        with pytest.raises(
            JobFailed, match=r"mail\.send\(to: 'str'\) .*can't be called so: too many"
        ) as caught:
            await job.result(timeout=10)
        assert caught.value.error_type == "asyncjobs.errors.CallError"

    async def test_a_job_queued_under_an_old_name_runs_by_its_alias(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        older = Registry()

        @older.job(name="send_mail")
        async def before(to: str) -> str:
            return to

        @registry.job(name="mail.send", aliases=["send_mail"])
        async def now(to: str) -> str:
            return f"to {to}"

        await start_worker()
        assert await (await client.enqueue(before, "ada")).result(timeout=10) == "to ada"

    async def test_a_job_of_another_program_runs_there_with_its_types(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        producer = Registry()

        @producer.external("mail.send", queue="mail")
        async def send(to: str) -> str:
            raise NotImplementedError

        @registry.job(name="mail.send", queue="mail")
        async def real(to: str) -> str:
            return f"sent to {to}"

        await start_worker()
        assert await (await client.enqueue(send, "ada")).result(timeout=10) == "sent to ada"


async def test_a_context_variable_set_by_a_job_is_not_seen_by_the_next(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")

    @registry.job
    async def leave_behind() -> str:
        before = variable.get()
        variable.set("set")
        return f"{before} {current_context().attempt}"

    await start_worker(concurrency=1)
    for _ in range(3):
        assert await (await client.enqueue(leave_behind)).result(timeout=10) == "unset 1"


async def test_code_that_swallows_its_cancellation_is_asked_again(
    client: Client, registry: Registry, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    @registry.job(timeout=0.05, retry=ONCE)
    async def stubborn() -> None:
        for _ in range(1):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue
        await asyncio.sleep(3600)

    await start_worker()
    with caplog.at_level(logging.WARNING, "asyncjobs.worker"):
        job = await client.enqueue(stubborn)
        with pytest.raises(JobFailed, match="timeout"):
            await job.result(timeout=15)
    assert "goes on though it ran longer than its timeout" in caplog.text


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"concurrency": 0}, "concurrency must be 1 or more"),
        ({"lease": 1}, "lease must be 3 s or more"),
        ({"grace": -1}, "negative"),
        ({"queues": "default"}, r"a list of names: \['default'\]"),
        ({"queues": ["two words"]}, "queue name"),
        ({"queues": []}, "queue"),
        ({"queues": {"default": 0}}, "weight"),
    ],
)
async def test_settings_that_cannot_be_are_refused(
    client: Client, registry: Registry, options: dict[str, object], match: str
) -> None:
    with pytest.raises(OptionError, match=match):
        Worker(registry, client, **options)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
