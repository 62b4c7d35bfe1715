"""A background process of which there is one in all workers, and what it tells of its life."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from asyncjobs import ProcessContext, Registry
from tests.faults.ledger import DIRECTORY_VARIABLE

TTL = 5
BEAT = 0.01

registry = Registry()


def tell(event: str, token: int | None) -> None:
    """Add a line of what happened when, by the clock that all processes of a machine share."""
    line = f"{event} {token} {os.getpid()} {time.monotonic()!r}\n"
    descriptor = os.open(
        Path(os.environ[DIRECTORY_VARIABLE]) / "turns", os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


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
