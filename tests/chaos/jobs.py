"""Jobs of every kind that ends well in the end."""

from __future__ import annotations

import asyncio
import time

from asyncjobs import JobContext, Registry, Retry
from tests.faults.ledger import ledger_of_test

QUEUES = ("default", "other", "third")

# However often chance hits the same one, it isn't to blame.
registry = Registry(max_recoveries=1_000_000, retry=Retry(max_retries=3, delay=0.05))


@registry.job(context=True)
async def brief(context: JobContext, seconds: float) -> int:
    ledger_of_test().write("start")
    await asyncio.sleep(seconds)
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True)
async def blocking(context: JobContext, seconds: float) -> int:
    """Hold up the event loop."""
    ledger_of_test().write("start")
    time.sleep(seconds)
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True)
def threaded(context: JobContext, seconds: float) -> int:
    ledger_of_test().write("start")
    time.sleep(seconds)
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True)
async def failing(context: JobContext, times: int) -> int:
    """Fail so many times first."""
    ledger_of_test().write("start")
    if context.failures < times:
        raise ValueError("not yet")
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True)
async def snoozing(context: JobContext, until: float) -> int:
    """Put itself off until a time."""
    ledger_of_test().write("start")
    if time.time() < until:
        context.snooze(0.1)
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True)
async def after_batch(context: JobContext, batch_id: str) -> int:
    """It begins only when all of the batch has succeeded."""
    ledger_of_test().write("start")
    batch = await context.client.batch_of(batch_id).refresh()
    if batch.state != "succeeded":
        raise AssertionError(f"{batch!r} hasn't succeeded: {batch.record}")
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True)
async def talking(context: JobContext, lines: int) -> int:
    """Log and report progress."""
    ledger_of_test().write("start")
    for line in range(lines):
        context.log("line", line)
        context.progress((line + 1) / lines)
        await asyncio.sleep(0)
    ledger_of_test().write("end")
    return context.attempt
