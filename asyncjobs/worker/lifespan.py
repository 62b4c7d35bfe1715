"""A registry's lifespan in one worker.

1. It is entered and left in one task of its own: its code may open task groups and cancel scopes, and what
   these cancel is the lifespan and not the worker.
2. A worker whose lifespan fails at its start doesn't start.
3. One that ends while its worker serves (what it watches over has failed) stops the worker, in order.
4. Left at shutdown, it has what remains of the worker's grace, and `LEAVE_PATIENCE` at least; then it is
   cancelled, has `CANCEL_PATIENCE`, and is left behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asyncjobs.errors import LifespanError
from asyncjobs.lifespan import NO_STATE, Lifespan
from asyncjobs.worker.outcomes import message_of

if TYPE_CHECKING:
    from asyncjobs.client import Client

logger = logging.getLogger("asyncjobs.worker")

LEAVE_PATIENCE = 5.0
"""Seconds that it has at the least to come to its end, though the grace is over or somebody is in a hurry."""
CANCEL_PATIENCE = 2.0
"""Seconds that it has once it is cancelled."""
_TOLD_ELSE = {
    "generator didn't yield": "it ended without a yield, and has to yield once",
    "generator didn't stop": "it yields a second time, and has to yield once",
}
"""What contextlib says of generators, in our words."""


class LifespanRun:
    """Enters a lifespan, and leaves it. `stop` is called if it ends by itself; None is a lifespan too."""

    def __init__(self, lifespan: Lifespan | None, client: Client, stop: Callable[[], None]) -> None:
        self.state: Any = NO_STATE
        """What it has yielded."""
        self.left_behind = False
        """It goes on though it was cancelled."""
        self._lifespan = lifespan
        self._client = client
        self._stop = stop
        self._name = lifespan.name if lifespan is not None else ""
        self._entered = asyncio.Event()
        self._leaving = asyncio.Event()
        self._error: BaseException | None = None
        self._ended_early = False
        self._task: asyncio.Task[None] | None = None

    async def enter(self, stopping: asyncio.Event) -> bool:
        """Enter it. False: `stopping` was set first, and it is cancelled. Raises `LifespanError`."""
        if self._lifespan is None:
            return True
        task = self._task = asyncio.create_task(self._live(self._lifespan), name="asyncjobs lifespan")
        events = [asyncio.create_task(event.wait()) for event in (self._entered, stopping)]
        try:
            await asyncio.wait([task, *events], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for event in events:
                event.cancel()
        if self._entered.is_set():
            return True
        if not task.done():
            self._leaving.set()
            task.cancel()
            return False
        logger.error("lifespan %s failed, so the worker doesn't start", self._name, exc_info=self._error)
        raise LifespanError(
            f"lifespan {self._name} failed, so the worker doesn't start: {_told(self._error)}"
        ) from self._error

    async def _live(self, lifespan: Lifespan) -> None:
        # Whatever it raises: a SystemExit that left a task would end the event loop.
        try:
            async with lifespan.manager(self._client) as self.state:
                self._entered.set()
                await self._leaving.wait()
        except BaseException as error:
            self._error = error
        if self._leaving.is_set():
            if self._error is not None and not isinstance(self._error, asyncio.CancelledError):
                logger.error(
                    "lifespan %s failed at its end: %s", self._name, _told(self._error), exc_info=self._error
                )
        elif self._entered.is_set():
            self._ended_early = True
            logger.critical(
                "lifespan %s has ended while its worker serves, which stops now: %s",
                self._name,
                _told(self._error),
                exc_info=self._error,
            )
            self._stop()

    def check(self) -> None:
        """Raise `LifespanError` if it has ended while its worker served."""
        if self._ended_early:
            raise LifespanError(
                f"lifespan {self._name} ended while its worker served: {_told(self._error)}"
            ) from self._error

    async def leave(self, grace: float, at_once: asyncio.Event) -> None:
        """Leave it, or see that it ends. What it raises is logged.

        `grace`: seconds that it may take; no more than `LEAVE_PATIENCE` once `at_once` is set.
        """
        task = self._task
        if task is None:
            return
        self._leaving.set()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max(grace, LEAVE_PATIENCE)
        hurried = cancelled = False
        while not task.done():
            now = loop.time()
            if at_once.is_set() and not hurried:
                hurried = True
                deadline = min(deadline, now + LEAVE_PATIENCE)
            if now >= deadline and not cancelled:
                cancelled = True
                logger.error("lifespan %s doesn't come to its end: it is cancelled", self._name)
                task.cancel()
                deadline = now + CANCEL_PATIENCE
            elif now >= deadline:
                self.left_behind = True
                logger.error(
                    "lifespan %s doesn't stop though it was cancelled: it is left behind", self._name
                )
                return
            await asyncio.sleep(0.005)


def _told(error: BaseException | None) -> str:
    if error is None:
        return "it ended by itself"
    message = message_of(error)
    if isinstance(error, RuntimeError) and message in _TOLD_ELSE:
        return _TOLD_ELSE[message]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
