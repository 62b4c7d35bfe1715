"""What a worker opens before its first job and closes after its last: `registry.lifespan`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from asyncjobs import Client, JobContext, ProcessContext, Registry, Retry, State, Worker, current_context
from asyncjobs.errors import DefinitionError, JobFailed, LifespanError
from asyncjobs.worker import lifespan as worker_lifespan
from tests.waiting import eventually
from tests.worker import crunching
from tests.worker.conftest import StartWorker

ONCE = Retry(max_retries=0)


class Broken(Exception):
    """What a lifespan of these tests raises."""


def state_job(registry: Registry, kind: str = "coroutine") -> Any:
    """A job that returns its worker's state."""

    async def coroutine() -> Any:
        return current_context().state

    def thread() -> Any:
        return current_context().state

    return registry.job(name="state", retry=ONCE)(coroutine if kind == "coroutine" else thread)


class TestState:
    @pytest.mark.parametrize("kind", ["coroutine", "thread"])
    async def test_what_it_yields_is_the_state_of_jobs(
        self, client: Client, registry: Registry, start_worker: StartWorker, kind: str
    ) -> None:
        @registry.lifespan
        async def lifespan() -> AsyncIterator[dict[str, str]]:
            yield {"database": "open"}

        await start_worker()
        job = await client.enqueue(state_job(registry, kind))
        assert await job.result(timeout=10) == {"database": "open"}

    async def test_it_is_the_very_object(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        state: list[str] = []

        @registry.lifespan
        async def lifespan() -> AsyncGenerator[list[str]]:
            yield state

        @registry.job(context=True)
        async def append(context: JobContext) -> None:
            context.state.append(context.id)

        @registry.middleware
        async def look(context: JobContext, call_next: Any) -> Any:
            context.state.append("middleware")
            return await call_next()

        await start_worker()
        job = await client.enqueue(append)
        await job.result(timeout=10)
        assert state == ["middleware", job.id]

    async def test_background_processes_have_it(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        seen: list[object] = []

        @registry.lifespan
        async def lifespan() -> AsyncIterator[str]:
            yield "state"

        @registry.process(context=True)
        async def watch(context: ProcessContext) -> None:
            seen.append(context.state)
            await context.stopping.wait()

        await start_worker()
        await eventually(lambda: seen == ["state"])

    async def test_a_job_in_a_process_of_its_own_has_none(self, client: Client) -> None:
        async with Worker(crunching.registry, client):
            told = await (await client.enqueue(crunching.ask_for_the_state)).result(timeout=30)
        assert "doesn't see what the worker's lifespan has yielded: open what it needs in the job" in told

    async def test_without_a_lifespan_there_is_none(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        seen: list[Exception] = []

        @registry.process(context=True)
        async def watch(context: ProcessContext) -> None:
            with pytest.raises(LifespanError, match="the registry has no lifespan") as caught:
                print(context.state)
            seen.append(caught.value)
            await context.stopping.wait()

        await start_worker()
        with pytest.raises(JobFailed, match="there is no state, for the registry has no lifespan"):
            await (await client.enqueue(state_job(registry))).result(timeout=10)
        await eventually(lambda: len(seen) == 1)

    async def test_one_that_yields_nothing_in_particular(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            yield

        await start_worker()
        assert await (await client.enqueue(state_job(registry))).result(timeout=10) is None


class Resources:
    """An asynchronous context manager that is a class."""

    async def __aenter__(self) -> str:
        return "state"

    async def __aexit__(self, *_: object) -> None: ...


async def generator() -> AsyncIterator[str]:
    yield "state"


async def of_a_client(client: Client, /, *, prefix: str = "") -> AsyncIterator[str]:
    assert await client.count("enqueued") == 0
    yield prefix + "state"


@asynccontextmanager
async def manager() -> AsyncGenerator[str]:
    yield "state"


@asynccontextmanager
async def manager_of_a_client(client: Client) -> AsyncGenerator[str]:
    assert await client.count("enqueued") == 0
    yield "state"


class TestKinds:
    @pytest.mark.parametrize("kind", [generator, of_a_client, manager, manager_of_a_client, Resources])
    async def test_what_can_be_one(self, client: Client, kind: Any) -> None:
        registry = Registry(lifespan=kind)
        async with Worker(registry, client):
            assert await (await client.enqueue(state_job(registry))).result(timeout=10) == "state"

    def test_a_decorated_one_is_still_what_it_was(self, registry: Registry) -> None:
        assert registry.lifespan(manager) is manager

    @pytest.mark.parametrize(
        ("wrong", "match"),
        [
            (5, "made of a function, not of 5"),
            (asyncio.sleep, "can't be a lifespan: write `async def`, and `yield` once"),
            (lambda client, settings: None, "wants client, settings, and nobody gives that"),
            (lambda *, client: None, "wants client, and nobody gives that"),
        ],
    )
    def test_what_cannot_be_one(self, registry: Registry, wrong: Any, match: str) -> None:
        with pytest.raises(DefinitionError, match=match):
            registry.lifespan(wrong)

    def test_a_plain_generator(self, registry: Registry) -> None:
        def lifespan() -> Any:
            yield

        with pytest.raises(DefinitionError, match="write `async def`"):
            registry.lifespan(lifespan)

    def test_a_registry_has_one(self, registry: Registry) -> None:
        registry.lifespan(generator)
        with pytest.raises(DefinitionError, match=r"has a lifespan already, .*generator: have one enter"):
            registry.lifespan(manager)


class TestItsTimes:
    async def test_it_is_around_everything_that_the_worker_does(
        self, client: Client, registry: Registry
    ) -> None:
        events: list[str] = []
        begun = asyncio.Event()

        @registry.lifespan
        async def lifespan(client: Client) -> AsyncIterator[None]:
            workers = await client.workers()
            events.append(f"entered, {len(workers)} workers, waiting: {await client.count('enqueued')}")
            yield
            events.append(f"left, {len(await client.workers())} workers")

        @registry.job
        async def work() -> None:
            events.append("ran")

        @registry.job
        async def long() -> None:
            try:
                begun.set()
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.01)
                events.append("cancelled at shutdown")

        first = await client.enqueue(work)
        async with Worker(registry, client, grace=0):
            await first.result(timeout=10)
            job = await client.enqueue(long)
            await begun.wait()
        assert events == ["entered, 0 workers, waiting: 1", "ran", "cancelled at shutdown", "left, 0 workers"]
        assert (await job.refresh()).state is State.ENQUEUED

    async def test_each_worker_enters_it_for_itself(self, client: Client, registry: Registry) -> None:
        open_now: set[object] = set()
        most = 0

        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            nonlocal most
            mine = object()
            open_now.add(mine)
            most = max(most, len(open_now))
            yield
            open_now.remove(mine)

        async with Worker(registry, client), Worker(registry, client):
            pass
        assert (most, open_now) == (2, set())

    async def test_it_may_take_its_time(self, client: Client, registry: Registry) -> None:
        ready = asyncio.Event()

        @registry.lifespan
        async def lifespan() -> AsyncIterator[str]:
            await ready.wait()
            yield "state"

        job = await client.enqueue(state_job(registry))
        worker = Worker(registry, client)
        running = asyncio.create_task(worker.run())
        assert await client.workers() == []
        assert (await job.refresh()).state is State.ENQUEUED
        ready.set()
        assert await job.result(timeout=10) == "state"
        worker.stop()
        await running

    @pytest.mark.parametrize("how", ["stopped", "cancelled"])
    async def test_a_worker_can_be_stopped_meanwhile(
        self, client: Client, registry: Registry, how: str
    ) -> None:
        entered, left = asyncio.Event(), asyncio.Event()

        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            entered.set()
            try:
                await asyncio.sleep(3600)
            finally:
                left.set()
            yield

        worker = Worker(registry, client)
        running = asyncio.create_task(worker.run())
        await entered.wait()
        if how == "stopped":
            worker.stop()
            await running
        else:
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        assert left.is_set()
        assert not worker.started.is_set()

    async def test_it_runs_in_one_task(self, client: Client, registry: Registry) -> None:
        """What it opens may be bound to the task that opened it, as task groups are."""
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        @registry.lifespan
        async def lifespan() -> AsyncIterator[asyncio.Task[None]]:
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(tick())
                yield ticking
                ticking.cancel()

        async with Worker(registry, client):
            await eventually(lambda: ticks > 3)


class TestFailuresAtTheStart:
    @pytest.mark.parametrize("error", [Broken, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
    @pytest.mark.parametrize("how", ["run", "async with"])
    async def test_the_worker_does_not_start(
        self,
        client: Client,
        registry: Registry,
        caplog: pytest.LogCaptureFixture,
        error: type[BaseException],
        how: str,
    ) -> None:
        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            raise error("no database")
            yield

        job = await client.enqueue(state_job(registry))
        worker = Worker(registry, client)
        starts = worker.run() if how == "run" else worker.__aenter__()
        with pytest.raises(LifespanError, match=rf"\S+lifespan failed, .*{error.__name__}") as caught:
            await starts
        assert isinstance(caught.value.__cause__, error)
        assert "no database" in caplog.text
        assert not worker.started.is_set()
        assert await client.workers() == []
        assert (await job.refresh()).state is State.ENQUEUED
        assert job.attempt == 0

    async def test_a_function_that_raises_before_there_is_a_manager(
        self, client: Client, registry: Registry
    ) -> None:
        def lifespan() -> Any:
            raise Broken("at once")

        registry.lifespan(lifespan)
        with pytest.raises(LifespanError, match="Broken: at once"):
            await Worker(registry, client).run()

    @pytest.mark.parametrize("make", [lambda fn: fn, asynccontextmanager], ids=["generator", "manager"])
    async def test_one_that_never_yields(
        self, client: Client, registry: Registry, make: Callable[[Any], Any]
    ) -> None:
        @registry.lifespan
        @make
        async def lifespan() -> AsyncIterator[None]:
            if await client.workers():
                yield

        with pytest.raises(LifespanError, match="it ended without a yield, and has to yield once"):
            await Worker(registry, client).run()

    async def test_one_that_gives_no_context_manager(self, client: Client, registry: Registry) -> None:
        registry.lifespan(lambda: {"database": "open"})  # type: ignore[arg-type, return-value]
        with pytest.raises(LifespanError, match=r"gives \{'database': 'open'\}: it has to be"):
            await Worker(registry, client).run()

    async def test_the_client_works_on_and_another_worker_may_start(self, client: Client) -> None:
        broken, well = Registry(), Registry()

        @broken.lifespan
        async def lifespan() -> AsyncIterator[None]:
            raise Broken
            yield

        job = await client.enqueue(state_job(well))
        well.lifespan(generator)
        with pytest.raises(LifespanError):
            await Worker(broken, client).run()
        async with Worker(well, client):
            assert await job.result(timeout=10) == "state"


class TestFailuresLater:
    async def test_one_that_fails_at_its_end_is_logged(
        self, client: Client, registry: Registry, caplog: pytest.LogCaptureFixture
    ) -> None:
        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            yield
            raise Broken("can't be closed")

        async with Worker(registry, client):
            await (await client.enqueue(state_job(registry))).result(timeout=10)
        assert "lifespan failed at its end: Broken: can't be closed" in caplog.text
        assert "raise Broken" in caplog.text
        assert await client.workers() == []

    async def test_so_is_one_that_yields_twice(
        self, client: Client, registry: Registry, caplog: pytest.LogCaptureFixture
    ) -> None:
        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            yield
            yield

        async with Worker(registry, client):
            pass
        assert "failed at its end: it yields a second time, and has to yield once" in caplog.text

    async def test_one_that_ends_while_its_worker_serves_stops_it_in_order(
        self, client: Client, registry: Registry, caplog: pytest.LogCaptureFixture
    ) -> None:
        lost = asyncio.Event()

        async def watch_over_the_connection() -> None:
            await lost.wait()
            raise Broken("the connection is lost")

        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            async with asyncio.TaskGroup() as group:
                group.create_task(watch_over_the_connection())
                yield

        @registry.job
        async def lose() -> str:
            lost.set()
            await asyncio.sleep(0.05)
            return "ended well"

        worker = Worker(registry, client)
        running = asyncio.create_task(worker.run())
        job = await client.enqueue(lose)
        with pytest.raises(LifespanError, match="ended while its worker served") as caught:
            await asyncio.wait_for(running, 10)
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert await job.result(timeout=0) == "ended well"
        assert "the connection is lost" in caplog.text
        assert await client.workers() == []

    async def test_one_that_does_not_come_to_its_end_is_cancelled(
        self,
        client: Client,
        registry: Registry,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(worker_lifespan, "LEAVE_PATIENCE", 0.05)
        cancelled = asyncio.Event()

        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            yield
            try:
                await asyncio.sleep(3600)
            finally:
                cancelled.set()

        async with Worker(registry, client, grace=0) as worker:
            pass
        assert cancelled.is_set()
        assert "doesn't come to its end: it is cancelled" in caplog.text
        assert worker.running == 0

    async def test_one_that_goes_on_then_is_left_behind(
        self,
        client: Client,
        registry: Registry,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(worker_lifespan, "LEAVE_PATIENCE", 0.05)
        monkeypatch.setattr(worker_lifespan, "CANCEL_PATIENCE", 0.05)
        let_go = asyncio.Event()

        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            yield
            while not let_go.is_set():
                try:
                    await let_go.wait()
                except asyncio.CancelledError:
                    continue

        async with Worker(registry, client, grace=0) as worker:
            pass
        assert "doesn't stop though it was cancelled: it is left behind" in caplog.text
        assert worker.running == 1
        let_go.set()

    async def test_it_has_the_rest_of_the_grace_unless_somebody_is_in_a_hurry(
        self, client: Client, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker_lifespan, "LEAVE_PATIENCE", 0.05)
        leaving, cancelled = asyncio.Event(), asyncio.Event()

        @registry.lifespan
        async def lifespan() -> AsyncIterator[None]:
            yield
            leaving.set()
            try:
                await asyncio.sleep(3600)
            finally:
                cancelled.set()

        worker = Worker(registry, client, grace=3600)
        running = asyncio.create_task(worker.run())
        await worker.started.wait()
        worker.stop()
        await leaving.wait()
        assert not cancelled.is_set()
        worker.stop(now=True)
        await asyncio.wait_for(running, 10)
        assert cancelled.is_set()


async def test_a_worker_without_one_says_nothing_of_it(
    client: Client, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "asyncjobs"):
        async with Worker(registry, client):
            pass
    assert "lifespan" not in caplog.text
