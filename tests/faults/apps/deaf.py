"""A background process that can't be stopped."""

from __future__ import annotations

import asyncio

from asyncjobs import Registry

registry = Registry()


@registry.process(name="deaf")
async def deaf() -> None:
    """Go on for ever."""
    print("can't hear you", flush=True)
    while True:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            continue
