"""Runs a worker's background processes: starts them, starts them again, stops them.

1. Each run of a function is a task of its own: code that doesn't stop is left behind.
2. What it raises, of whatever kind, is logged, and it is started again after its back-off.
3. With `scope="cluster"` it runs only while its lock is held, and is cancelled when that isn't certain.
4. At shutdown it has its grace, is cancelled, has `CANCEL_PATIENCE`, and is left behind.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import anyio

from asyncjobs.clock import system_clock
from asyncjobs.errors import StorageError
from asyncjobs.lifespan import NO_STATE
from asyncjobs.lock_hold import LockHold
from asyncjobs.processes import BackgroundProcess, ProcessContext, ProcessState
from asyncjobs.retry import to_ms
from asyncjobs.worker.outcomes import message_of

if TYPE_CHECKING:
    from asyncjobs.client import Client

logger = logging.getLogger("asyncjobs.worker")

CANCEL_PATIENCE = 2.0
"""Seconds that a cancelled process has to end at shutdown before it is left behind."""
INSIST_EVERY = 5.0
"""Seconds between two tries to cancel one whose lock was lost."""
RELEASE_PATIENCE = 1.0
"""Seconds for releasing a lock at shutdown; else its time runs out."""
RETRY_DELAY = 1.0
"""Seconds between tries to get a lock while the storage can't be reached."""
LISTED = 50
"""Processes that a worker tells of."""
ERROR_LIMIT = 200
"""Characters of each one's last error that it tells."""


class ProcessRun:
    """One run of a process' function. `over` is called when it has ended, and never before it has begun."""

    def __init__(
        self, process: BackgroundProcess[..., Any], context: ProcessContext, over: Callable[[], None]
    ) -> None:
        self.error: BaseException | None = None
        """What it raised."""
        self.told_to_stop = False
        self.left_behind = False
        """It was given up though it goes on."""
        self._task = asyncio.get_running_loop().create_task(
            self._live(process, context), name=f"asyncjobs {process.name}"
        )
        self._task.add_done_callback(lambda _: over())

    @property
    def ended(self) -> bool:
        """Its code is over."""
        return self._task.done()

    def cancel(self) -> None:
        """Cancel it; again, if it went on."""
        self.told_to_stop = True
        self._task.cancel()

    async def _live(self, process: BackgroundProcess[..., Any], context: ProcessContext) -> None:
        # A SystemExit that left a task would end the event loop, and with it the worker.
        try:
            await (process.fn(context) if process.takes_context else process.fn())
        except BaseException as error:
            self.error = error


