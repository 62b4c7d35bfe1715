"""Job code may do what it likes: it gets its outcome, and the worker stays up with all its slots."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest

from asyncjobs import Call, Client, Job, Retry
from asyncjobs.errors import JobFailed
from asyncjobs.registry import Definition
from tests.faults.apps import rogue
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import passed, running_on
from tests.faults.worker_process import WorkerProcess
from tests.waiting import eventually

APP = "tests.faults.apps.rogue"
ROGUE = f"{APP}."

# What is raised: the type and the message that the history shows.
RAISED = {
    "KeyboardInterrupt": ("KeyboardInterrupt", ""),
    "SystemExit": ("SystemExit", "3"),
    "GeneratorExit": ("GeneratorExit", ""),
    "CancelledError": ("asyncio.exceptions.CancelledError", ""),
    "StopAsyncIteration": ("StopAsyncIteration", ""),
    # Python's own rule for coroutines.
    "StopIteration": ("RuntimeError", "coroutine raised StopIteration"),
    "Peculiar": (f"{ROGUE}Peculiar", "no Exception"),
    "Mute": (f"{ROGUE}Mute", "(its message can't be made)"),
    "Lying": (f"{ROGUE}Lying", "(its message can't be made)"),
    "Exiting": (f"{ROGUE}Exiting", "(its message can't be made)"),
    "Shapeless": (f"{ROGUE}Shapeless", "a message"),
    "huge": ("ValueError", "x" * 4_000),
    "surrogates": ("OSError", "no file 'caf?'"),
    "Frozen": (f"{ROGUE}Frozen", "7"),
    "Unpicklable": (f"{ROGUE}Unpicklable", "1 and 2"),
    "TwoArguments": (f"{ROGUE}TwoArguments", "1 and 2"),
    "group": ("BaseExceptionGroup", "several (2 sub-exceptions)"),
}
# Those that can't travel come as another one that says the same.
FROM_PROCESS = {
    **RAISED,
    "StopIteration": ("RuntimeError", "StopIteration: 1"),
    "Frozen": ("RuntimeError", "Frozen: 7"),
    "Unpicklable": ("RuntimeError", "Unpicklable: 1 and 2"),
    "TwoArguments": ("RuntimeError", "TwoArguments: 1 and 2"),
}


class Outcomes:
    """One worker with one slot, so that a slot that is lost shows with the next job."""

    def __init__(self, client: Client, worker: WorkerProcess) -> None:
        self.client = client
        self.worker = worker

    async def of(self, call: Call[object]) -> tuple[Job[object], str, str]:
        """Run a job, and another one after it; the failed one's type of error and message."""
        job = await self.client.enqueue(call)
        after = await self.client.enqueue(rogue.ordinary)
        assert await after.result(timeout=10) == "fine"
        await job.refresh()
        assert job.state == "failed", (call, job.state)
        (entry,) = await job.history()
        assert entry.event == "failed"
        assert self.worker.alive
        assert (await after.refresh()).worker == job.worker == self.worker.id
        assert await running_on(self.client, self.worker.id) == 0
        return job, entry.error_type, entry.error_message


@pytest.fixture
async def outcomes(redis_url: str, start_worker: WorkerFactory) -> AsyncIterator[Outcomes]:
    async with Client(redis_url, registry=rogue.registry) as client:
        yield Outcomes(client, start_worker(redis_url, app=APP, concurrency=1, grace=1))


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        (rogue.raises, RAISED),
        (rogue.raises_in_thread, RAISED),
        (rogue.raises_in_process, FROM_PROCESS),
    ],
    ids=["loop", "thread", "process"],
)
async def test_raises(
    outcomes: Outcomes, definition: Definition[[str], None], expected: dict[str, tuple[str, str]]
):
    seen = {}
    for what in expected:
        job, error_type, message = await outcomes.of(definition.call(what))
        seen[what] = (error_type, message)
        (entry,) = await job.history()
        assert definition.__name__ in entry.traceback
        assert len(entry.traceback) < 20_000
    assert seen == expected
    assert outcomes.worker.stop() == 0


REFUSED = {
    "object": "object",
    "function": "function",
    "coroutine": "coroutine",
    "surrogates": "surrogate",
    "endless": "contains it",
    "too large": "1,048,576",
}


@pytest.mark.parametrize(
    "definition",
    [rogue.returns, rogue.returns_from_thread, rogue.returns_from_process],
    ids=lambda d: d.__name__,
)
async def test_returns_what_cant_be_kept(outcomes: Outcomes, definition: Definition[[str], object]):
    for what, told in REFUSED.items():
        # It wouldn't help to run it again, so it isn't.
        retried = definition.options(retry=Retry(max_retries=3))
        _, error_type, message = await outcomes.of(retried.call(what))
        expected = "PayloadTooLarge" if what == "too large" else "SerializationError"
        assert (what, error_type) == (what, f"asyncjobs.errors.{expected}")
        assert told in message
    assert outcomes.worker.stop() == 0


@pytest.mark.parametrize("how", ["exit", "kill"])
async def test_its_process_dies(outcomes: Outcomes, how: str):
    _, error_type, message = await outcomes.of(rogue.dies_in_process.call(how))
    assert error_type.endswith("BrokenWorkerProcess")
    assert "ended before the job did" in message


