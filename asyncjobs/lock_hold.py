"""Holding a lock: getting it, keeping it by renewing it, and knowing in time that it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from asyncjobs.errors import StorageError
from asyncjobs.ids import shard_for
from asyncjobs.lock_inbox import LockInbox
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


def new_token() -> str:
    """A token that no other holder ever uses, and that says to people whose it is."""
    host = "".join(
        letter for letter in socket.gethostname().split(".")[0][:16] if letter.isalnum() or letter == "-"
    )
    return f"{host}-{os.getpid()}-{secrets.token_hex(8)}"


class Hold(ABC):
    """A claim to one lock by one holder: what is common to all kinds of locks.

    `lost` is called, on the event loop, as soon as the lock can't be relied on any more: when a renewal is
    refused, or `LOST_AFTER` of its time after the last renewal that was answered was sent. That is before
    anybody else can have it, as long as the event loop runs.
    """

    def __init__(self, name: str, ttl_ms: int, lost: Callable[[], None]) -> None:
        self.name = name
        self.held = False
        """Whether it can be relied on, as far as the loop knows; it may have stood still: see `remaining`."""
        self.number = 0
        """The fencing number, since it was acquired."""
        self.why_lost = ""
        self.why_refused = "there was no answer in time"
        self.pending = False
        """Whether there may be something to release."""
        self._ttl_ms = ttl_ms
        self._ttl = ttl_ms / 1000
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._renewed = 0.0
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def remaining(self) -> float:
        """Seconds for which it can be relied on unless it is renewed; 0 if it can't. From any thread."""
        return max(0.0, self._deadline - time.monotonic()) if self.held else 0.0

    @abstractmethod
    async def acquire(self) -> bool:
        """Try once to get it. Raises `StorageError`."""

    @abstractmethod
    async def wait(self) -> None:
        """After `acquire` was refused, wait until it is worth another try. Raises `StorageError`."""

    @abstractmethod
    async def renew(self) -> bool:
        """Renew it once; False if it is certain that it isn't held any more. Raises `StorageError`."""

    @abstractmethod
    async def release(self) -> None:
        """Let go of it, or of the place among those who wait for it. Raises `StorageError`."""

    async def keep(self) -> None:
        """Renew it, until it is lost or this is cancelled."""
        failing = False
        while self.held:
            await asyncio.sleep(self._renewed + self._ttl * RENEWED_AFTER - time.monotonic())
            if not self.held:
                break
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
                    self._lose("it ran out, or was released by hand, and may be another's by now")

    def forget(self) -> None:
        """Let its time run out instead of releasing it."""
        self.held = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _count_from(self, sent: float) -> None:
        """Count its time from when that was asked for, which is before the storage began to."""
        self._renewed = sent
        self._deadline = sent + self._ttl * LOST_AFTER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._time_out()

    def _time_out(self) -> None:
        # Not by the loop's own time, which some loops look at only once a round.
        left = self._deadline - time.monotonic()
        if left > 0:
            self._timer = self._loop.call_later(left, self._time_out)
            return
        self._lose(f"it wasn't renewed within {LOST_AFTER:.0%} of its {self._ttl:g} s")

    def _lose(self, why: str) -> None:
        if self.held:
            self.forget()
            self.why_lost = why
            self._lost()


class LockHold(Hold):
    """A claim to a lock of one storage. It can be held more than once."""

    def __init__(
        self,
        storage: Storage,
        inbox: LockInbox,
        name: str,
        ttl_ms: int,
        lost: Callable[[], None],
        *,
        waits: bool = True,
    ) -> None:
        super().__init__(name, ttl_ms, lost)
        self._storage = storage
        self._inbox = inbox
        self._waits = waits
        self._token = new_token()
        self._left = 0.0
        self._told: asyncio.Event | None = None

    async def acquire(self) -> bool:
        """Try once to get it; if another holds it, be told when that releases it. Raises `StorageError`."""
        if self._waits:
            # What it was told so far is of releases before this.
            self._told = self._inbox.expect(self._token, self.name)
            self._told.clear()
        self.pending = True
        sent = time.monotonic()
        reply = await self._storage.acquire_lock(
            self.name, self._token, self._ttl_ms, self._inbox.id if self._waits else ""
        )
        self._left = reply.left_ms / 1000
        if not reply.number:
            self.why_refused = "another holds it"
            self.pending = self._waits
            return False
        self._inbox.forget(self._token)
        self.number = reply.number
        self.held = True
        self._count_from(sent)
        if not self.held:
            # The answer took longer than the lock's time.
            self._left = 0.0
        return self.held

    async def wait(self) -> None:
        """After `acquire` was refused, wait until it is worth another try.

        Others may have been told as well: it may be refused again, and keeps its place then.
        """
        told = self._inbox.expect(self._token, self.name) if self._told is None else self._told
        self._inbox.read(shard_for(self.name, self._storage.shards))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(self._left, LONGEST_WAIT)):
                await told.wait()

    async def renew(self) -> bool:
        """Renew it once; False if it is another's by now. Raises `StorageError`."""
        sent = time.monotonic()
        renewed = await self._storage.renew_lock(self.name, self._token, self._ttl_ms)
        if renewed and self.held:
            self._count_from(sent)
        return renewed

    async def release(self) -> None:
        """Let go of it, or of the place among those who wait for it. Raises `StorageError`."""
        self.forget()
        self._inbox.forget(self._token)
        await self._storage.release_lock(self.name, self._token, self._inbox.id)
