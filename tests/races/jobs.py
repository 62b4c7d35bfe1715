"""Jobs that many race to make, or to run."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from asyncjobs import Limit, Registry, Unique
from tests.faults.ledger import ledger_of_test

PERIOD = timedelta(milliseconds=150)
SLOTS = 10
TENANT_SLOTS = 2
registry = Registry()


@registry.job(name="finished", unique="{key}")
async def until_finished(key: str, call: str) -> None:
    begin(call)
    await asyncio.sleep(0.01)
    end()


@registry.job(name="started", unique=Unique("{key}", until="started"))
async def until_started(key: str, call: str) -> None:
    begin(call)
    await asyncio.sleep(0.01)
    end()


@registry.job(name="period", unique=Unique("{key}", until=PERIOD))
async def for_a_period(key: str, call: str) -> None:
    begin(call)
    await asyncio.sleep(0.0)
    end()


@registry.job(name="replacing", unique=Unique("{key}", on_conflict="replace"))
async def replacing(key: str, call: str) -> None:
    begin(call)
    await asyncio.sleep(0.01)
    end()


@registry.job(name="exclusive", mutex="{key}")
async def exclusive(key: str) -> None:
    begin(key)
    await asyncio.sleep(0.002)
    end()


@registry.job(name="slotted", limits=[Limit("slots", concurrency=SLOTS)])
async def slotted() -> None:
    begin("")
    await asyncio.sleep(0.01)
    end()


@registry.job(name="of_tenant", limits=[Limit("tenant", concurrency=TENANT_SLOTS, key="{tenant}")])
async def of_tenant(tenant: str) -> None:
    begin(tenant)
    await asyncio.sleep(0.005)
    end()


def begin(what: str) -> None:
    ledger_of_test().write("start")
    ledger_of_test().write(f"call={what}")


def end() -> None:
    ledger_of_test().write("end")
