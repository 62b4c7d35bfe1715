"""Jobs that note each of their runs in the test's ledger."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from asyncjobs import JobContext, Registry, Retry
from tests.faults.ledger import ledger_of_test

registry = Registry(retry=Retry(max_retries=0))


@registry.job(context=True)
async def brief(context: JobContext, seconds: float = 0.0) -> int:
    """Take some time; its result is its attempt."""
    ledger = ledger_of_test()
    ledger.write("start")
    await asyncio.sleep(seconds)
    ledger.write("end")
    return context.attempt


@registry.job(context=True)
async def slow_at_first(context: JobContext, seconds: float) -> int:
    """Take some time when run for the first time, and none when run again."""
    ledger = ledger_of_test()
    ledger.write("start")
    if context.attempt == 1:
        await asyncio.sleep(seconds)
    ledger.write("end")
    return context.attempt


@registry.job(context=True)
async def gated(context: JobContext, gate: str) -> int:
    """Wait until the test opens a gate."""
    ledger = ledger_of_test()
    ledger.write("start")
    await ledger.wait_at(gate)
    ledger.write("end")
    return context.attempt


@registry.job(context=True)
async def gated_at_first(context: JobContext, gate: str) -> int:
    """Wait at a gate when run for the first time only."""
    ledger = ledger_of_test()
    ledger.write("start")
    if context.attempt == 1:
        await ledger.wait_at(gate)
    ledger.write("end")
    return context.attempt


@registry.job(context=True)
async def holding_at_first(context: JobContext, gate: str) -> int:
    """Hold up the whole event loop at a gate when run for the first time only."""
    ledger = ledger_of_test()
    ledger.write("start")
    while context.attempt == 1 and not ledger.is_open(gate):
        time.sleep(0.01)
    ledger.write("end")
    return context.attempt


@registry.job(context=True)
async def blocking(context: JobContext, seconds: float) -> int:
    """Hold up the whole event loop."""
    ledger = ledger_of_test()
    ledger.write("start")
    time.sleep(seconds)
    ledger.write("end")
    return context.attempt


@registry.job(context=True)
async def blocking_at_first(context: JobContext, seconds: float) -> int:
    """Hold up the whole event loop when run for the first time only."""
    ledger = ledger_of_test()
    ledger.write("start")
    if context.attempt == 1:
        time.sleep(seconds)
    ledger.write("end")
    return context.attempt


@registry.job
async def deadly() -> None:
    """Kill the worker, each time."""
    ledger_of_test().write("start")
    os.kill(os.getpid(), signal.SIGKILL)


@registry.job
async def silent() -> None:
    """Note nothing."""


@registry.job
async def heavy(blob: bytes) -> None:
    """Have large arguments."""
    ledger = ledger_of_test()
    ledger.write("start")
    ledger.write("end")


@registry.job
async def failing() -> None:
    """Fail, without a retry."""
    ledger_of_test().write("start")
    raise ValueError("as it was told")


@registry.job
async def gated_failing(gate: str) -> None:
    """Wait at a gate, and fail then."""
    ledger = ledger_of_test()
    ledger.write("start")
    await ledger.wait_at(gate)
    raise ValueError("as it was told")
