"""Jobs of every kind that ends well in the end."""

from __future__ import annotations

import asyncio
import time

from asyncjobs import JobContext, Limit, Registry, Retry, Unique
from tests.faults.ledger import ledger_of_test

QUEUES = ("default", "other", "third")
SLOTS = 4

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


@registry.job(context=True, limits=[Limit("slots", concurrency=SLOTS)])
async def slotted(context: JobContext, seconds: float) -> int:
    """Few of them run at once."""
    ledger_of_test().write("start")
    await asyncio.sleep(seconds)
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True, mutex="{key}")
async def exclusive(context: JobContext, key: str, seconds: float) -> int:
    """One of each key at a time."""
    ledger_of_test().write("start")
    await asyncio.sleep(seconds)
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True, limits=[Limit("rate", rate=20, per=0.25)])
async def rated(context: JobContext) -> int:
    """Not too many of them in a short time."""
    ledger_of_test().write("start")
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True, unique="{key}")
async def unique(context: JobContext, key: str, seconds: float) -> int:
    """There is one of each key at a time."""
    ledger_of_test().write("start")
    await asyncio.sleep(seconds)
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True, unique=Unique("last {key}", on_conflict="replace"))
async def replacing(context: JobContext, key: str, seconds: float) -> int:
    """It takes the place of one that waits."""
    ledger_of_test().write("start")
    await asyncio.sleep(seconds)
    ledger_of_test().write("end")
    return context.attempt


@registry.job(context=True, expires=0.3)
async def expiring(context: JobContext) -> int:
    """It isn't worth running too late."""
    ledger_of_test().write("start")
    ledger_of_test().write("end")
    return context.attempt
