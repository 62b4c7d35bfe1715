"""Locks for users: getting one for a part of their code, and stopping that code when it is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, cast

import anyio

from asyncjobs.errors import AsyncjobsError, LockLost, LockNotAcquired, OptionError, StorageError
from asyncjobs.lock_hold import Hold
from asyncjobs.options import to_ms
from asyncjobs.processes import MAX_TTL_MS, MIN_TTL_MS

logger = logging.getLogger("asyncjobs.locks")

LONGEST_NAME = 200
RESERVED = "process:"
"""What the names of background processes' locks begin with."""
RELEASE_PATIENCE = 2.0
"""Seconds for which the end of a block waits for its lock's release, which then goes on without it."""


class LockTasks:
    """The tasks of a client's locks: they renew them, and release them."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._releases: set[asyncio.Task[None]] = set()

    def start(
        self, work: Coroutine[Any, Any, None], name: str, *, release: bool = False
    ) -> asyncio.Task[None]:
        """Begin something that goes on even if whoever began it is cancelled."""
        task = asyncio.get_running_loop().create_task(work, name=f"asyncjobs {name}")
        for tasks in (self._tasks, self._releases) if release else (self._tasks,):
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return task

    async def close(self) -> None:
        """Wait for the releases under way; what else there is comes to an end."""
        if self._releases:
            await asyncio.wait(self._releases)
        for task in self._tasks:
            task.cancel()


class Lock:
    """A lock by name, for a part of your code: `async with client.lock("ledger", ttl=30) as lock: …`.

    Of all that ask for a lock of one name, in whatever processes and on whatever hosts, one has it at a time.
    While the block runs it is renewed; when it can't be relied on any more, the block is cancelled, and
    `LockLost` raised at its end. A block that is cancelled by others raises `CancelledError` as ever.

    One `Lock` is one holder, which holds it once at a time. Where there is no block, `acquire` and `release`
    do without the cancelling: look at `lost`, or call `check`.
    """

    def __init__(
        self, name: str, wait: float | None, make: Callable[[Callable[[], None]], Hold], tasks: LockTasks
    ) -> None:
        self.name = name
        self._wait = wait
        self._make = make
        self._tasks = tasks
        self._hold: Hold | None = None
        self._active = False
        self._was_lost = False
        self._keeping: asyncio.Task[None] | None = None
        self._body: asyncio.Task[Any] | None = None
        self._cancelling = 0
        self._cancelled = False

    def __repr__(self) -> str:
        state = "lost" if self.lost else f"held, token {self.token}" if self._active else "not held"
        return f"<Lock {self.name!r}: {state}>"

    # -- what is known of it --

    @property
    def token(self) -> int:
        """Its fencing number: higher than that of every holder before.

        Hand it to what the lock protects, and have that refuse a lower one than it has seen. It stays when
        the lock is released. Raises `AsyncjobsError` if it has never been acquired.
        """
        if self._hold is None or not self._hold.number:
            raise AsyncjobsError(f"lock {self.name!r} has no token before it is acquired")
        return self._hold.number

    @property
    def lost(self) -> bool:
        """Whether it was acquired, and couldn't be relied on until it was released. From any thread."""
        return self._was_lost or (self._active and self._hold is not None and self._hold.remaining <= 0)

    @property
    def remaining(self) -> timedelta:
        """For how long it can be relied on, even if nothing renews it: 0 if it can't. From any thread.

        That ends before another can have it.
        """
        return timedelta(seconds=self._hold.remaining if self._active and self._hold is not None else 0.0)

    def check(self) -> None:
        """Raise `LockLost` if it can't be relied on. From any thread; nothing is sent."""
        if self.lost:
            raise self._loss()
        if not self._active:
            raise LockLost(f"lock {self.name!r} isn't held: it is released, or was never acquired")

    def _loss(self) -> LockLost:
        why = (
            self._hold.why_lost if self._hold is not None else ""
        ) or "the event loop stood still for too long"
        return LockLost(
            f"lock {self.name!r} was lost: {why}. Another may hold it, so its block mustn't go on; do its"
            f" work again under a new lock, or give a longer ttl= if it was lost to a slow program"
        )

    # -- a block --

    async def __aenter__(self) -> Self:
        if not await self.acquire():
            raise self.refusal()
        body = asyncio.current_task()
        assert body is not None
        self._cancelling = body.cancelling()
        self._cancelled = False
        self._body = body
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        body, self._body = self._body, None
        lost = self._loss() if self.lost else None
        ours = False
        if self._cancelled and body is not None:
            # As `asyncio.timeout` does it: if anybody else has cancelled the task too, that counts.
            ours = body.uncancel() <= self._cancelling
        await self.release()
        if lost is not None and (exc is None or (ours and isinstance(exc, asyncio.CancelledError))):
            raise lost from exc

    def _on_lost(self) -> None:
        if self._body is not None:
            logger.warning("lock %s was lost: the block that holds it is cancelled", self.name)
            self._cancelled = True
            self._body.cancel()
        elif self._active:
            logger.warning("lock %s was lost", self.name)

    def refusal(self) -> LockNotAcquired:
        """The error that says why `acquire` gave False."""
        within = "" if not self._wait else f" within {self._wait:g} s"
        why = "" if self._hold is None else self._hold.why_refused
        return LockNotAcquired(
            f"lock {self.name!r} wasn't obtained{within}: {why}. Give a longer wait=, try again later, or see"
            f" who holds it with `asyncjobs locks`"
        )

    # -- by hand --

    async def acquire(self) -> bool:
        """Get it, within its `wait`: False if it isn't free by then. It is renewed until `release`.

        Raises `StorageUnavailable`, and `AsyncjobsError` if this holds it already.
        """
        if self._active:
            raise AsyncjobsError(
                f"lock {self.name!r} is held by this very object: call lock() again for another holder"
            )
        hold = self._hold = self._make(self._on_lost)
        self._was_lost = acquired = answered = False
        try:
            async with asyncio.timeout(self._wait or None):
                acquired = await hold.acquire()
                while not acquired and self._wait != 0:
                    await hold.wait()
                    acquired = await hold.acquire()
            answered = True
        except TimeoutError:
            answered, acquired = True, False
        finally:
            if not acquired and hold.pending:
                # Also if this is cancelled: it may have been granted meanwhile, or others wait behind it.
                await self._let_go(hold, wait=answered)
        if acquired:
            self._active = True
            self._keeping = self._tasks.start(hold.keep(), f"lock {self.name}")
        return acquired

    async def release(self) -> None:
        """Let go of it; nothing happens if it isn't held. One that was lost is let go of without waiting."""
        hold, keeping = self._hold, self._keeping
        if not self._active or hold is None:
            return
        self._was_lost = self.lost
        self._active = False
        if keeping is not None:
            keeping.cancel()
        await self._let_go(hold, wait=not self._was_lost)

    async def _let_go(self, hold: Hold, *, wait: bool = True) -> None:
        async def let_go() -> None:
            try:
                await hold.release()
            except StorageError as error:
                logger.warning("lock %s can't be released: %s; its time runs out", self.name, error)

        released = False
        try:
            if wait:
                with anyio.CancelScope(shield=True):
                    async with asyncio.timeout(RELEASE_PATIENCE):
                        await let_go()
                released = True
        except TimeoutError:
            pass
        finally:
            if not released:
                # Whoever can't wait doesn't have to; and it may be sent twice.
                self._tasks.start(let_go(), f"release {self.name}", release=True)


def check_lock_name(name: str) -> str:
    """`name`, if a lock can be called so. Raises `OptionError`."""
    if not isinstance(cast(object, name), str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise OptionError(f"lock name {name!r} can't be used: give 1 to {LONGEST_NAME} printable characters")
    if name.startswith(RESERVED):
        raise OptionError(
            f"lock name {name!r} can't be used: {RESERVED!r} begins those of background processes"
        )
    return name


def check_lock_times(ttl: timedelta | float, wait: timedelta | float | None) -> tuple[int, float | None]:
    """The `ttl` in ms, and the `wait` in seconds. Raises `OptionError`."""
    ttl_ms = to_ms(ttl, "ttl")
    if not MIN_TTL_MS <= ttl_ms <= MAX_TTL_MS:
        raise OptionError(
            f"ttl is {ttl!r}: give 1 second to 1 day. It is how long a lock outlives a holder that died;"
            f" while the block runs it is renewed, however long that takes"
        )
    return ttl_ms, None if wait is None else to_ms(wait, "wait") / 1000
