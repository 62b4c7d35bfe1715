"""What some worker has to do for all: take back the jobs of dead workers, carry on what is under way, remove
what is old.

Step functions, and a loop.
"""

from __future__ import annotations

import asyncio
import logging
import random

from asyncjobs.errors import StorageError
from asyncjobs.storage.base import Retention, Storage

logger = logging.getLogger("asyncjobs.worker")

TRIM_EVERY = 10.0
"""Seconds between two looks for jobs past their retention."""
TRIM_LIMIT = 500
"""Jobs that one step removes."""


class Maintenance:
    """The chores of a worker."""

    def __init__(self, storage: Storage, retention: Retention) -> None:
        self._storage = storage
        self._retention = retention
        self._expired: set[int] = set()
        self._follow_ups: set[int] = set()
        self._wanted = asyncio.Event()

    def reap_soon(self, shard: int) -> None:
        """A heartbeat said that somebody's lease on a shard has run out."""
        self._expired.add(shard)
        self._wanted.set()

    def carry_on_soon(self, shard: int) -> None:
        """There is work on a shard that one step was too short for."""
        self._follow_ups.add(shard)
        self._wanted.set()

    async def _reap(self) -> None:
        while self._expired:
            await reap_once(self._storage, self._expired.pop())

    async def _carry_on(self) -> None:
        while self._follow_ups:
            shard = self._follow_ups.pop()
            while await self._storage.carry_on(shard):
                await self._reap()

    async def run(self) -> None:
        """Do what is to be done, until cancelled."""
        next_trim = asyncio.get_running_loop().time() + random.uniform(0, TRIM_EVERY)
        while True:
            left = next_trim - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(max(left, 0)):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            try:
                await self._reap()
                await self._carry_on()
                if asyncio.get_running_loop().time() >= next_trim:
                    next_trim = asyncio.get_running_loop().time() + TRIM_EVERY * random.uniform(0.8, 1.2)
                    for shard in range(self._storage.shards):
                        while await self._storage.sweep_batches(shard):
                            await self._reap()
                        while await self._storage.trim(shard, self._retention, TRIM_LIMIT):
                            await self._reap()
                            await self._carry_on()
            except StorageError as error:
                logger.warning("maintenance: %s", error)
                await asyncio.sleep(1)


async def reap_once(storage: Storage, shard: int, worker: str | None = None) -> int:
    """Take back all jobs of workers whose lease has run out, or of `worker`, known dead; how many."""
    taken = 0
    more = True
    while more:
        reply = await storage.reap(shard, worker)
        more = reply.more
        taken += len(reply.recovered) + len(reply.failed) + len(reply.cancelled)
        if reply.recovered:
            logger.warning(
                "%d jobs of a dead worker are back in their queues: %s",
                len(reply.recovered),
                _some(reply.recovered),
            )
        if reply.failed:
            logger.error("jobs failed because their workers kept dying over them: %s", _some(reply.failed))
        if reply.cancelled:
            logger.info("cancelled jobs of a dead worker: %s", _some(reply.cancelled))
    return taken


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