class ProcessRunner:
    """One background process of a worker."""

    def __init__(
        self,
        process: BackgroundProcess[..., Any],
        client: Client,
        worker: Callable[[], str],
        stopping: asyncio.Event,
        changed: Callable[[], None],
        lifespan_state: Any = NO_STATE,
    ) -> None:
        self.process = process
        self.state = ProcessState.STARTING
        self.since_ms = system_clock()
        """When it came into this state."""
        self.restarts = 0
        """How often it failed, or returned though it has no `every`."""
        self.last_error = ""
        self.run: ProcessRun | None = None
        """The run that is under way, or was left behind."""
        self._client = client
        self._worker = worker
        self._lifespan_state = lifespan_state
        self._stopping = stopping
        # Its own code may do with that what it likes.
        self._told_to_stop = asyncio.Event()
        self._changed = changed
        self._failures = 0
        self._hold: LockHold | None = None
        self._news = asyncio.Event()
        self._standing_by = anyio.CancelScope()
        self._grace_ends = 0.0

    # -- what the worker asks --

    def stop(self, grace: float) -> None:
        """Once `stopping` is set: end, after at most this grace. May be called again, with less."""
        loop = asyncio.get_running_loop()
        self._grace_ends = loop.time() + min(grace, self.process.options.grace_ms / 1000)
        self._told_to_stop.set()
        self._standing_by.cancel()
        self._news.set()

    async def live(self) -> None:
        """Run it until it is told to stop. Nothing of it runs then but what had to be left behind."""
        try:
            while not self._stopping.is_set() and await self._end():
                try:
                    if self.process.options.scope == "cluster":
                        await self._in_turn()
                    else:
                        await self._again_and_again()
                except Exception as error:
                    if not isinstance(error, (StorageError, TimeoutError)):
                        logger.exception("process %s", self.process.name)
                    else:
                        logger.warning(
                            "process %s can't get its lock: %s; trying again", self.process.name, _told(error)
                        )
                    await self._until(self._stopping.is_set, RETRY_DELAY)
        finally:
            with anyio.CancelScope(shield=True):
                self._stopping.set()
                self._told_to_stop.set()
                await self._end()
                await self._release()

    # -- one at a time in all workers --

    async def _in_turn(self) -> None:
        """Wait for the lock, and run the process while it is held."""
        self._say(ProcessState.STANDBY)
        if self._hold is None:
            options = self.process.options
            self._hold = LockHold(
                self._client.storage,
                self._client.lock_inbox,
                self.process.lock,
                options.ttl_ms,
                self._lock_lost,
            )
        hold = self._hold
        acquired = False
        with anyio.CancelScope() as self._standing_by:
            while not acquired and not self._stopping.is_set():
                # An answer that comes later than the lock's time would be good for nothing.
                async with asyncio.timeout(self.process.options.ttl_ms / 1000):
                    acquired = await hold.acquire()
                if not acquired:
                    await hold.wait()
        if not acquired:
            return
        logger.info("process %s runs here now (token %d)", self.process.name, hold.number)
        async with anyio.create_task_group() as keeping:
            keeping.start_soon(hold.keep)
            await self._again_and_again()
            keeping.cancel_scope.cancel()

    def _lock_lost(self) -> None:
        if self.run is not None and not self.run.ended:
            logger.warning("process %s has lost its lock: it is cancelled here", self.process.name)
            self.run.cancel()
        self._news.set()

    async def _release(self) -> None:
        hold = self._hold
        if hold is None:
            return
        if self.run is not None:
            # It still runs: nobody else may, until the lock's time is over.
            hold.forget()
            return
        try:
            async with asyncio.timeout(RELEASE_PATIENCE):
                await hold.release()
        except (StorageError, TimeoutError) as error:
            logger.warning("process %s can't release its lock: %s", self.process.name, _told(error))

    # -- running --

    @property
    def _lost(self) -> bool:
        return self._hold is not None and not self._hold.held

    def _over(self) -> bool:
        return self._stopping.is_set() or self._lost

    async def _again_and_again(self) -> None:
        """Run it until it is to stop, or its lock is lost."""
        while not self._over():
            pause = await self.turn()
            if pause is None:
                return
            await self._until(self._over, pause)

    async def turn(self) -> float | None:
        """Run its function once. Seconds to wait before the next turn; None: there is to be none."""
        hold = self._hold
        token = None if hold is None else hold.number
        context = ProcessContext(
            self.process.name, self._client, self._worker, self._told_to_stop, token, self._lifespan_state
        )
        began = asyncio.get_running_loop().time()
        run = self.run = ProcessRun(self.process, context, self._news.set)
        self._say(ProcessState.RUNNING)
        await self._until(lambda: run.ended or self._over())
        if self._stopping.is_set():
            await self._until(lambda: run.ended or self._lost, lambda: self._grace_left)
        if not await self._end():
            return None
        return self._judge(run, asyncio.get_running_loop().time() - began)

    @property
    def _grace_left(self) -> float:
        return self._grace_ends - asyncio.get_running_loop().time()

    async def _end(self) -> bool:
        """See that the run that is under way comes to its end; False if it had to be left behind."""
        run = self.run
        if run is None:
            return True
        if run.left_behind:
            return False
        if not run.ended and not run.told_to_stop:
            run.cancel()
        while not run.ended:
            if self._stopping.is_set():
                if not await self._until(lambda: run.ended, CANCEL_PATIENCE):
                    run.left_behind = True
                    logger.error(
                        "process %s doesn't stop though it was cancelled: it is left behind",
                        self.process.name,
                    )
                    return False
            elif not await self._until(lambda: run.ended or self._stopping.is_set(), INSIST_EVERY):
                logger.warning("process %s goes on though it has lost its lock", self.process.name)
                run.cancel()
        self.run = None
        return True

    def _judge(self, run: ProcessRun, seconds: float) -> float | None:
        """What follows from how a run has ended."""
        name, options, error = self.process.name, self.process.options, run.error
        if run.told_to_stop and (error is None or isinstance(error, asyncio.CancelledError)):
            return None
        if error is not None:
            self.last_error = _told(error)
        if self._over():
            if error is not None:
                logger.error("process %s failed as it was being stopped", name, exc_info=error)
            return None
        if error is None and options.every_ms is not None:
            self._failures = 0
            self._say(ProcessState.WAITING)
            return options.every_ms / 1000
        if seconds * 1000 > to_ms(options.backoff.cap, "cap"):
            self._failures = 0
        self._failures += 1
        self.restarts += 1
        pause = options.backoff.delay_ms(self._failures) / 1000
        if error is None:
            logger.warning("process %s has returned; it is started again in %.1f s", name, pause)
        else:
            logger.error("process %s failed; it is started again in %.1f s", name, pause, exc_info=error)
        self._say(ProcessState.RESTARTING)
        return pause

    # -- inside --

    async def _until(
        self, done: Callable[[], bool], seconds: float | Callable[[], float] | None = None
    ) -> bool:
        """Wait until this is so, looking whenever something has happened; False after so many seconds."""
        loop = asyncio.get_running_loop()
        give_up = None if seconds is None or callable(seconds) else loop.time() + seconds
        while not done():
            left = seconds() if callable(seconds) else None if give_up is None else give_up - loop.time()
            if left is not None and left <= 0:
                return False
            self._news.clear()
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                pass
        return True

    def _say(self, state: ProcessState) -> None:
        if state is not self.state:
            self.state = state
            self.since_ms = system_clock()
        self._changed()

    def report(self) -> dict[str, object]:
        """What the worker tells of it."""
        return {
            "name": self.process.name,
            "state": self.state.value,
            "since_ms": self.since_ms,
            "restarts": self.restarts,
            "error": self.last_error,
        }


