"""Under which ids a worker is known. None is used twice: who was taken for dead comes back under another."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable

from asyncjobs.errors import StorageError, StorageUnavailable
from asyncjobs.storage.base import Storage

logger = logging.getLogger("asyncjobs.worker")


class Registration:
    """Registers a worker on a shard. `info` gives what it says of itself."""

    def __init__(self, storage: Storage, lease_ms: int, info: Callable[[], dict[str, object]]) -> None:
        self._storage = storage
        self._lease_ms = lease_ms
        self._info = info
        self._nonce = secrets.token_hex(4)
        self._registered: set[int] = set()
        self.on_register: Callable[[str], None] | None = None
        """Is told each id before it is used."""
        self.persists = False
        """True: it has begun, so a storage that refuses is asked again and again; False: that raises."""

    async def register(self, shard: int) -> str:
        """Register on a shard, however long it takes; the id."""
        worker = f"{socket.gethostname().split('.')[0][:16]}-{os.getpid()}-{self._incarnation(shard)}"
        if self.on_register is not None:
            self.on_register(worker)
        while True:
            try:
                await self._storage.register(shard, worker, self._info(), self._lease_ms)
            except StorageError as error:
                if not self.persists and not isinstance(error, StorageUnavailable):
                    raise
                logger.warning("can't register: %s; trying again", error)
                await asyncio.sleep(1)
            else:
                return worker

    def _incarnation(self, shard: int) -> str:
        """The part of its id that is never used twice; the same on all shards, until one took it for dead."""
        if shard in self._registered:
            self._nonce = secrets.token_hex(4)
            self._registered.clear()
        self._registered.add(shard)
        return self._nonce
