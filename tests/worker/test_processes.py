"""Background processes: started with a worker, started again, stopped with it; one in each, or one in all."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncjobs import Client, Exponential, ProcessContext, Registry, Worker
from asyncjobs.monitoring import ProcessInfo
from asyncjobs.processes import BackgroundProcess, ProcessState
from asyncjobs.storage.memory import MemoryStorage
from asyncjobs.worker import processes
from asyncjobs.worker.maintenance import Maintenance
from asyncjobs.worker.processes import ProcessRunner
from tests.waiting import eventually

QUICKLY = Exponential(base=0.001, cap=0.001, jitter="none")
SLOWLY = Exponential(base=3600, cap=3600)


@pytest.fixture(params=["redis", "memory"])
async def client(request: pytest.FixtureRequest, redis_url: str, registry: Registry) -> AsyncIterator[Client]:
    storage = MemoryStorage() if request.param == "memory" else redis_url
    async with Client(storage, registry=registry) as client:
        yield client


@pytest.fixture
async def any_client(registry: Registry) -> AsyncIterator[Client]:
    """Where it makes no difference which storage it is."""
    async with Client(MemoryStorage(), registry=registry) as client:
        yield client


async def told(client: Client, worker: Worker, name: str) -> ProcessInfo:
    """What a worker says of one of its processes."""
    (info,) = [info for info in await client.workers() if info.id == worker.id]
    (process,) = [process for process in info.processes if process.name == name]
    return process


async def in_state(client: Client, worker: Worker, name: str, state: ProcessState) -> ProcessInfo:
    async def reached() -> ProcessInfo | None:
        info = await told(client, worker, name)
        return info if info.state is state else None

    found = await eventually(reached)
    assert found is not None
    return found


class TestInEachWorker:
    async def test_it_lives_as_long_as_its_worker(self, client: Client, registry: Registry) -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        @registry.process(name="watch")
        async def watch() -> None:
            begun.set()
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

        async with Worker(registry, client) as worker:
            await asyncio.wait_for(begun.wait(), 10)
            info = await in_state(client, worker, "watch", ProcessState.RUNNING)
            assert (info.restarts, info.last_error) == (0, "")
            assert abs(info.since.timestamp() - time.time()) < 60
            assert not ended.is_set()
        assert ended.is_set()

    async def test_each_worker_has_its_own_beside_its_jobs(self, client: Client, registry: Registry) -> None:
        running: set[str] = set()

        @registry.process(context=True)
        async def watch(context: ProcessContext) -> None:
            running.add(context.worker)
            await asyncio.sleep(3600)

        @registry.job
        async def double(number: int) -> int:
            return 2 * number

        async with Worker(registry, client) as one, Worker(registry, client) as two:
            await eventually(lambda: running == {one.id, two.id})
            assert await (await client.enqueue(double, 2)).result(timeout=10) == 4

    async def test_it_is_told_where_it_is(self, client: Client, registry: Registry) -> None:
        contexts: list[ProcessContext] = []

        @registry.job
        async def double(number: int) -> int:
            return 2 * number

        @registry.process(name="watch", context=True)
        async def watch(context: ProcessContext) -> None:
            await (await context.client.enqueue(double, 2)).result(timeout=10)
            contexts.append(context)
            await asyncio.sleep(3600)

        async with Worker(registry, client) as worker:
            await eventually(lambda: contexts)
            (context,) = contexts
            assert (context.name, context.worker, context.token) == ("watch", worker.id, None)
            assert not context.stopping.is_set()
        assert context.stopping.is_set()

    @pytest.mark.parametrize(
        "error", [ValueError("broken"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), None]
    )
    async def test_whatever_it_raises_it_is_started_again_and_its_worker_lives(
        self,
        client: Client,
        registry: Registry,
        error: BaseException | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        runs = 0

        @registry.process(name="watch", backoff=QUICKLY)
        async def watch() -> None:
            nonlocal runs
            runs += 1
            if runs > 3:
                await asyncio.sleep(3600)
            if error is not None:
                raise error

        @registry.job
        async def double(number: int) -> int:
            return 2 * number

        async with Worker(registry, client) as worker:
            await eventually(lambda: runs == 4)
            assert await (await client.enqueue(double, 2)).result(timeout=10) == 4

            async def told_of_it() -> ProcessInfo | None:
                info = await told(client, worker, "watch")
                return info if info.restarts == 3 and info.state is ProcessState.RUNNING else None

            info = await eventually(told_of_it)
            assert info is not None
            assert info.last_error.startswith(type(error).__name__ if error is not None else "")
        said = "process watch failed" if error is not None else "process watch has returned"
        assert caplog.text.count(said) == 3

    async def test_its_pauses_grow_until_it_has_run_for_long(
        self, any_client: Client, registry: Registry
    ) -> None:
        outcomes = iter([ValueError(), None, ValueError("unlucky")])

        @registry.process(backoff=Exponential(base=1, cap=60, jitter="none"))
        async def watch() -> None:
            if (error := next(outcomes)) is not None:
                raise error

        runner = self.runner(watch, client)
        assert [await runner.turn() for _ in range(3)] == [1, 2, 4]
        assert (runner.restarts, runner.last_error) == (3, "ValueError: unlucky")
        assert runner.state is ProcessState.RESTARTING

        @registry.process(backoff=Exponential(base=0.001, cap=0.004, jitter="none"))
        async def long() -> None:
            await asyncio.sleep(lengths.pop())

        lengths = [0, 0.01, 0.01, 0, 0]
        runner = self.runner(long, client)
        pauses = [await runner.turn() for _ in range(5)]
        assert pauses[2:4] == [0.001, 0.001], "these were longer than the longest pause"

    async def test_with_every_it_runs_waits_and_runs_again(
        self, any_client: Client, registry: Registry
    ) -> None:
        outcomes = iter([None, ValueError(), ValueError(), None, ValueError()])

        @registry.process(every=90, backoff=Exponential(base=1, jitter="none"))
        async def tidy() -> None:
            if (error := next(outcomes)) is not None:
                raise error

        runner = self.runner(tidy, client)
        assert await runner.turn() == 90
        assert runner.state is ProcessState.WAITING
        assert [await runner.turn() for _ in range(4)] == [1, 2, 90, 1]
        assert runner.restarts == 3

    def runner(self, process: BackgroundProcess[..., Any], client: Client) -> ProcessRunner:
        return ProcessRunner(process, client, lambda: "worker", asyncio.Event(), lambda: None)

    async def test_periodic_ones_go_on_after_a_failure(self, client: Client, registry: Registry) -> None:
        runs = itertools.count()
        last = -1

        @registry.process(name="tidy", every=0.001, backoff=QUICKLY)
        async def tidy() -> None:
            nonlocal last
            last = next(runs)
            if last % 2:
                raise ValueError

        @registry.process(name="rare", every=3600)
        async def rare() -> None:
            pass

        async with Worker(registry, client) as worker:
            await eventually(lambda: last >= 5)
            assert (await in_state(client, worker, "rare", ProcessState.WAITING)).restarts == 0

    async def test_a_worker_without_any_says_nothing_of_them(
        self, client: Client, registry: Registry
    ) -> None:
        async with Worker(registry, client) as worker:
            (record,) = await client.storage.workers()
            assert "processes" not in record.info
            assert worker._processes is None  # pyright: ignore[reportPrivateUsage]
            assert (await client.workers())[0].processes == ()

    async def test_what_is_told_of_them_is_bounded(self, any_client: Client, registry: Registry) -> None:
        class Unspeakable(Exception):
            def __str__(self) -> str:
                raise ValueError

        for number in range(60):

            @registry.process(name=f"watch{number:02}", backoff=SLOWLY)
            async def watch() -> None:
                raise ValueError("x" * 100_000)

        @registry.process(name="a", backoff=SLOWLY)
        async def unspeakable() -> None:
            raise Unspeakable

        async with Worker(registry, any_client) as worker:
            info = await in_state(any_client, worker, "watch48", ProcessState.RESTARTING)
            assert len(info.last_error) == processes.ERROR_LIMIT
            assert "message can't be made" in (await told(any_client, worker, "a")).last_error
            (worker_info,) = await any_client.workers()
            assert len(worker_info.processes) == processes.LISTED


class TestShutdown:
    async def test_it_is_cancelled_at_once_where_it_has_no_grace(
        self, client: Client, registry: Registry, caplog: pytest.LogCaptureFixture
    ) -> None:
        begun, cleaned_up = asyncio.Event(), asyncio.Event()

        @registry.process
        async def watch() -> None:
            begun.set()
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.01)
                cleaned_up.set()

        @registry.process(every=3600)
        async def rare() -> None:
            pass

        @registry.process(backoff=SLOWLY)
        async def failing() -> None:
            raise ValueError

        async with Worker(registry, client, grace=60):
            await asyncio.wait_for(begun.wait(), 10)
            began = time.monotonic()
        assert time.monotonic() - began < 10
        assert cleaned_up.is_set()
        assert "left behind" not in caplog.text

    async def test_with_a_grace_it_ends_by_itself(self, client: Client, registry: Registry) -> None:
        finished = False

        @registry.process(context=True, grace=60)
        async def watch(context: ProcessContext) -> None:
            nonlocal finished
            await context.stopping.wait()
            await asyncio.sleep(0.05)
            finished = True

        async with Worker(registry, client, grace=60) as worker:
            await in_state(client, worker, watch.name, ProcessState.RUNNING)
        assert finished

    @pytest.mark.parametrize("how", ["own grace", "worker's grace", "stop now"])
    async def test_when_its_grace_is_over_it_is_cancelled(
        self, client: Client, registry: Registry, how: str
    ) -> None:
        cancelled = asyncio.Event()

        @registry.process(grace=0.05 if how == "own grace" else 60)
        async def watch() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                cancelled.set()

        began = time.monotonic()
        async with Worker(registry, client, grace=0.05 if how == "worker's grace" else 60) as worker:
            await in_state(client, worker, watch.name, ProcessState.RUNNING)
            worker.stop()
            if how == "stop now":
                await asyncio.wait_for(worker.stopping.wait(), 10)
                worker.stop(now=True)
        assert time.monotonic() - began < 20
        assert cancelled.is_set()

    async def test_it_stops_while_jobs_have_their_grace(self, client: Client, registry: Registry) -> None:
        begun, ended, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

        @registry.process
        async def watch() -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()

        @registry.job
        async def hold() -> str:
            begun.set()
            await asyncio.wait_for(release.wait(), 10)
            return "done"

        async with Worker(registry, client, grace=60) as worker:
            await in_state(client, worker, watch.name, ProcessState.RUNNING)
            job = await client.enqueue(hold)
            await asyncio.wait_for(begun.wait(), 10)
            worker.stop()
            await asyncio.wait_for(ended.wait(), 10)
            release.set()
        assert await job.result(timeout=0) == "done"

    async def test_one_that_cannot_be_stopped_is_left_behind(
        self, client: Client, registry: Registry, caplog: pytest.LogCaptureFixture
    ) -> None:
        let_go = asyncio.Event()

        @registry.process(name="deaf")
        async def deaf() -> None:
            while not let_go.is_set():
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    continue

        began = time.monotonic()
        async with Worker(registry, client) as worker:
            await in_state(client, worker, "deaf", ProcessState.RUNNING)
        assert time.monotonic() - began < 20
        assert "process deaf doesn't stop though it was cancelled" in caplog.text
        assert worker.running == 1
        let_go.set()
        await eventually(lambda: worker.running == 0)

    async def test_what_it_makes_of_its_cancellation_is_its_own_affair(
        self, client: Client, registry: Registry, caplog: pytest.LogCaptureFixture
    ) -> None:
        ended: list[str] = []

        @registry.process(name="returns")
        async def returns() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            ended.append("returns")

        @registry.process(name="exits")
        async def exits() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
            ended.append("exits")
            raise SystemExit

        async with Worker(registry, client) as worker:
            await in_state(client, worker, "exits", ProcessState.RUNNING)
            await in_state(client, worker, "returns", ProcessState.RUNNING)
        assert sorted(ended) == ["exits", "returns"]
        assert "process exits failed as it was being stopped" in caplog.text
        assert "started again" not in caplog.text

    async def test_a_worker_that_ends_by_a_failure_stops_it_too(
        self, client: Client, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        @registry.process(scope="cluster")
        async def watch() -> None:
            begun.set()
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0.01)
                ended.set()

        async def fail(_: Maintenance) -> None:
            await begun.wait()
            raise RuntimeError("out of order")

        monkeypatch.setattr(Maintenance, "run", fail)
        with pytest.raises(RuntimeError, match="out of order"):
            await asyncio.wait_for(Worker(registry, client).run(), 20)
        assert ended.is_set()
        assert await client.storage.get_lock(watch.lock) is None


class TestOneInAll:
    async def test_one_worker_runs_it_and_when_that_stops_another_does(
        self, client: Client, registry: Registry
    ) -> None:
        running: list[ProcessContext] = []

        @registry.process(name="one", scope="cluster", ttl=60, context=True)
        async def one(context: ProcessContext) -> None:
            running.append(context)
            assert len(running) == 1
            try:
                await asyncio.sleep(3600)
            finally:
                running.remove(context)

        workers = [await Worker(registry, client).__aenter__() for _ in range(3)]
        tokens: list[int] = []
        try:
            while workers:
                await eventually(lambda: running)
                (context,) = running
                lock = await client.storage.get_lock("process:one")
                assert lock is not None
                assert lock.number == context.token
                tokens.append(lock.number)
                (holder,) = [worker for worker in workers if worker.id == context.worker]
                workers.remove(holder)
                for worker in workers:
                    await in_state(client, worker, "one", ProcessState.STANDBY)
                await eventually(lambda: self.waiting(client, len(workers)))
                await in_state(client, holder, "one", ProcessState.RUNNING)
                await holder.__aexit__(None, None, None)
        finally:
            for worker in workers:
                await worker.__aexit__(None, None, None)
        assert tokens == sorted(set(tokens))
        assert len(tokens) == 3
        assert await client.storage.get_lock("process:one") is None

    async def waiting(self, client: Client, count: int) -> bool:
        lock = await client.storage.get_lock("process:one")
        return lock is not None and lock.waiting == count

    async def test_it_keeps_its_lock_between_runs_and_through_restarts(
        self, client: Client, registry: Registry
    ) -> None:
        tokens: list[int | None] = []

        @registry.process(name="one", scope="cluster", ttl=60, every=0.001, backoff=QUICKLY, context=True)
        async def one(context: ProcessContext) -> None:
            tokens.append(context.token)
            if len(tokens) % 2:
                raise ValueError

        async with Worker(registry, client), Worker(registry, client):
            await eventually(lambda: len(tokens) > 5)
        assert len(set(tokens)) == 1

    async def test_when_another_has_the_lock_its_run_is_cancelled(
        self, client: Client, registry: Registry, caplog: pytest.LogCaptureFixture
    ) -> None:
        events: list[tuple[str, int | None]] = []

        @registry.process(name="one", scope="cluster", ttl=1, context=True)
        async def one(context: ProcessContext) -> None:
            events.append(("start", context.token))
            try:
                await asyncio.sleep(3600)
            finally:
                events.append(("stop", context.token))

        async with Worker(registry, client) as worker:
            await eventually(lambda: events)
            (first,) = events

            async def steal() -> int:
                """As if it had been cut off for long; it may come to its lock again in between."""
                lock = await client.storage.get_lock("process:one")
                assert lock is not None
                await client.storage.release_lock("process:one", lock.holder)
                return (await client.storage.acquire_lock("process:one", "thief", 60_000)).number

            thief = await eventually(steal)
            await eventually(lambda: events[-1][0] == "stop")
            assert first in events
            count = len(events)
            await in_state(client, worker, "one", ProcessState.STANDBY)
            await eventually(lambda: self.waiting(client, 1))
            await client.storage.release_lock("process:one", "thief")

            await eventually(lambda: len(events) > count)
            event, token = events[-1]
            assert event == "start"
            assert token is not None
            assert token > thief
        assert "process one has lost its lock" in caplog.text

    async def test_where_a_run_goes_on_without_its_lock_there_is_no_second_one(
        self, client: Client, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(processes, "INSIST_EVERY", 0.05)
        running = starts = cancels = 0
        most = 0
        let_go = asyncio.Event()

        @registry.process(name="one", scope="cluster", ttl=1)
        async def one() -> None:
            nonlocal running, starts, cancels, most
            starts += 1
            running += 1
            most = max(most, running)
            while not let_go.is_set():
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    cancels += 1
            running -= 1

        async with Worker(registry, client):
            await eventually(lambda: running)
            lock = await client.storage.get_lock("process:one")
            assert lock is not None
            await client.storage.release_lock("process:one", lock.holder)
            await eventually(lambda: cancels > 3)
            assert await client.storage.get_lock("process:one") is None, "nor does it keep others from it"
            assert (starts, most) == (1, 1)
            let_go.set()
            await eventually(lambda: starts >= 2)
            assert most == 1

    async def test_one_that_is_left_behind_keeps_its_lock_until_its_time_is_over(
        self, client: Client, registry: Registry
    ) -> None:
        let_go = asyncio.Event()

        @registry.process(name="one", scope="cluster", ttl=60)
        async def one() -> None:
            while not let_go.is_set():
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    continue

        async with Worker(registry, client) as worker:
            await in_state(client, worker, "one", ProcessState.RUNNING)
        assert await client.storage.get_lock("process:one") is not None
        let_go.set()
        await eventually(lambda: worker.running == 0)

    async def test_a_worker_on_standby_stops_at_once(self, client: Client, registry: Registry) -> None:
        @registry.process(name="one", scope="cluster", ttl=60)
        async def one() -> None:
            raise AssertionError("nobody may run it")

        await client.storage.acquire_lock("process:one", "another", 600_000)
        began = time.monotonic()
        async with Worker(registry, client) as worker:
            await in_state(client, worker, "one", ProcessState.STANDBY)
            await eventually(lambda: self.waiting(client, 1))
        assert time.monotonic() - began < 10
        assert await self.waiting(client, 0)
