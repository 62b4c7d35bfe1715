"""A database that each worker opens for its jobs, and middleware that tells times, tenants and wrong orders.

    python examples/middleware.py

It uses the Redis that ASYNCJOBS_REDIS names, else an embedded server.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from asyncjobs import CallNext, Client, EnqueueContext, JobContext, Registry, Worker, current_context
from asyncjobs.embedded import EmbeddedServer

registry = Registry()
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


@registry.lifespan
async def database() -> AsyncIterator[sqlite3.Connection]:
    """Opened by each worker before its first job, closed after its last."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE orders (tenant TEXT, item TEXT)")
    yield connection
    print("orders:", connection.execute("SELECT tenant, item FROM orders ORDER BY item").fetchall())
    connection.close()


@registry.enqueue_middleware
async def check(context: EnqueueContext, call_next: CallNext) -> None:
    """An error that it raises reaches who enqueues, and nothing is created; urgent calls get a priority."""
    for job in context.jobs:
        args, kwargs = job.call.arguments()
        if "poison" in args:
            raise PermissionError("we don't sell poison")
        if kwargs.get("urgent"):
            job.call = job.call.options(priority=10)
    await call_next()


@registry.middleware
async def tell_time(context: JobContext, call_next: CallNext) -> Any:
    """The outermost around every attempt."""
    began = time.perf_counter()
    try:
        return await call_next()
    finally:
        context.log(f"took {time.perf_counter() - began:.3f} s")


@registry.middleware
async def set_tenant(context: JobContext, call_next: CallNext) -> Any:
    """Whatever the job calls finds its tenant by a context variable."""
    args, _ = context.arguments
    tenant.set(str(args[0]))
    return await call_next()


@registry.job
async def order(customer: str, item: str, *, urgent: bool = False) -> int:
    return store(item)


def store(item: str) -> int:
    """Nobody has handed the database or the tenant down to here."""
    connection: sqlite3.Connection = current_context().state
    connection.execute("INSERT INTO orders VALUES (?, ?)", (tenant.get(), item))
    return len(item)


async def main() -> None:
    with redis_url() as url:
        async with Client(url, registry=registry) as client, Worker(registry, client):
            jobs = await client.enqueue_many(order.call("ada", item) for item in ("gears", "punch cards"))
            jobs.append(await client.enqueue(order, "grace", "moths", urgent=True))
            print("the last one's priority:", jobs[-1].priority)
            for job in jobs:
                await job.result(timeout=30)
            print("its log:", (await jobs[-1].logs())[0].text.partition(" ")[0])
            try:
                await client.enqueue(order, "lucrezia", "poison")
            except PermissionError as error:
                print("refused:", error)


@contextmanager
def redis_url() -> Generator[str]:
    if url := os.environ.get("ASYNCJOBS_REDIS"):
        yield url
    else:
        with EmbeddedServer() as server:
            yield server.url


if __name__ == "__main__":
    asyncio.run(main())
