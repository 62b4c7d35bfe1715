"""Which background processes run in one worker only, and who holds their locks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from asyncjobs import Client
from asyncjobs.locks import RESERVED
from asyncjobs.monitoring import LockInfo

AT_ONCE = 10
"""Locks that are asked for at the same time: each takes a connection."""


class ProcessLocks:
    """Reads locks when a page asks, and for everybody who looks: not before `seconds` are over again."""

    def __init__(self, client: Client, seconds: float) -> None:
        self._client = client
        self._seconds = seconds
        self._known: dict[str, tuple[float, LockInfo | None]] = {}
        self._reading = asyncio.Lock()

    async def held(self, names: Sequence[str]) -> dict[str, LockInfo]:
        """By the processes' names, the locks that are held. Raises `StorageError`.

        Of a process that the registry declares for every worker nothing is asked.
        """
        wanted = [name for name in names if self.scope(name) != "worker"]
        async with self._reading:
            now = time.monotonic()
            self._known = {name: each for name, each in self._known.items() if now - each[0] < self._seconds}
            unknown = [name for name in wanted if name not in self._known]
            for start in range(0, len(unknown), AT_ONCE):
                part = unknown[start : start + AT_ONCE]
                found = await asyncio.gather(*(self._client.get_lock(f"{RESERVED}{name}") for name in part))
                self._known.update((name, (now, lock)) for name, lock in zip(part, found, strict=True))
            return {name: lock for name in wanted if (lock := self._known[name][1]) is not None}

    def scope(self, name: str) -> str:
        """What the dashboard's registry says of a process; "" of one that it doesn't know."""
        registry = self._client.registry
        declared = [] if registry is None else registry.processes()
        return next((process.options.scope for process in declared if process.name == name), "")