async def test_a_process_that_writes_and_reads(outcomes: Outcomes):
    job = await outcomes.client.enqueue(rogue.chats_in_process)
    assert await job.result(timeout=20) == ""


async def test_recurses_for_ever(outcomes: Outcomes):
    _, error_type, _ = await outcomes.of(rogue.recurses.call())
    assert error_type == "RecursionError"


@pytest.mark.parametrize(
    "definition",
    [rogue.never_ends, rogue.never_ends_in_process, rogue.goes_on_once],
    ids=lambda d: d.__name__,
)
async def test_never_ends(outcomes: Outcomes, definition: Definition[[], object]):
    _, error_type, message = await outcomes.of(definition.call())
    assert error_type == "asyncjobs.errors.JobTimeout"
    assert "0.3 s" in message


async def test_returns_though_it_was_cancelled(outcomes: Outcomes):
    job = await outcomes.client.enqueue(rogue.returns_though_cancelled)
    assert await job.result(timeout=10) == "all the same"


async def test_a_thread_that_never_ends_keeps_its_slot(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url, registry=rogue.registry) as client:
        worker = start_worker(redis_url, app=APP, concurrency=1)
        job = await client.enqueue(rogue.goes_on_in_thread, "gate")
        with pytest.raises(JobFailed, match=r"timeout of 0\.3 s"):
            await job.result(timeout=10)
        after = await client.enqueue(rogue.ordinary)
        await passed(1.5)
        assert (await after.refresh()).state == "enqueued"
        ledger.open_gate("gate")
        assert await after.result(timeout=10) == "fine"
        assert ledger.runs() == ledger.ends() == {job.id: 1}
        assert worker.stop() == 0


async def test_goes_on_for_ever_though_cancelled(redis_url: str, start_worker: WorkerFactory, ledger: Ledger):
    """After ten tries its outcome is told; it keeps its slot, and the others are free."""
    async with Client(redis_url, registry=rogue.registry) as client:
        worker = start_worker(redis_url, app=APP, concurrency=2, lease=3, grace=0.1)
        job = await client.enqueue(rogue.goes_on_for_ever, "gate")
        await eventually(lambda: ledger.lines("cancelled"))
        assert await (await client.enqueue(rogue.ordinary)).result(timeout=10) == "fine"
        with pytest.raises(JobFailed, match=r"timeout of 0\.3 s"):
            await job.result(timeout=20)
        assert f"job {job.id} ({job.name}) can't be stopped" in worker.log
        assert await (await client.enqueue(rogue.ordinary)).result(timeout=10) == "fine"
        # Its end, when it comes, is of no account.
        ledger.open_gate("gate")
        await eventually(lambda: ledger.ends()[job.id] == 1)
        assert await (await client.enqueue(rogue.ordinary)).result(timeout=10) == "fine"
        assert (await job.refresh()).state == "failed"
        assert worker.stop() == 0


async def test_goes_on_at_shutdown(redis_url: str, start_worker: WorkerFactory, ledger: Ledger):
    """It is given back over its head, and runs elsewhere."""
    async with Client(redis_url, registry=rogue.registry) as client:
        worker = start_worker(redis_url, app=APP, lease=3, grace=0.1)
        job = await client.enqueue(rogue.goes_on_for_ever.options(timeout=None), "gate")
        await eventually(lambda: ledger.runs()[job.id] == 1)
        worker.signal(signal.SIGTERM)
        await eventually(lambda: ledger.lines("cancelled"))
        other = start_worker(redis_url, app=APP)
        await eventually(lambda: ledger.runs()[job.id] == 2)
        ledger.open_gate("gate")
        await job.result(timeout=10)
        assert (await job.refresh()).worker == other.id
        assert [entry.event for entry in await job.history()] == ["released"]
        assert job.attempt == 1, "it used up none"
        await eventually(lambda: not worker.alive)


async def test_cancels_itself(outcomes: Outcomes):
    _, error_type, _ = await outcomes.of(rogue.cancels_itself.call())
    assert error_type == "asyncio.exceptions.CancelledError"
    job = await outcomes.client.enqueue(rogue.cancels_itself_and_returns)
    assert await job.result(timeout=10) == "done"


async def test_leaves_tasks_behind(outcomes: Outcomes):
    job = await outcomes.client.enqueue(rogue.leaves_tasks)
    assert await job.result(timeout=10) == "done"
    await eventually(lambda: "nobody hears it" in outcomes.worker.log)
    assert outcomes.worker.alive
    assert outcomes.worker.stop() == 0


@pytest.mark.parametrize(
    "definition", [rogue.notes_oddly, rogue.notes_oddly_in_process], ids=lambda d: d.__name__
)
async def test_logs_what_isnt_text(outcomes: Outcomes, definition: Definition[[], str]):
    job = await outcomes.client.enqueue(definition)
    assert await job.result(timeout=10) == "done"
    lines = [line.text for line in await job.logs()]
    assert lines[0] == "caf\\udce9"
    assert len(lines) == 4
    assert (await job.refresh()).progress == 0.5
