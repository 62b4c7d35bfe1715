"""A process that holds a lock whenever it can, on one server or on several, and tells of its turns.

`python -m tests.faults.apps.holding TTL URL [URL…]`
"""

from __future__ import annotations

import asyncio
import logging
import sys

from asyncjobs import Client, Lock, Redlock
from asyncjobs.errors import LockLost, StorageError
from tests.faults.turns import tell

NAME = "ledger"
BEAT = 0.01


async def hold(lock: Lock) -> None:
    """Show every few milliseconds that it is held."""
    try:
        async with lock:
            tell("start", lock.token)
            try:
                while True:
                    tell("runs", lock.token)
                    await asyncio.sleep(BEAT)
            finally:
                tell("stop", lock.token)
    except LockLost:
        tell("lost", lock.token)
    except StorageError as error:
        logging.getLogger(__name__).warning("can't get it: %s", error)
        await asyncio.sleep(BEAT)


async def main(ttl: float, urls: list[str]) -> None:
    clients = [Client(url) for url in urls]
    logging.basicConfig(level=logging.INFO)
    while True:
        if len(clients) == 1:
            await hold(clients[0].lock(NAME, ttl=ttl))
        else:
            await hold(Redlock(clients).lock(NAME, ttl=ttl))


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), sys.argv[2:]))
