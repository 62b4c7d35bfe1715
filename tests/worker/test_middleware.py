"""Middleware around runs: what it sees of an attempt, and what becomes of the attempt through it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from asyncjobs import CallNext, Client, JobContext, Registry, Retry, State, Worker, current_context
from asyncjobs.errors import JobCancelled, JobFailed, RetryLater
from asyncjobs.worker import executors
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker import crunching
from tests.worker.conftest import StartWorker

ONCE = Retry(max_retries=0)
KINDS = ["coroutine", "thread", "process"]


class Refused(Exception):
    """What a middleware of these tests raises."""


def double_of(registry: Registry, kind: str) -> Any:
    """A job that doubles numbers (in a process: makes a tuple of one), and runs somewhere."""
    if kind == "process":
        return registry.job(name="crunch.add", runs_in="process", retry=ONCE)(crunching.add.fn)

    async def coroutine(number: int) -> int:
        return number * 2

    def thread(number: int) -> int:
        return number * 2

    return registry.job(name="double", retry=ONCE)(coroutine if kind == "coroutine" else thread)


class TestAroundARun:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_it_sees_the_job_and_its_result_wherever_that_runs(
        self, client: Client, registry: Registry, start_worker: StartWorker, kind: str
    ) -> None:
        seen: list[object] = []

        @registry.middleware
        async def look(context: JobContext, call_next: CallNext) -> Any:
            assert current_context() is context
            seen.extend([context.id, context.queue, context.attempt, context.arguments, context.client])
            seen.append(threading.get_ident())
            result = await call_next()
            seen.append(result)
            return result

        job = await client.enqueue(double_of(registry, kind), 2)
        await start_worker()
        expected = (2,) if kind == "process" else 4
        assert await job.result(timeout=30) == expected
        here = threading.get_ident()
        assert seen == [job.id, "default", 1, ((2,), {}), client, here, expected]

    async def test_the_first_one_is_outermost(
        self, redis_url: str, client: Client, start_worker: StartWorker
    ) -> None:
        order: list[str] = []

        def named(name: str) -> Any:
            async def middleware(context: JobContext, call_next: CallNext) -> Any:
                order.append(f"{name} before")
                try:
                    return [name, await call_next()]
                finally:
                    order.append(f"{name} after")

            return middleware

        own = Registry(middleware=[named("first"), named("second")])
        own.middleware(named("third"))

        @own.job
        async def work() -> str:
            order.append("job")
            return "result"

        async with Worker(own, client):
            result = await (await client.enqueue(work)).result(timeout=10)
        assert result == ["first", ["second", ["third", "result"]]]
        before = [f"{name} before" for name in ("first", "second", "third")]
        assert order == [*before, "job", *(f"{name} after" for name in ("third", "second", "first"))]

    @pytest.mark.parametrize("kind", KINDS)
    async def test_what_it_returns_is_the_result(
        self, client: Client, registry: Registry, start_worker: StartWorker, kind: str
    ) -> None:
        @registry.middleware
        async def instead(context: JobContext, call_next: CallNext) -> dict[str, Any]:
            return {"instead of": await call_next()}

        await start_worker()
        job = await client.enqueue(double_of(registry, kind), 2)
        assert await job.result(timeout=30) == {"instead of": (2,) if kind == "process" else 4}

    @pytest.mark.parametrize("kind", KINDS)
    async def test_it_need_not_run_the_job(
        self, client: Client, registry: Registry, start_worker: StartWorker, kind: str
    ) -> None:
        @registry.middleware
        async def skip(context: JobContext, call_next: CallNext) -> str:
            return "skipped"

        worker = await start_worker()
        job = await client.enqueue(double_of(registry, kind), 2)
        assert await job.result(timeout=10) == "skipped"
        await eventually(lambda: worker.running == 0)

    async def test_every_attempt_passes_through_it(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        seen: list[tuple[int, str]] = []

        @registry.middleware
        async def look(context: JobContext, call_next: CallNext) -> Any:
            try:
                return await call_next()
            except BaseException as error:
                seen.append((context.attempt, f"{type(error).__name__}: {error}"))
                raise

        @registry.job(retry=Retry(max_retries=3, delay=0), context=True)
        async def fail_at_first(context: JobContext) -> int:
            if context.attempt == 1:
                raise ValueError("whoa")
            if context.attempt == 2:
                raise RetryLater(0, "not yet")
            return context.attempt

        await start_worker()
        assert await (await client.enqueue(fail_at_first)).result(timeout=10) == 3
        assert seen == [(1, "ValueError: whoa"), (2, "RetryLater: not yet")]

    async def test_a_snooze_passes_by_what_catches_errors(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        caught: list[Exception] = []
        snoozed = False

        @registry.middleware
        async def catch(context: JobContext, call_next: CallNext) -> Any:
            try:
                return await call_next()
            except Exception as error:
                caught.append(error)
                raise

        @registry.job(retry=ONCE, context=True)
        async def doze(context: JobContext) -> int:
            nonlocal snoozed
            if not snoozed:
                snoozed = True
                context.snooze(0)
            return context.failures

        await start_worker()
        assert await (await client.enqueue(doze)).result(timeout=10) == 0
        assert caught == []

    async def test_it_can_be_an_object_with_what_it_needs(
        self, client: Client, start_worker: StartWorker
    ) -> None:
        class Counter:
            def __init__(self) -> None:
                self.runs = 0

            async def __call__(self, context: JobContext, call_next: CallNext) -> Any:
                self.runs += 1
                return await call_next()

        counter = Counter()
        own = Registry(middleware=[counter])

        @own.job
        async def work() -> None: ...

        async with Worker(own, client):
            for _ in range(3):
                await (await client.enqueue(work)).result(timeout=10)
        assert counter.runs == 3

    @pytest.mark.parametrize("kind", ["coroutine", "thread"])
    async def test_context_variables_that_it_sets_are_seen_by_the_job_and_no_other(
        self, client: Client, registry: Registry, start_worker: StartWorker, kind: str
    ) -> None:
        tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")

        @registry.middleware
        async def set_tenant(context: JobContext, call_next: CallNext) -> Any:
            before = tenant.get()
            tenant.set(context.arguments[0][0])
            return f"{before} {await call_next()}"

        async def coroutine(name: str) -> str:
            return tenant.get()

        def thread(name: str) -> str:
            return tenant.get()

        job = registry.job(coroutine if kind == "coroutine" else thread)
        await start_worker(concurrency=1)
        for name in ("ada", "grace"):
            assert await (await client.enqueue(job, name)).result(timeout=10) == f"nobody {name}"


class TestArguments:
    async def test_they_are_copies(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.middleware
        async def meddle(context: JobContext, call_next: CallNext) -> Any:
            args, kwargs = context.arguments
            args[0].append(3)
            with pytest.raises(TypeError):
                kwargs["flag"] = False  # type: ignore[index]
            return await call_next()

        @registry.job
        async def total(numbers: list[int], *, flag: bool) -> list[object]:
            return [sum(numbers), flag]

        await start_worker()
        job = await client.enqueue(total, [1, 2], flag=True)
        assert await job.result(timeout=10) == [3, True]

    @pytest.mark.parametrize("kind", ["coroutine", "thread"])
    async def test_a_job_can_ask_for_them_with_results_of_its_parents_filled_in(
        self, client: Client, registry: Registry, start_worker: StartWorker, kind: str
    ) -> None:
        async def coroutine(number: int, *, more: int = 0) -> list[object]:
            args, kwargs = current_context().arguments
            return [*args, dict(kwargs)]

        def thread(number: int, *, more: int = 0) -> list[object]:
            args, kwargs = current_context().arguments
            return [*args, dict(kwargs)]

        @registry.job
        async def first() -> int:
            return 5

        ask = registry.job(name="ask")(coroutine if kind == "coroutine" else thread)
        await start_worker()
        parent = await client.enqueue(first)
        job = await client.continue_with(parent, ask, parent.output, more=1)
        assert await job.result(timeout=10) == [5, {"more": 1}]

    async def test_in_a_process_of_its_own(self, client: Client, start_worker: StartWorker) -> None:
        async with Worker(crunching.registry, client):
            job = await client.enqueue(crunching.ask_for_the_arguments, 1, more=(2,))
            assert await job.result(timeout=30) == ((1,), {"more": (2,)})


class TestFailures:
    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_what_it_raises_is_the_attempts_outcome(
        self, client: Client, registry: Registry, start_worker: StartWorker, when: str
    ) -> None:
        runs = 0

        @registry.middleware
        async def refuse(context: JobContext, call_next: CallNext) -> Any:
            if when == "after":
                await call_next()
            if context.attempt == 1:
                raise Refused("not so fast")
            return await call_next() if when == "before" else "well"

        @registry.job(retry=Retry(max_retries=1, delay=0))
        async def work() -> str:
            nonlocal runs
            runs += 1
            return "well"

        await start_worker()
        job = await client.enqueue(work)
        assert await job.result(timeout=10) == "well"
        (entry,) = await job.history()
        assert (entry.event, entry.error_message) == ("retrying", "not so fast")
        assert "raise Refused" in entry.traceback
        assert runs == (1 if when == "before" else 2)

    async def test_the_traceback_leads_through_it_to_the_jobs_code(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.middleware
        async def look(context: JobContext, call_next: CallNext) -> Any:
            return await call_next()

        @registry.job(retry=ONCE)
        async def fail() -> None:
            raise ValueError("whoa")

        await start_worker()
        with pytest.raises(JobFailed) as caught:
            await (await client.enqueue(fail)).result(timeout=10)
        first = caught.value.traceback.index("in look")
        assert first < caught.value.traceback.index("in fail")
        assert "runner.py" not in caught.value.traceback[:first]

    async def test_it_may_make_a_success_of_a_failure(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.middleware
        async def forgive(context: JobContext, call_next: CallNext) -> Any:
            try:
                return await call_next()
            except ValueError as error:
                return f"forgiven: {error}"

        @registry.job(retry=ONCE)
        def fail() -> str:
            raise ValueError("whoa")

        await start_worker()
        assert await (await client.enqueue(fail)).result(timeout=10) == "forgiven: whoa"

    async def test_call_next_works_once(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        runs = 0

        @registry.middleware
        async def stutter(context: JobContext, call_next: CallNext) -> Any:
            await call_next()
            return await call_next()

        @registry.job(retry=ONCE)
        async def work() -> None:
            nonlocal runs
            runs += 1

        await start_worker()
        with pytest.raises(JobFailed, match="stutter calls call_next a second time") as caught:
            await (await client.enqueue(work)).result(timeout=10)
        assert caught.value.error_type == "asyncjobs.errors.MiddlewareError"
        assert runs == 1

    async def test_arguments_that_do_not_fit_are_seen_as_what_the_job_raises(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        seen: list[str] = []

        @registry.middleware
        async def look(context: JobContext, call_next: CallNext) -> Any:
            try:
                return await call_next()
            except Exception as error:
                seen.append(type(error).__name__)
                raise

        older = Registry()

        @older.job(name="send")
        async def before(to: str, cc: str) -> None: ...

        @registry.job(name="send", retry=ONCE)
        async def now(to: str) -> None: ...

        await start_worker()
        with pytest.raises(JobFailed, match="can't be called so"):
            await (await client.enqueue(before, "ada", "bob")).result(timeout=10)
        assert seen == ["CallError"]


class TestItsEnd:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("when", ["before", "after"])
    async def test_a_timeout_covers_it(
        self, client: Client, registry: Registry, start_worker: StartWorker, kind: str, when: str
    ) -> None:
        @registry.middleware
        async def hang(context: JobContext, call_next: CallNext) -> Any:
            if when == "after":
                await call_next()
            await asyncio.sleep(3600)

        worker = await start_worker()
        job = await client.enqueue(double_of(registry, kind).options(timeout=0.3), 2)
        with pytest.raises(JobFailed, match=r"timeout of 0\.3 s") as caught:
            await job.result(timeout=30)
        assert "asyncio.sleep(3600)" in caught.value.traceback
        await eventually(lambda: worker.running == 0)

    async def test_a_timeout_covers_what_runs_in_a_process_inside_it(
        self, client: Client, registry: Registry, start_worker: StartWorker, tmp_path: Path
    ) -> None:
        ends: list[str] = []

        @registry.middleware
        async def look(context: JobContext, call_next: CallNext) -> Any:
            try:
                return await call_next()
            except BaseException as error:
                ends.append(type(error).__name__)
                raise

        endless = registry.job(name="crunch.endless", runs_in="process", timeout=0.5, retry=ONCE)(
            crunching.endless.fn
        )
        await start_worker()
        job = await client.enqueue(endless, str(tmp_path / "pid.txt"))
        with pytest.raises(JobFailed, match=r"timeout of 0\.5 s"):
            await job.result(timeout=30)
        assert ends == ["CancelledError"]
        pid = int((tmp_path / "pid.txt").read_text())
        await eventually(lambda: not psutil.pid_exists(pid))

    async def test_a_timeout_covers_it_after_it_has_given_up_waiting_for_a_process(
        self,
        client: Client,
        registry: Registry,
        start_worker: StartWorker,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> None:
        monkeypatch.setattr(executors.os, "cpu_count", lambda: 1)
        pid_file = tmp_path / "pid.txt"

        @registry.middleware
        async def impatient(context: JobContext, call_next: CallNext) -> Any:
            if context.name == "crunch.endless":
                return await call_next()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    return await call_next()
            return await asyncio.sleep(3600)

        endless = registry.job(name="crunch.endless", runs_in="process")(crunching.endless.fn)
        await start_worker()
        await client.enqueue(endless, str(pid_file))
        await eventually(pid_file.exists)
        job = await client.enqueue(double_of(registry, "process").options(timeout=0.3), 2)
        with pytest.raises(JobFailed, match=r"timeout of 0\.3 s"):
            await job.result(timeout=20)

    @pytest.mark.parametrize("where", ["middleware", "job"])
    async def test_a_cancellation_ends_it_too(
        self, client: Client, registry: Registry, start_worker: StartWorker, where: str
    ) -> None:
        cleaned, begun = asyncio.Event(), asyncio.Event()

        @registry.middleware
        async def hold(context: JobContext, call_next: CallNext) -> Any:
            try:
                if where == "middleware":
                    begun.set()
                    await asyncio.sleep(3600)
                return await call_next()
            finally:
                cleaned.set()

        @registry.job(retry=ONCE)
        async def long() -> None:
            begun.set()
            await asyncio.sleep(3600)

        await start_worker()
        job = await client.enqueue(long)
        await begun.wait()
        await job.cancel()
        with pytest.raises(JobCancelled):
            await job.result(timeout=10)
        assert cleaned.is_set()

    async def test_at_shutdown_the_job_goes_back_to_its_queue(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        cleaned, begun = asyncio.Event(), asyncio.Event()

        @registry.middleware
        async def hold(context: JobContext, call_next: CallNext) -> Any:
            try:
                return await call_next()
            except Exception:
                return "swallowed"
            finally:
                cleaned.set()

        @registry.job(retry=ONCE)
        async def long() -> None:
            begun.set()
            await asyncio.sleep(3600)

        async with Worker(registry, client, grace=0):
            job = await client.enqueue(long)
            await begun.wait()
        assert cleaned.is_set()
        assert (await job.refresh()).state is State.ENQUEUED

    async def test_a_thread_that_it_gives_up_keeps_its_slot(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        let_go = threading.Event()

        @registry.middleware
        async def hurry(context: JobContext, call_next: CallNext) -> Any:
            async with asyncio.timeout(0.05):
                return await call_next()

        @registry.job(retry=ONCE)
        def slow() -> None:
            let_go.wait(30)

        worker = await start_worker(concurrency=1)
        with pytest.raises(JobFailed) as caught:
            await (await client.enqueue(slow)).result(timeout=10)
        assert caught.value.error_type == "TimeoutError"
        assert worker.running == 1
        let_go.set()
        await eventually(lambda: worker.running == 0)


async def test_an_unknown_job_has_no_run_to_go_around(
    client: Client, registry: Registry, start_worker: StartWorker, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    @registry.middleware
    async def look(context: JobContext, call_next: CallNext) -> Any:
        seen.append(context.name)
        return await call_next()

    elsewhere = Registry()

    @elsewhere.job(name="mail.send", retry=ONCE)
    async def send() -> None: ...

    with caplog.at_level(logging.ERROR):
        await start_worker()
        await reaches(await client.enqueue(send), State.RETRYING, State.FAILED)
    assert seen == []
