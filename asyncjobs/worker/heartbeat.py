"""The heartbeat thread of one shard: keeps a worker's lease alive while its event loop is busy.

1. Renews the lease once a second, over a connection of its own.
2. Hears at once of cancelled jobs and of commands, and hands them to the loop.
3. Watches the loop: past `stall_timeout` it logs where the loop stands; if told to, it lets go of the lease.
4. Stops renewing when the pump hasn't moved for `stall_limit`: a worker that hands in nothing is good for
   nothing.
5. Ends with the loop.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from asyncjobs.errors import StorageError, StorageUnavailable, WorkerGone
from asyncjobs.storage.base import HeartbeatLink, HeartbeatReply, Storage
from asyncjobs.worker.pump import Pump

logger = logging.getLogger("asyncjobs.worker")

INTERVAL = 1.0
"""Seconds between two heartbeats."""


@dataclass(frozen=True, slots=True)
class StallRules:
    """When a loop counts as stalled, and what follows."""

    timeout: float
    """Seconds without a turn of the loop after which its stack is logged."""
    limit: float
    """Seconds without a turn of the pump after which the lease is no longer renewed."""
    release: bool
    """Whether the lease is let go of as soon as the loop stalls."""


class Heartbeat:
    """Runs the thread of one shard. `heard` is called on the loop with each reply."""

    def __init__(
        self,
        storage: Storage,
        pump: Pump,
        lease_ms: int,
        rules: StallRules,
        info: Callable[[], dict[str, object]],
        heard: Callable[[Pump, str, HeartbeatReply], None],
    ) -> None:
        self._storage = storage
        self._pump = pump
        self._lease_ms = lease_ms
        self._rules = rules
        self._info = info
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._stopped = threading.Event()
        self._ticked = self._moved = time.monotonic()
        self._asked = self._ticked
        self._turns = 0
        self._stalled = False
        self._link: HeartbeatLink | None = None
        self._news = True
        self.lag = 0.0
        """Seconds that the loop took to answer, when last asked."""
        self._thread = threading.Thread(
            target=self._run, name=f"asyncjobs heartbeat {pump.shard}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def announce(self) -> None:
        """Have the next beat tell what the worker says of itself now."""
        self._news = True

    async def stop(self) -> None:
        """End the thread, and wait for it."""
        self._stopped.set()
        deadline = self._loop.time() + 2
        while self._thread.is_alive() and self._loop.time() < deadline:
            # Again and again: the thread may just be about to connect, and to wait on that connection.
            if self._link is not None:
                self._link.close()
            await asyncio.sleep(0.01)

    # -- in the thread --

    def _run(self) -> None:
        worker, beats, unreachable = "", 0, False
        while not self._stopped.is_set() and not self._loop.is_closed():
            began = time.monotonic()
            self._ask()
            current = self._pump.worker
            if current != worker:
                if self._link is not None:
                    self._link.close()
                worker, beats = current, 0
                self._link = (
                    self._storage.heartbeat_link(self._pump.shard, worker, self._lease_ms) if worker else None
                )
            link = self._link
            try:
                if link is None:
                    self._stopped.wait(0.05)
                elif self._may_renew(began):
                    news, self._news = self._news or beats % 5 == 0, False
                    reply = link.beat(len(self._pump.leases), self._info() if news else None)
                    beats += 1
                    unreachable = False
                    self._tell(worker, reply)
                    link.wait(INTERVAL)
                else:
                    self._stopped.wait(INTERVAL)
            except WorkerGone:
                # The pump finds it out by its own exchange, which it makes at once now.
                self._call(self._pump.want)
                self._stopped.wait(INTERVAL)
            except StorageUnavailable as error:
                if self._stopped.is_set():
                    break
                if not unreachable:
                    logger.warning("heartbeat of %s: %s; trying again", worker, error)
                unreachable = True
                self._stopped.wait(INTERVAL / 2)
            except StorageError as error:
                logger.error("heartbeat of %s: %s", worker, error)
                self._stopped.wait(INTERVAL)
            except Exception:
                if self._stopped.is_set():
                    break
                logger.exception("heartbeat of %s", worker)
                self._stopped.wait(INTERVAL)
        if self._link is not None:
            self._link.close()

    def _call(self, fn: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(fn, *args)
        except RuntimeError:
            # The loop has been closed: this was the last turn.
            self._stopped.set()

    def _ask(self) -> None:
        """Ask the loop for a sign of life."""
        if self._ticked >= self._asked:
            self._asked = time.monotonic()
            self._call(self._tick)

    def _tick(self) -> None:
        self._ticked = time.monotonic()
        self.lag = self._ticked - self._asked

    def _tell(self, worker: str, reply: HeartbeatReply) -> None:
        self._call(self._heard, self._pump, worker, reply)

    def _may_renew(self, now: float) -> bool:
        if self._pump.turns != self._turns:
            self._turns, self._moved = self._pump.turns, now
        silent = now - self._asked if self._asked > self._ticked else 0.0
        if silent > self._rules.timeout and not self._stalled:
            self._stalled = True
            # The documented way to another thread's stack.
            frame = sys._current_frames().get(self._loop_thread)  # pyright: ignore[reportPrivateUsage]
            stack = "".join(traceback.format_stack(frame)) if frame is not None else "(unknown)\n"
            logger.error(
                "the event loop of %s has been blocked for %.1f s; it stands at:\n%s",
                self._pump.worker,
                silent,
                stack,
            )
        elif silent <= 0 and self._stalled:
            # Also when it has only just been asked again, which it is once it has answered.
            self._stalled = False
            logger.warning("the event loop of %s goes on", self._pump.worker)
        if self._stalled and self._rules.release:
            return False
        if now - self._moved > self._rules.limit:
            logger.critical(
                "%s has not exchanged for %.0f s: its lease isn't renewed any more",
                self._pump.worker,
                now - self._moved,
            )
            return False
        return True
