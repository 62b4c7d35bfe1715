"""Being told that a lock was released: one inbox a client, for all its tasks that wait for locks."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time

from asyncjobs.errors import StorageError
from asyncjobs.ids import shard_for
from asyncjobs.storage.base import Storage

logger = logging.getLogger("asyncjobs.locks")

LOOK_AGAIN = 5.0
"""Seconds after which one of those that wait for a lock tries again without word of its release.

All that were told may have died, and nobody tells the next ones of a lock that nobody holds.
"""
SHORTEST_BLOCK = 0.1
"""Seconds that one read of the inbox waits at least; at most, it is until it is time to look again."""
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
        self._locks: dict[str, str] = {}
        self._readers: dict[int, asyncio.Task[None]] = {}

    def expect(self, token: str, lock: str) -> asyncio.Event:
        """What is set when a token is told. To be had before the storage learns that it waits for a lock."""
        self._locks[token] = lock
        return self._waiting.setdefault(token, asyncio.Event())

    def forget(self, token: str) -> None:
        """Nobody waits for word to this token any more."""
        self._waiting.pop(token, None)
        self._locks.pop(token, None)

    def read(self, shard: int) -> None:
        """Have a shard's inbox read while anybody waits."""
        reader = self._readers.get(shard)
        if reader is None or reader.done():
            self._readers[shard] = asyncio.create_task(self._deliver(shard), name=f"asyncjobs locks {shard}")

    async def _deliver(self, shard: int) -> None:
        failing = False
        look_at = time.monotonic() + LOOK_AGAIN
        while self._waiting:
            block = max(look_at - time.monotonic(), SHORTEST_BLOCK)
            try:
                async with asyncio.timeout(block + LATE):
                    tokens = await self._storage.receive(shard, self.id, block)
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
            is_time = time.monotonic() >= look_at
            if is_time:
                look_at = time.monotonic() + LOOK_AGAIN
            for token in tokens:
                if (told := self._waiting.get(token)) is not None:
                    told.set()
            if is_time or any(token not in self._waiting for token in tokens):
                # Word to one that is gone from here is for the next one.
                self._tell_first_of_each(shard)

    def _tell_first_of_each(self, shard: int) -> None:
        """Have one try for each lock of a shard: who has waited longest, and isn't told yet."""
        locks: set[str] = set()
        for token, told in self._waiting.items():
            lock = self._locks[token]
            if not told.is_set() and lock not in locks and shard_for(lock, self._storage.shards) == shard:
                locks.add(lock)
                told.set()

    async def close(self) -> None:
        """Stop reading."""
        readers = list(self._readers.values())
        self._readers.clear()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
