"""Mistakes of users: both type checkers must find one in each line marked so, and in no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncjobs import (
    CallNext,
    Client,
    EnqueueContext,
    Job,
    JobContext,
    ProcessContext,
    Redlock,
    Registry,
    Retry,
    SyncClient,
)

registry = Registry()
unknown_option = Registry(queues="default")  # error


@registry.job
async def send(to: str, *, subject: str = "") -> str:
    return to + subject


@registry.job
def resize(path: str, width: int) -> int:
    return len(path) * width


@registry.job(context=True)
async def import_rows(context: JobContext, path: str) -> list[int]:
    return [len(path)]


@registry.job(context=True)
def import_slowly(context: JobContext, path: str) -> bool:
    return bool(path)


@registry.external("billing.charge")
async def charge(account: str, cents: int) -> str:
    raise NotImplementedError


async def undeclared(to: str) -> None: ...


registry.job(queue=1)  # error
registry.job(retries=5)  # error
registry.job(retry=5)  # error
registry.job(timeout="30")  # error
registry.job(runs_in="fiber")  # error
registry.job(5)  # error
registry.external()  # error
registry.recurring("@daily", misfire="twice")  # error
registry.recurring("@daily", retries=5)  # error
registry.recurring("@daily", jitter="5")  # error
registry.recurring(5)  # error


def takes_a_number(number: int) -> None: ...


registry.job(context=True)(takes_a_number)  # error
Retry(max_retries="3")  # error
Retry(tries=3)  # error
Retry(on_exhausted="delete")  # error


@registry.process(context=True)
async def listen(context: ProcessContext) -> str:
    return context.name


async def takes_a_text(text: str) -> None: ...


def not_async() -> None: ...


registry.process(takes_a_text)  # error
registry.process(not_async)  # error
registry.process(every=1)(takes_a_text)  # error
registry.process(context=True)(takes_a_text)  # error
registry.process(scope="all")  # error
registry.process(every="5")  # error
registry.process(backoff=5)  # error
registry.process(retry=Retry())  # error


async def processes(client: Client) -> None:
    await client.enqueue(listen)  # error
    await listen()  # error


async def recur(client: Client) -> None:
    await client.recurring.put("nightly", "@daily", send)  # error
    await client.recurring.put("nightly", send.call("ada@example.com"))  # error
    await client.recurring.put("nightly", 5, send.call("ada@example.com"))  # error
    await client.recurring.put("nightly", "@daily", send.call("ada@example.com"), overlap="forbid")  # error
    await client.recurring.put("nightly", "@daily", send.call())  # error


async def enqueue(client: Client) -> None:
    await client.enqueue(send, 1)  # error
    await client.enqueue(send)  # error
    await client.enqueue(send, "a", "b")  # error
    await client.enqueue(send, "a", sujet="b")  # error
    await client.enqueue(send, "a", subject=b"b")  # error
    await client.enqueue(resize, "a.png")  # error
    await client.enqueue(resize, "a.png", "100")  # error
    await client.enqueue(charge, "acme", "100")  # error
    await client.enqueue(undeclared, "a")  # error
    await client.enqueue(send("a"))  # error


async def enqueue_with_a_context(client: Client, context: JobContext) -> None:
    await client.enqueue(import_rows, context, "rows.csv")  # error
    await client.enqueue(import_rows)  # error
    await client.enqueue(import_slowly, 5)  # error
    await client.enqueue(import_slowly, context, path="rows.csv")  # error


async def calls(client: Client) -> None:
    send.call(1)  # error
    send.call("a", sujet="b")  # error
    resize.call("a.png")  # error
    import_rows.call(5)  # error
    await client.enqueue(send.call("a"), "b")  # error
    await client.enqueue(send.call("a"), subject="b")  # error


async def options(client: Client) -> None:
    send.options(queue=1)  # error
    send.options(priority="high")  # error
    send.options(retries=3)  # error
    send.options(retry=Retry, timeout=1)  # error
    await client.enqueue(send.options(queue="bulk"), 1)  # error
    await client.enqueue(send.options(queue="bulk"), "a", queue="other")  # error


async def later(client: Client) -> None:
    await client.enqueue_in("5", send, "a")  # error
    await client.enqueue_in(5, send, 1)  # error
    await client.enqueue_in(timedelta(minutes=5), resize, "a.png")  # error
    await client.enqueue_in(send, "a")  # error
    await client.enqueue_at(timedelta(minutes=5), send, "a")  # error
    await client.enqueue_at(datetime.now(UTC), send, "a", when=1)  # error
    await client.enqueue_at(datetime.now(UTC), send.call(1))  # error


async def many(client: Client) -> None:
    await client.enqueue_many([send])  # error
    await client.enqueue_many(send.call("a"))  # error
    await client.enqueue_many([send("a")])  # error
    await client.enqueue_many(resize.call(path) for path in ["a.png"])  # error
    numbers: list[Job[int]] = await client.enqueue_many([send.call("a")])  # error
    print(numbers)


async def results(client: Client, job_id: str) -> None:
    job = await client.enqueue(send, "a")
    number: int = await job.result()  # error
    other: Job[int] = job  # error
    found: Job[int] | None = await client.get(job_id, send)  # error
    rows: list[str] = await (await client.enqueue(import_rows, "rows.csv")).result()  # error
    length = len(await (await client.enqueue(resize, "a.png", 1)).result())  # error
    maybe = await client.get(job_id, send)
    await maybe.result()  # error
    await job.result(timeout="10")  # error
    await client.get(job_id, undeclared)  # error
    await client.cancel(job)  # error
    print(number, other, found, rows, length)


async def continue_with(client: Client) -> None:
    job = await client.enqueue(resize, "a.png", 1)
    await client.continue_with(job, send, 1)  # error
    await client.continue_with(job, send)  # error
    await client.continue_with(job, send, job.output)  # error
    await client.continue_with(job, send.call(job.output))  # error
    await client.continue_with([job], resize, "a.png", [job.output])  # error
    await client.continue_with(job, send, "a", on="failed")  # error
    await client.continue_with(job, send, "a", on_parent_failed="cancel")  # error
    await client.continue_with(job, send.call("a"), on="deleted")  # error
    await client.continue_with(job, send.call("a"), on_parent_failed="run")  # error
    await client.continue_with(job, send.call("a"), "b")  # error
    await client.continue_with(job.id, send, "a")  # error
    await client.continue_with([job.id], send, "a")  # error
    await client.continue_with(send, "a")  # error
    await client.continue_with(job, undeclared, "a")  # error
    await client.chain(send)  # error
    await client.chain([send.call("a")])  # error
    number: Job[int] = await client.continue_with(job, send, "a")  # error
    job.output.upper()  # error
    print(number)


async def batches(client: Client, context: JobContext) -> None:
    async with client.batch(5) as numbered:  # error
        print(numbered)
    async with client.batch("import") as batch:
        batch.enqueue(send, 1)  # error
        batch.enqueue(send)  # error
        batch.enqueue(send, "a", on="failed")  # error
        batch.enqueue(send.call("a"), queue="bulk")  # error
        batch.enqueue_in("5", send, "a")  # error
        batch.enqueue_many([send])  # error
        job = batch.enqueue(resize, "a.png", 1)
        await job  # error
        batch.continue_with(job, send, job.output)  # error
        batch.continue_with(job, send, "a", on="failed")  # error
        with batch.batch("inner") as inner:
            inner.enqueue(resize, "a.png", "1")  # error
        number: Job[str] = job  # error
        print(number)
    with client.batch("import"):  # error
        pass
    stored = await client.get_batch(batch.id)
    await stored.wait()  # error
    if stored is not None:
        await stored.enqueue(send, 1)  # error
        await stored.enqueue_many(send.call("a"))  # error
        await stored.wait(timeout="10")  # error
        await stored.enqueue_in("5", send, "a")  # error
        await stored.enqueue_in(5, send)  # error
        await stored.enqueue_at(5, send, "a")  # error
        await stored.continue_with(job, send, job.output)  # error
        await stored.continue_with(job, send, "a", on="failed")  # error
        await stored.continue_with(job, send.call("a"), on="never")  # error
        await stored.continue_with(job.id, send, "a")  # error
    await context.batch.enqueue(send, "a")  # error


def workflows_from_code_that_is_not_async(client: SyncClient) -> None:
    job = client.enqueue(resize, "a.png", 1)
    client.continue_with(job, send, job.output)  # error
    client.continue_with(job, send, "a", on="failed")  # error
    client.continue_with(job, send.call("a"), on="never")  # error
    client.chain(send)  # error
    with client.batch("import") as batch:
        batch.enqueue(send, 1)  # error
    client.get_batch(batch)  # error
    stored = client.batch_of(batch.id)
    stored.enqueue_in("5", send, "a")  # error
    stored.enqueue_at(5, send, "a")  # error
    stored.continue_with(job, send, job.output)  # error
    stored.continue_with(job, send, "a", on="failed")  # error
    stored.continue_with(job, send.call("a"), on="never")  # error
    number: int = client.continue_with(job, send, "a").result()  # error
    print(number)


def from_code_that_is_not_async(client: SyncClient) -> None:
    client.enqueue(send, 1)  # error
    client.enqueue(send)  # error
    client.enqueue_in(5, resize, "a.png", "100")  # error
    number: int = client.enqueue(send, "a").result()  # error
    client.enqueue_many([send])  # error
    print(number)


async def plain(context: JobContext) -> None:
    number: int = resize(1, 2)  # error
    text: int = await send("a")  # error
    await import_rows("rows.csv")  # error
    import_slowly(context)  # error
    context.progress("half")  # error
    context.attempt = 2  # error
    print(number, text)


async def around_a_run(context: JobContext, call_next: CallNext) -> Any:
    return await call_next(context)  # error


async def around_an_enqueue(context: EnqueueContext, call_next: CallNext) -> None:
    context.jobs[0].call = send.call(1)  # error
    context.jobs[0].call = send  # error
    context.jobs[0].queue = "bulk"  # error
    context.jobs[0].call = context.jobs[0].call.options(queues="bulk")  # error
    await call_next()


def not_a_coroutine(context: JobContext, call_next: CallNext) -> int:
    return 1


async def too_few(context: JobContext) -> None: ...


async def never_yields() -> None: ...


async def of_settings(settings: str) -> AsyncIterator[None]:
    yield


def plain_generator() -> Iterator[None]:
    yield


registry.middleware(around_an_enqueue)  # error
registry.middleware(not_a_coroutine)  # error
registry.middleware(too_few)  # error
registry.enqueue_middleware(around_a_run)  # error
Registry(middleware=around_a_run)  # error
Registry(middleware=[around_an_enqueue])  # error
Registry(enqueue_middleware=[around_a_run])  # error
Client(middleware=[around_a_run])  # error
SyncClient(middleware=[not_a_coroutine])  # error
registry.lifespan(never_yields)  # error
registry.lifespan(of_settings)  # error
registry.lifespan(plain_generator)  # error
Registry(lifespan=never_yields)  # error


async def locks(client: Client, sync: SyncClient) -> None:
    client.lock()  # error
    client.lock(5)  # error
    client.lock("ledger", 30)  # error
    client.lock("ledger", ttl="30")  # error
    client.lock("ledger", timeout=5)  # error
    with client.lock("ledger"):  # error
        pass
    async with sync.lock("ledger"):  # error
        pass
    Redlock(client)  # error
    Redlock(["redis://localhost"])  # error
