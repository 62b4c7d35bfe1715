"""Jobs of workflows, that note their runs in the test's ledger."""

from __future__ import annotations

import asyncio

from asyncjobs import JobContext, Registry, Retry
from tests.faults.ledger import ledger_of_test

registry = Registry(retry=Retry(max_retries=0))


@registry.job(context=True)
async def node(context: JobContext, seconds: float, failures: int, results: list[str]) -> str:
    """Take some time, and fail in so many first attempts; its result is its id."""
    ledger = ledger_of_test()
    ledger.write("start")
    await asyncio.sleep(seconds)
    if context.attempt <= failures:
        raise ValueError("as it was told")
    # Each of them is the id of a parent, so that it is seen to have come from there.
    ledger.write("+".join(["took", *results]))
    ledger.write("end")
    return context.id


@registry.job(context=True)
async def split(context: JobContext, seconds: float, depth: int) -> None:
    """Add two jobs like itself to its batch, so deep."""
    ledger = ledger_of_test()
    ledger.write("start")
    await asyncio.sleep(seconds)
    batch = context.batch
    # A run that follows a lost one adds nothing: how many there are in all stays known.
    if depth and context.attempt == 1 and batch is not None:
        await batch.enqueue_many(split.call(seconds, depth - 1) for _ in range(2))
    ledger.write("end")
