"""A background process of which there is one in all workers, and what it tells of its life."""

from __future__ import annotations

import asyncio

from asyncjobs import ProcessContext, Registry
from tests.faults.turns import tell

TTL = 5
BEAT = 0.01

registry = Registry()


@registry.process(name="standing", scope="cluster", ttl=TTL, context=True)
async def standing(context: ProcessContext) -> None:
    """Show every few milliseconds that it runs."""
    tell("start", context.token)
    try:
        while True:
            tell("runs", context.token)
            await asyncio.sleep(BEAT)
    finally:
        tell("stop", context.token)
