"""Holding a lock: getting it, keeping it by renewing it, and knowing in time that it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable

from asyncjobs.errors import StorageError
from asyncjobs.ids import shard_for
from asyncjobs.storage.base import Storage

logger = logging.getLogger("asyncjobs.locks")

RENEWED_AFTER = 0.25
"""The part of its time after which a lock is renewed, and for which the answer is waited for."""
LOST_AFTER = 0.8
"""The part of its time after which a lock that couldn't be renewed counts as lost.

The rest is for what it protects to come to an end, and for clocks that don't run equally fast.
"""
RETRY_DELAY = 0.1
"""Seconds between two tries to renew while the storage can't be reached."""
LONGEST_WAIT = 60.0
"""Seconds after which a lock is tried again though no word of its release came: that may have been lost.

Well below `storage.locks.WAITER_MS`, after which it would lose its place.
"""
LATE = 0.5
"""Seconds by which the word that nobody released a lock may be late: then the connection is to blame."""


class LockHold:
    """A claim to one lock by one holder, which can be held more than once.

    `lost` is called, on the event loop, as soon as the lock can't be relied on any more: when a renewal is
    refused, or `LOST_AFTER` of its time after the last renewal that was answered was sent. That is before
    anybody else can have it, as long as the event loop runs.
    """

    def __init__(self, storage: Storage, name: str, ttl_ms: int, lost: Callable[[], None]) -> None:
        self.name = name
        self.held = False
        """Whether it can be relied on."""
        self.number = 0
        """The fencing number, since it was acquired."""
        self._storage = storage
        self._ttl_ms = ttl_ms
        self._ttl = ttl_ms / 1000
        self._lost = lost
        self._token = secrets.token_hex(8)
        self._loop = asyncio.get_running_loop()
        self._renewed = 0.0
        self._left = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self) -> bool:
        """Try once to get it; if another holds it, be told when that releases it. Raises `StorageError`."""
        sent = self._loop.time()
        reply = await self._storage.acquire_lock(self.name, self._token, self._ttl_ms, self._token)
        self._left = reply.left_ms / 1000
        if not reply.number:
            return False
        self.number = reply.number
        self.held = True
        self._count_from(sent)
        if not self.held:
            # The answer took longer than the lock's time.
            self._left = 0.0
        return self.held

    async def wait(self) -> None:
        """After `acquire` was refused, wait until it is worth another try. Raises `StorageError`.

        Others may have been told as well: it may be refused again, and keeps its place then.
        """
        shard = shard_for(self.name, self._storage.shards)
        seconds = min(self._left, LONGEST_WAIT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds + LATE):
                await self._storage.receive(shard, self._token, seconds)

    async def keep(self) -> None:
        """Renew it, until it is lost or this is cancelled."""
        failing = False
        while self.held:
            await asyncio.sleep(self._renewed + self._ttl * RENEWED_AFTER - self._loop.time())
            try:
                # An answer that doesn't come may be the connection's fault: the next try has another one.
                async with asyncio.timeout(self._ttl * RENEWED_AFTER):
                    renewed = await self.renew()
            except (StorageError, TimeoutError) as error:
                if not failing:
                    why = str(error) or "no answer in time"
                    logger.warning("lock %s can't be renewed: %s; trying again", self.name, why)
                failing = True
                await asyncio.sleep(RETRY_DELAY)
            else:
                failing = False
                if not renewed:
                    self._lose()

    async def renew(self) -> bool:
        """Renew it once; False if it is another's by now. Raises `StorageError`."""
        sent = self._loop.time()
        renewed = await self._storage.renew_lock(self.name, self._token, self._ttl_ms)
        if renewed and self.held:
            self._count_from(sent)
        return renewed

    async def release(self) -> None:
        """Let go of it, or of the place among those who wait for it. Raises `StorageError`."""
        self.held = False
        self._stop_counting()
        await self._storage.release_lock(self.name, self._token, self._token)

    def forget(self) -> None:
        """Let its time run out instead of releasing it."""
        self.held = False
        self._stop_counting()

    def _count_from(self, sent: float) -> None:
        """Count its time from when that was asked for, which is before the storage began to."""
        self._renewed = sent
        self._stop_counting()
        deadline = sent + self._ttl * LOST_AFTER
        if deadline <= self._loop.time():
            self._lose()
        else:
            self._timer = self._loop.call_at(deadline, self._lose)

    def _stop_counting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _lose(self) -> None:
        if self.held:
            self.forget()
            self._lost()
