"""One attempt of a job that a worker is running."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from asyncjobs.storage.base import Grant

if TYPE_CHECKING:
    from asyncjobs.context import JobContext

logger = logging.getLogger("asyncjobs.worker")

INSIST_EVERY = 5.0
"""Seconds between two tries to cancel code that goes on: time enough for it to clean up after itself."""
ABANDON_AFTER = 3
"""Tries after which its outcome is reported though it still runs."""


class Stop(Enum):
    """Why an attempt is being stopped."""

    TIMEOUT = "it ran longer than its timeout"
    CANCEL = "it was cancelled"
    SHUTDOWN = "its worker is shutting down"
    LOST = "its lease was lost"


class Attempt:
    """A lease, the task that uses it, and why it is to stop, if it is.

    It holds a slot until its task, and its thread if it has one, are over; its outcome may be reported
    before, when code doesn't stop though it was cancelled.
    """

    __slots__ = (
        *("_abandon", "_insist", "_tries", "begun", "context", "ended", "freed", "grant", "reported"),
        *("started", "stop_reason", "task", "thread_running", "timer"),
    )

    def __init__(self, grant: Grant, abandon: Callable[[Attempt], None]) -> None:
        self.grant = grant
        self._abandon = abandon
        self.started = 0.0
        """When, by the event loop's clock, if that is to be measured."""
        self.begun = False
        """Its task has made its first step; a task that is cancelled before makes none, and tells nobody."""
        self.ended = False
        """Its code is over."""
        self.freed = False
        """Its slot has been given back."""
        self.task: asyncio.Task[None] | None = None
        self.context: JobContext | None = None
        self.stop_reason: Stop | None = None
        self.reported = False
        """Its outcome has been handed in, or is not wanted."""
        self.thread_running = False
        self.timer: asyncio.TimerHandle | None = None
        self._insist: asyncio.TimerHandle | None = None
        self._tries = 0

    def stop(self, reason: Stop) -> None:
        """Ask its code to stop, and go on asking. The first reason counts, but a lost lease overrides all."""
        if self.stop_reason is None or reason is Stop.LOST:
            self.stop_reason = reason
        if self.context is not None:
            self.context.cancelled = True
        if self._insist is None:
            self._ask()

    def _ask(self) -> None:
        if self.task is None or not self.begun or self.ended:
            return
        if self._tries == ABANDON_AFTER:
            logger.error("job %s (%s) can't be stopped: it keeps its slot", self.grant.id, self.grant.name)
            self._abandon(self)
            return
        self.task.cancel()
        self._tries += 1
        if self._tries == 2:
            logger.warning(
                "job %s (%s) goes on though %s", self.grant.id, self.grant.name, self.stop_reason_text()
            )
        self._insist = asyncio.get_running_loop().call_later(INSIST_EVERY, self._ask)

    def stop_reason_text(self) -> str:
        """Why it is to stop, for messages."""
        return self.stop_reason.value if self.stop_reason is not None else ""

    def pause_timer(self) -> float | None:
        """Stop the clock of its time-out; the seconds that are left of it, None if it has none."""
        timer, self.timer = self.timer, None
        if timer is None:
            return None
        timer.cancel()
        return timer.when() - asyncio.get_running_loop().time()

    def over(self) -> None:
        """Its code has ended: no more timers, and nothing left to stop."""
        self.ended = True
        if self.timer is not None:
            self.timer.cancel()
        if self._insist is not None:
            self._insist.cancel()
