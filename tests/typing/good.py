"""Code as users write it: both type checkers must find nothing in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type

from asyncjobs import (
    PREVIOUS,
    Batch,
    BatchBuilder,
    BatchState,
    Call,
    CallNext,
    Client,
    Cron,
    EnqueueContext,
    Every,
    Exponential,
    Job,
    JobContext,
    JobDraft,
    Lock,
    LockInfo,
    ProcessContext,
    RecurringJob,
    Redlock,
    Registry,
    Retention,
    Retry,
    SyncBatch,
    SyncClient,
    SyncJob,
    SyncLock,
    Worker,
    current_context,
)

registry = Registry(queue="default", retry=Retry(max_retries=3), timeout=timedelta(minutes=5))


@registry.job
async def send(to: str, *, subject: str = "", copies: int = 1) -> str:
    return f"{to} {subject} {copies}"


@registry.job
def resize(path: str, width: int) -> int:
    return len(path) * width


@registry.job(queue="mail", priority=3, timeout=30, retention=0, keep_result=False, max_recoveries=1)
async def with_options(to: str) -> None: ...


@registry.job(name="crunch", aliases=["crush"], runs_in="process", retry=Retry(5, delay=Exponential(base=2)))
def crunch(numbers: list[float]) -> float:
    return sum(numbers)


@registry.job(context=True)
async def import_rows(context: JobContext, path: str, *, strict: bool = True) -> list[int]:
    context.progress(0.5, "half")
    context.log("at", path, strict)
    assert_type(context.client, Client)
    return [context.attempt]


@registry.job(context=True, runs_in="thread", retry=Retry(delay=[1, timedelta(seconds=5)], only=(OSError,)))
def import_slowly(context: JobContext, path: str) -> bool:
    return not context.cancelled and bool(path)


@registry.job
async def awkward(on: str, fn: int, definition: bytes, /, call: str, *, context: str, job_id: str) -> None:
    assert_type(current_context().id, str)


@registry.job
async def named_self(self: str, delay: int, when: float) -> str:
    return f"{self}{delay}{when}"


@registry.job
async def variadic(*numbers: int, **labels: str) -> int:
    return sum(numbers) + len(labels)


@registry.external("billing.charge", queue="billing")
async def charge(account: str, cents: int) -> str:
    raise NotImplementedError


@registry.external("billing.close")
def close_account(account: str) -> bool:
    raise NotImplementedError


@registry.process
async def watch() -> None: ...


@registry.process(name="tidy", every=timedelta(hours=1), scope="cluster", ttl=30, grace=5)
async def tidy() -> int:
    return 1


@registry.process(context=True, backoff=Exponential(base=2, cap=10))
async def listen(context: ProcessContext) -> str:
    assert_type(context.client, Client)
    assert_type(context.token, int | None)
    await context.stopping.wait()
    return context.name + context.worker


async def processes_are_still_functions(context: ProcessContext) -> None:
    assert_type(await watch(), None)
    assert_type(await tidy(), int)
    assert_type(await listen(context), str)
    assert_type(tidy.name, str)


@registry.recurring("0 9 * * mon-fri", timezone="Europe/Berlin", misfire="skip", overlap="queue", timeout=30)
async def report(day: str = "today") -> str:
    return day


@registry.recurring(every=timedelta(minutes=5), id="sweep", jitter=30, queue="chores", runs_in="thread")
def sweep(depth: int = 1) -> int:
    return depth


@registry.recurring(Cron("@daily", "Europe/Berlin"), context=True, start=datetime.now(UTC), end=None)
async def count(context: JobContext, *, strict: bool = True) -> list[int]:
    return [context.attempt]


async def recurring_jobs_are_jobs(client: Client, sync: SyncClient) -> None:
    assert_type(await report("monday"), str)
    assert_type(sweep(), int)
    assert_type(await client.enqueue(report, "monday"), Job[str])
    assert_type(await client.enqueue(count, strict=False), Job[list[int]])
    assert_type(
        await client.recurring.put("nightly", "0 3 * * *", send.call("ada@example.com")), RecurringJob
    )
    await client.recurring.put("often", timedelta(minutes=5), resize.call("a.png", 1), overlap="skip")
    await client.recurring.put("often", Every(5), resize.call("a.png", 1), misfire="all", jitter=2.5)
    assert_type(await client.recurring.get("nightly"), RecurringJob | None)
    assert_type(await client.recurring.list(), list[RecurringJob])
    assert_type(await client.recurring.trigger("nightly"), Job[Any])
    assert_type(sync.recurring.trigger("nightly"), SyncJob[Any])
    assert_type(sync.recurring.list(limit=5), list[RecurringJob])


async def definitions_are_still_functions(context: JobContext) -> None:
    assert_type(await send("ada@example.com", subject="Hi"), str)
    assert_type(resize("a.png", 100), int)
    assert_type(crunch([1.0]), float)
    assert_type(await import_rows(context, "rows.csv", strict=False), list[int])
    assert_type(import_slowly(context, "rows.csv"), bool)
    assert_type(await named_self(self="x", delay=1, when=0.5), str)
    coroutine: Coroutine[Any, Any, str] = send("ada@example.com")
    coroutine.close()


async def enqueue(client: Client) -> None:
    assert_type(await client.enqueue(send, "ada@example.com", subject="Hi", copies=2), Job[str])
    assert_type(await client.enqueue(resize, path="a.png", width=100), Job[int])
    assert_type(await client.enqueue(with_options, "ada@example.com"), Job[None])
    assert_type(await client.enqueue(crunch, [1.0, 2.0]), Job[float])
    assert_type(await client.enqueue(import_rows, "rows.csv", strict=False), Job[list[int]])
    assert_type(await client.enqueue(import_slowly, "rows.csv"), Job[bool])
    assert_type(await client.enqueue(awkward, "a", 1, b"", call="", context="", job_id=""), Job[None])
    assert_type(await client.enqueue(named_self, self="x", delay=1, when=0.5), Job[str])
    assert_type(await client.enqueue(variadic, 1, 2, 3, color="red"), Job[int])
    assert_type(await client.enqueue(charge, "acme", cents=100), Job[str])
    assert_type(await client.enqueue(close_account, "acme"), Job[bool])
    assert_type(await client.enqueue(send.call("ada@example.com", subject="Hi")), Job[str])


async def enqueue_with_other_options(client: Client) -> None:
    bulk = send.options(queue="bulk", priority=-5, retry=Retry(max_retries=0), timeout=None, retention=3600)
    assert_type(await client.enqueue(bulk, "ada@example.com", copies=3), Job[str])
    assert_type(await client.enqueue(import_rows.options(queue="bulk"), "rows.csv"), Job[list[int]])
    assert_type(bulk.call("ada@example.com"), Call[str])


async def enqueue_later(client: Client) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert_type(
        await client.enqueue_in(timedelta(minutes=5), send, "ada@example.com", subject="Hi"), Job[str]
    )
    assert_type(await client.enqueue_in(2.5, resize, "a.png", width=1), Job[int])
    assert_type(await client.enqueue_in(5, named_self, "x", delay=1, when=0.5), Job[str])
    assert_type(await client.enqueue_in(5, resize.call("a.png", 1)), Job[int])
    assert_type(await client.enqueue_at(tomorrow, send, "ada@example.com"), Job[str])
    assert_type(await client.enqueue_at(tomorrow, named_self, "x", delay=1, when=0.5), Job[str])
    assert_type(await client.enqueue_at(tomorrow, import_rows.call("rows.csv")), Job[list[int]])


async def addresses() -> AsyncIterator[Call[str]]:
    yield send.call("ada@example.com")


async def enqueue_many(client: Client, people: list[str]) -> None:
    assert_type(await client.enqueue_many(send.call(to, subject="Hi") for to in people), list[Job[str]])
    assert_type(await client.enqueue_many([resize.call("a.png", 1)]), list[Job[int]])
    assert_type(await client.enqueue_many(addresses()), list[Job[str]])
    mixed: list[Call[object]] = [send.call("ada@example.com"), resize.call("a.png", 1)]
    assert_type(await client.enqueue_many(mixed), list[Job[object]])


async def results(client: Client) -> None:
    job = await client.enqueue(send, "ada@example.com")
    assert_type(await job.result(timeout=10), str)
    assert_type(await (await job.refresh()).result(timedelta(seconds=1)), str)
    text: str = await job.result()
    await wait_for_any([job, await client.enqueue(resize, "a.png", 1)])
    print(text, job.state, job.progress, job.created_at, [entry.traceback for entry in await job.history()])


async def wait_for_any(jobs: Sequence[Job[object]]) -> None:
    assert_type(await jobs[0].result(), object)


async def find(client: Client, job_id: str) -> None:
    assert_type(await client.get(job_id, send), Job[str] | None)
    assert_type(await client.get(job_id, import_rows.options(queue="bulk")), Job[list[int]] | None)
    assert_type(await client.get(job_id), Job[Any] | None)
    assert_type(await client.jobs("failed"), list[Job[Any]])
    job = await client.get(job_id, charge)
    if job is not None:
        assert_type(await job.result(), str)


async def continue_with(client: Client) -> None:
    job = await client.enqueue(resize, "a.png", 1)
    text = await client.enqueue(send, "ada@example.com")
    assert_type(await client.continue_with(job, send, "ada@example.com", copies=job.output), Job[str])
    assert_type(await client.continue_with([job, text], send.call(text.output, copies=job.output)), Job[str])
    assert_type(await client.continue_with(job, resize.call("b.png", 1), on="failed"), Job[int])
    assert_type(
        await client.continue_with((job, text), resize.call("b.png", 1), on_parent_failed="cancel"), Job[int]
    )
    assert_type(await client.continue_with(job, named_self, self="x", delay=1, when=0.5), Job[str])
    assert_type(
        await client.continue_with(job, awkward, "a", 1, b"", call="", context="", job_id=""), Job[None]
    )
    assert_type(await client.continue_with(job, crunch, [1.0, job.output, float(2)]), Job[float])
    assert_type(job.output, int)
    assert_type(await client.chain(resize.call("a.png", 1), resize.call("b.png", PREVIOUS)), list[Job[Any]])


async def batches(client: Client, tomorrow: datetime) -> None:
    async with client.batch("import") as batch:
        assert_type(batch.enqueue(send, "ada@example.com", subject="Hi"), Job[str])
        job = batch.enqueue(resize.call("a.png", 1))
        assert_type(job, Job[int])
        assert_type(batch.enqueue_in(5, named_self, "x", delay=1, when=0.5), Job[str])
        assert_type(batch.enqueue_at(tomorrow, import_rows, "rows.csv"), Job[list[int]])
        assert_type(batch.enqueue_many(resize.call(path, 1) for path in ["a.png"]), list[Job[int]])
        assert_type(batch.continue_with(job, send, "ada@example.com", copies=job.output), Job[str])
        with batch.batch("thumbnails") as inner:
            assert_type(inner.continue_with([job, batch], resize.call("a.png", 1), on="finished"), Job[int])
            builder: BatchBuilder = inner
    assert_type(await client.continue_with([batch, builder, job], send, "ada@example.com"), Job[str])
    stored = await client.get_batch(batch.id)
    if stored is not None:
        assert_type(await (await stored.wait(timeout=10)).enqueue(resize, "a.png", 1), Job[int])
        assert_type(await stored.enqueue_in(5, named_self, "x", delay=1, when=0.5), Job[str])
        assert_type(await stored.enqueue_at(tomorrow, import_rows.call("rows.csv")), Job[list[int]])
        assert_type(await stored.continue_with(job, send, "ada@example.com", copies=job.output), Job[str])
        assert_type(await stored.continue_with([job], resize.call("a.png", 1), on="failed"), Job[int])
        assert_type(await stored.enqueue_many([send.call("ada@example.com")]), list[Job[str]])
        assert_type(await client.continue_with(stored, send, "ada@example.com"), Job[str])
        assert_type(await stored.jobs(), list[Job[Any]])
        async with stored.batch("more") as more:
            assert_type(more.enqueue(send, "ada@example.com"), Job[str])
        print(stored.progress, stored.state is BatchState.OPEN, stored.pending)
    assert_type(await client.batches(), list[Batch])


async def add_to_the_own_batch(context: JobContext) -> None:
    if context.batch is not None:
        job = await context.batch.enqueue(resize, "a.png", 1)
        assert_type(job, Job[int])
        assert_type(await context.batch.continue_with(job, crunch, [1.0, job.output]), Job[float])


def workflows_from_code_that_is_not_async(client: SyncClient, context: JobContext) -> None:
    job = client.enqueue(resize, "a.png", 1)
    assert_type(client.continue_with(job, send, "ada@example.com", copies=job.output), SyncJob[str])
    assert_type(client.continue_with([job], resize.call("a.png", job.output), on="succeeded"), SyncJob[int])
    assert_type(client.chain(resize.call("a.png", 1)), list[SyncJob[Any]])
    with client.batch("import") as batch:
        assert_type(batch.enqueue(named_self, "x", delay=1, when=0.5), Job[str])
    assert_type(client.continue_with([batch, job], send, "ada@example.com"), SyncJob[str])
    stored = client.get_batch(batch.id)
    if stored is not None:
        assert_type(stored, SyncBatch)
        assert_type(stored.wait(timeout=10).enqueue(resize, "a.png", 1), SyncJob[int])
        assert_type(client.continue_with(stored, send, "ada@example.com"), SyncJob[str])
    own = context.sync_batch
    if own is not None:
        assert_type(own.enqueue(send, "ada@example.com"), SyncJob[str])
        assert_type(own.enqueue_in(timedelta(hours=1), resize.call("a.png", 1)), SyncJob[int])
        assert_type(own.enqueue_at(datetime.now(UTC), named_self, "x", delay=1, when=0.5), SyncJob[str])
        assert_type(own.continue_with(job, send, "ada@example.com", copies=job.output), SyncJob[str])
        assert_type(own.continue_with([job], send.call("ada@example.com"), on="finished"), SyncJob[str])


def from_code_that_is_not_async(client: SyncClient, context: JobContext) -> None:
    job = client.enqueue(send, "ada@example.com", subject="Hi")
    assert_type(job, SyncJob[str])
    assert_type(job.result(timeout=10), str)
    assert_type(client.enqueue_in(5, resize, "a.png", width=1), SyncJob[int])
    assert_type(client.enqueue_at(datetime.now(UTC), send.call("ada@example.com")), SyncJob[str])
    assert_type(client.enqueue_many([resize.call("a.png", 1)]), list[SyncJob[int]])
    assert_type(client.get("id", import_rows), SyncJob[list[int]] | None)
    assert_type(context.sync_client.enqueue(named_self, self="x", delay=1, when=0.5), SyncJob[str])


@dataclass
class State:
    greeting: str


@registry.lifespan
async def lifespan(client: Client) -> AsyncIterator[State]:
    yield State(f"hello from {await client.count('enqueued')}")


@asynccontextmanager
async def resources() -> AsyncGenerator[State]:
    yield State("hello")


@asynccontextmanager
async def resources_of(client: Client) -> AsyncGenerator[State]:
    async with resources() as state:
        yield state


async def bare() -> AsyncGenerator[int]:
    yield 1


@registry.middleware
async def timing(context: JobContext, call_next: CallNext) -> Any:
    state: State = context.state
    args, kwargs = context.arguments
    print(state.greeting, args[0], kwargs.get("subject"))
    return await call_next()


@registry.middleware
async def length(context: JobContext, call_next: CallNext, /) -> int:
    return len(await call_next())


@registry.enqueue_middleware
async def tag(context: EnqueueContext, call_next: CallNext) -> None:
    for job in context.jobs:
        assert_type(job, JobDraft)
        assert_type(job.call, Call[Any])
        args, kwargs = job.call.arguments()
        if job.queue == "default" and not kwargs:
            job.call = job.call.options(queue="bulk", priority=1)
        if job.name == send.name:
            job.call = send.call(args[0].lower())
    await call_next()


class Counter:
    async def __call__(self, context: EnqueueContext, call_next: CallNext) -> None:
        await call_next()

    async def around(self, context: JobContext, call_next: CallNext) -> list[Any]:
        return [await call_next()]


assert_type(send.call("ada@example.com").options(queue="mail"), Call[str])
registries = [
    Registry(lifespan=resources, middleware=[timing, Counter().around], enqueue_middleware=[tag, Counter()]),
    Registry(lifespan=resources_of, middleware=(timing,), queue="mail"),
    Registry(lifespan=bare),
    Registry(lifespan=lifespan),
]
SyncClient(registry=registry, middleware=[tag, Counter()])


async def read_the_state() -> str:
    state: State = current_context().state
    async with resources() as other, Client(middleware=[tag]):
        return state.greeting + other.greeting


@registry.process(context=True)
async def watch_the_state(context: ProcessContext) -> None:
    state: State = context.state
    print(state.greeting)


async def locks(client: Client, sync: SyncClient, context: JobContext) -> None:
    async with client.lock("ledger", ttl=timedelta(minutes=1), wait=10) as lock:
        assert_type(lock, Lock)
        assert_type(lock.token, int)
        assert_type(lock.remaining, timedelta)
        lock.check()
    by_hand = context.client.lock("ledger", wait=None)
    if await by_hand.acquire():
        await by_hand.release()
    with sync.lock("ledger", ttl=2.5, wait=0) as held, context.sync_client.lock("other"):
        assert_type(held, SyncLock)
        assert_type(held.lost, bool)
    assert_type(await client.locks(limit=5), list[LockInfo])
    assert_type(sync.get_lock("ledger"), LockInfo | None)
    assert_type(await client.break_lock("ledger"), bool)
    async with Redlock([client, client, client]) as redlock, redlock.lock("ledger", ttl=10) as lock:
        assert_type(lock, Lock)


async def work() -> None:
    async with Client("redis://localhost:6379/0", registry=registry) as client:
        async with Worker(
            registry, client, queues=["critical", "default"], concurrency=10, grace=5
        ) as worker:
            worker.stop()
        weights = {"critical": 3, "default": 1}
        await Worker(registry, client, queues=weights, retention=Retention(failed=timedelta(days=7))).run()
