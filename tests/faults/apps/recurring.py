"""A job that recurs often, and notes each of its runs in the test's ledger."""

from __future__ import annotations

from asyncjobs import Registry, Retry
from tests.faults.ledger import ledger_of_test

STEP = 0.5
"""Seconds between two occurrences."""
registry = Registry(retry=Retry(max_retries=0))


# On a machine that is too busy to fire them in time, all are made up for.
@registry.recurring(every=STEP, id="tick", misfire="all")
async def tick() -> None:
    """Note a run."""
    ledger = ledger_of_test()
    ledger.write("start")
    ledger.write("end")
