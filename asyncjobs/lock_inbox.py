"""Being told that a lock was released: one inbox a client, for all its tasks that wait for locks."""

from __future__ import annotations

import asyncio
import logging
import secrets

from asyncjobs.errors import StorageError
from asyncjobs.storage.base import Storage

logger = logging.getLogger("asyncjobs.locks")

BLOCK = 5.0
"""Seconds that one read of the inbox waits."""
LATE = 0.5
"""Seconds by which the word that nothing came may be late: then the connection is to blame."""
RETRY_DELAY = 1.0
"""Seconds between two tries to read while the storage can't be reached."""


class LockInbox:
    """Tells those that wait for locks, by their tokens, when it is worth another try.

    A word can be lost with a connection, so whoever waits tries again in the end without it.
    """

    def __init__(self, storage: Storage) -> None:
        self.id = secrets.token_hex(8)
        """What the storage knows it by."""
        self._storage = storage
        self._waiting: dict[str, asyncio.Event] = {}
        self._readers: dict[int, asyncio.Task[None]] = {}

    def expect(self, token: str) -> asyncio.Event:
        """What is set when a token is told. To be had before the storage learns that it waits."""
        return self._waiting.setdefault(token, asyncio.Event())

    def forget(self, token: str) -> None:
        """Nobody waits for word to this token any more."""
        self._waiting.pop(token, None)

    def read(self, shard: int) -> None:
        """Have a shard's inbox read while anybody waits."""
        reader = self._readers.get(shard)
        if reader is None or reader.done():
            self._readers[shard] = asyncio.create_task(self._deliver(shard), name=f"asyncjobs locks {shard}")

    async def _deliver(self, shard: int) -> None:
        failing = False
        while self._waiting:
            try:
                async with asyncio.timeout(BLOCK + LATE):
                    tokens = await self._storage.receive(shard, self.id, BLOCK)
            except TimeoutError:
                # Something may have been said, and lost with the connection.
                tokens = list(self._waiting)
            except StorageError as error:
                if not failing:
                    logger.warning("can't hear of locks that are released: %s; trying again", error)
                failing = True
                await asyncio.sleep(RETRY_DELAY)
                tokens = list(self._waiting)
            else:
                failing = False
            for token in tokens:
                if (told := self._waiting.get(token)) is not None:
                    told.set()

    async def close(self) -> None:
        """Stop reading."""
        readers = list(self._readers.values())
        self._readers.clear()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