class Processes:
    """All background processes of a worker. `changed` is called when there is news of them to tell."""

    def __init__(
        self,
        declared: Sequence[BackgroundProcess[..., Any]],
        client: Client,
        worker: Callable[[], str],
        changed: Callable[[], None],
        lifespan_state: Any = NO_STATE,
    ) -> None:
        self.stopping = asyncio.Event()
        self._all = [
            ProcessRunner(each, client, worker, self.stopping, changed, lifespan_state) for each in declared
        ]
        self._begun = False
        self._ended = False

    def __bool__(self) -> bool:
        return bool(self._all)

    async def run(self, ready: asyncio.Event) -> None:
        """Run them all, once `ready`, until they are stopped."""
        await ready.wait()
        if self.stopping.is_set():
            return
        self._begun = True
        try:
            async with anyio.create_task_group() as group:
                for each in self._all:
                    group.start_soon(each.live, name=each.process.name)
        finally:
            self._ended = True

    async def stop(self, grace: float, at_once: asyncio.Event) -> None:
        """Stop them all, and wait for that: no longer than `grace` and a few seconds.

        `at_once`: somebody doesn't want to wait for the grace.
        """
        self.stopping.set()
        for each in self._all:
            each.stop(grace)
        hurried = False
        while self._begun and not self._ended:
            if at_once.is_set() and not hurried:
                hurried = True
                for each in self._all:
                    each.stop(0)
            await asyncio.sleep(0.005)

    @property
    def left_behind(self) -> int:
        """How many go on though they were cancelled."""
        return sum(each.run is not None and each.run.left_behind and not each.run.ended for each in self._all)

    def report(self) -> list[dict[str, object]]:
        """What the worker tells of them. From any thread."""
        return [each.report() for each in self._all[:LISTED]]


def _told(error: BaseException) -> str:
    """An error in a few words."""
    message = message_of(error)
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text if len(text) <= ERROR_LIMIT else f"{text[: ERROR_LIMIT - 1]}…"
