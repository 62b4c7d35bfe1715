"""Jobs under limits and with unique keys, that note each of their runs in the test's ledger."""

from __future__ import annotations

import asyncio

from asyncjobs import JobContext, Limit, Registry, Retry, Unique
from tests.faults.ledger import ledger_of_test

SLOTS = 3
RATE = 5
PER = 0.5
registry = Registry(retry=Retry(max_retries=0), max_recoveries=1_000_000)
slots = Limit("slots", concurrency=SLOTS)


@registry.job(context=True, limits=[slots])
async def slotted(context: JobContext, seconds: float = 0.0) -> int:
    """Take some time; its result is its attempt."""
    ledger = ledger_of_test()
    ledger.write("start")
    await asyncio.sleep(seconds)
    ledger.write("end")
    return context.attempt


@registry.job(context=True, limits=[slots], mutex="{key}")
async def exclusive(context: JobContext, key: str, seconds: float = 0.0) -> int:
    """The same under two limits."""
    ledger = ledger_of_test()
    ledger.write("start")
    await asyncio.sleep(seconds)
    ledger.write("end")
    return context.attempt


@registry.job(context=True, limits=[slots])
async def slotted_at_gate(context: JobContext, gate: str) -> int:
    """Wait at a gate when run for the first time only."""
    ledger = ledger_of_test()
    ledger.write("start")
    if context.attempt == 1:
        await ledger.wait_at(gate)
    ledger.write("end")
    return context.attempt


@registry.job(context=True, limits=[Limit("rate", rate=RATE, per=PER)])
async def rated(context: JobContext, seconds: float = 0.0) -> int:
    """Note also when it was let run, by Redis' clock."""
    ledger = ledger_of_test()
    ledger.write("start")
    job = await context.client.get(context.id)
    assert job is not None
    assert job.attempt == context.attempt
    ledger.write(f"granted={job.record.started_ms}")
    await asyncio.sleep(seconds)
    ledger.write("end")
    return context.attempt


@registry.job(context=True, unique="{key}")
async def unique_at_gate(context: JobContext, key: str, gate: str) -> int:
    """Wait at a gate when run for the first time only."""
    ledger = ledger_of_test()
    ledger.write("start")
    if context.attempt == 1:
        await ledger.wait_at(gate)
    ledger.write("end")
    return context.attempt


@registry.job(context=True, unique="{key}")
async def unique(context: JobContext, key: str, seconds: float = 0.0) -> int:
    """Take some time."""
    ledger = ledger_of_test()
    ledger.write("start")
    await asyncio.sleep(seconds)
    ledger.write("end")
    return context.attempt


@registry.job(context=True, unique=Unique("{key}", until="started", on_conflict="replace"))
async def replacing(context: JobContext, key: str, number: int) -> int:
    """Note its argument."""
    ledger_of_test().write(f"start={number}")
    return number
