"""The worker: its start, its life, its end.

1. Start: connect, enter the registry's lifespan, register on every shard, start a heartbeat thread and a pump
   for each.
2. Life: the pumps fetch, run and hand in jobs; maintenance takes back the jobs of the dead and removes old
   ones; recurring jobs are declared and fired; the registry's background processes run beside them.
3. Quiet: fetch nothing more.
4. Stop: quiet, a grace period for what runs, then cancel it and put it back, while the background processes
   are stopped; hand in every outcome, unregister; leave the lifespan.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self, cast

import anyio

from asyncjobs.client import Client
from asyncjobs.errors import OptionError, StorageError
from asyncjobs.options import Retention, to_ms
from asyncjobs.registry import Registry
from asyncjobs.storage import base
from asyncjobs.storage.base import HeartbeatReply
from asyncjobs.worker.burst import left_until_later
from asyncjobs.worker.clocking import report
from asyncjobs.worker.heartbeat import Heartbeat, StallRules
from asyncjobs.worker.lifespan import LifespanRun
from asyncjobs.worker.maintenance import Maintenance
from asyncjobs.worker.memory import memory_in_use
from asyncjobs.worker.notes import Notes
from asyncjobs.worker.processes import Processes
from asyncjobs.worker.pump import Pump
from asyncjobs.worker.queue_order import QueueOrder
from asyncjobs.worker.recurring import Recurring
from asyncjobs.worker.registration import Registration
from asyncjobs.worker.runner import Runner
from asyncjobs.worker.slots import Slots

logger = logging.getLogger("asyncjobs.worker")

MIN_LEASE_MS = 3_000
"""A lease shorter than three heartbeats would be lost by chance."""
LAST_PATIENCE = 3.0
"""Seconds for each of the last words to a storage that may be away: outcomes, then notes and the farewell."""
RELEASE_PATIENCE = 2.0
"""Seconds that cancelled jobs have to end at shutdown before their leases are given back over their heads."""


class Worker:
    """Runs jobs in any asyncio program: `async with Worker(registry, client): …`, `await Worker(…).run()`.

    * `queues`: names in the order in which they are to be emptied; or a mapping of names to weights, by which
      they take turns. Default: every queue that a definition of the registry names, and `"default"`.
    * `concurrency`: jobs that run at once (default 100).
    * `lease`: how long its jobs stay its own though nothing is heard of it (default 10 s, at least 3 s).
    * `grace`: how long running jobs may go on at shutdown before they are cancelled and put back (default
      25 s).
    * `retention`: how long finished jobs are kept.
    * `stall_timeout`: after how long a blocked event loop is logged, with its stack (default 5 s); with
      `release_on_stall=True` the lease is given up then, too (default False: it is kept).
    * `stall_limit`: for how long a worker that can't exchange keeps its lease (default 10 minutes).

    Durations are `timedelta`s or seconds. Raises `OptionError`.
    """

    def __init__(
        self,
        registry: Registry,
        client: Client,
        *,
        queues: Sequence[str] | Mapping[str, int] | None = None,
        concurrency: int = 100,
        lease: timedelta | float = 10.0,
        grace: timedelta | float = 25.0,
        retention: Retention | None = None,
        stall_timeout: timedelta | float = 5.0,
        stall_limit: timedelta | float = 600.0,
        release_on_stall: bool = False,
    ) -> None:
        if concurrency < 1:
            raise OptionError(f"concurrency must be 1 or more, not {concurrency}")
        self._registry = registry
        self._client = client
        if client.registry is None:
            client.registry = registry
        self._order = QueueOrder(queues, registry)
        self.queues = self._order.names
        """The queues it serves."""
        self.concurrency = concurrency
        for recurrence in registry.recurrences():
            recurrence.check_shard(client.storage.shards)
        self._lease_ms = to_ms(lease, "lease")
        if self._lease_ms < MIN_LEASE_MS:
            raise OptionError(
                f"lease must be {MIN_LEASE_MS / 1000:g} s or more, for it is renewed once a second"
            )
        self._grace = to_ms(grace, "grace") / 1000
        kept = retention or Retention()
        self._retention = base.Retention(
            kept.age_ms("succeeded"), kept.age_ms("failed"), kept.age_ms("cancelled"), kept.max_jobs
        )
        self._rules = StallRules(
            to_ms(stall_timeout, "stall_timeout") / 1000,
            to_ms(stall_limit, "stall_limit") / 1000,
            release_on_stall,
        )
        self._slots = Slots(concurrency)
        self._pumps: list[Pump] = []
        self._beats: list[Heartbeat] = []
        self._maintenance: Maintenance | None = None
        self._processes: Processes | None = None
        self._started_ms = 0
        self._task: asyncio.Task[None] | None = None
        self.stopping = asyncio.Event()
        """Set once its shutdown has begun."""
        self._stop_now = asyncio.Event()
        self._stopped_at = 0.0
        self._lifespan = LifespanRun(registry.declared_lifespan, client, self.stop)
        self._quiet = False
        self._registration = Registration(client.storage, self._lease_ms, self._info)
        self.started = asyncio.Event()
        """Set once it takes jobs."""

    # -- its life --

    async def __aenter__(self) -> Self:
        task = self._begin()
        started = asyncio.create_task(self.started.wait())
        try:
            await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            self.stop(now=True)
            await self._end(task)
            raise
        finally:
            started.cancel()
        if task.done():
            task.result()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()
        if self._task is not None:
            await self._end(self._task)

    async def run(self) -> None:
        """Run until `stop` is called; cancelled, it stops at once.

        Raises what keeps it from starting, and `LifespanError` if the registry's lifespan fails.
        """
        await self._end(self._begin())

    def _begin(self) -> asyncio.Task[None]:
        """Start its life as a task of its own, which ends in order even where its caller is cancelled."""
        if self._task is not None:
            raise OptionError("a worker runs once: make another one")
        self._task = asyncio.create_task(self._live(), name="asyncjobs worker")
        return self._task

    async def _end(self, task: asyncio.Task[None]) -> None:
        """Wait for its end; a cancellation makes that come at once, but is not obeyed before."""
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                with anyio.CancelScope(shield=cancelled is not None):
                    await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
                self.stop(now=True)
        if cancelled is not None:
            raise cancelled
        task.result()

    async def _live(self) -> None:
        await self._client.open()
        try:
            if await self._lifespan.enter(self.stopping):
                await self._serve()
                self._lifespan.check()
        except BaseExceptionGroup as group:
            # What ended a loop, and so the worker. It is said here, for its program may look much later.
            error = _only(group)
            logger.critical("the worker has ended: %s", error)
            raise error from None
        finally:
            grace_left = self._stopped_at + self._grace - time.monotonic()
            await self._lifespan.leave(grace_left, self._stop_now)
            await self._client.close()

    async def _serve(self) -> None:
        storage = self._client.storage
        self._started_ms = time.time_ns() // 1_000_000
        notes = Notes(storage)
        runner = Runner(self._registry, self._client, notes, self._lifespan.state)
        self._maintenance = Maintenance(storage, self._retention)
        carry_on = self._maintenance.carry_on_soon
        self._pumps = [
            Pump(
                storage,
                shard,
                runner,
                self._slots,
                self._order.next,
                self._retention,
                self._registration.register,
                carry_on,
            )
            for shard in range(storage.shards)
        ]
        self._slots.takers = list(self._pumps)
        self._beats = [
            Heartbeat(storage, pump, self._lease_ms, self._rules, self._info, self._heard)
            for pump in self._pumps
        ]
        try:
            async with anyio.create_task_group() as loops:
                for pump, beat in zip(self._pumps, self._beats, strict=True):
                    loops.start_soon(pump.exchanges)
                    loops.start_soon(pump.listen)
                    loops.start_soon(self._recur, pump)
                    beat.start()
                loops.start_soon(self._maintenance.run)
                loops.start_soon(self._announce)
                if processes := self._registry.processes():
                    self._processes = Processes(
                        processes, self._client, lambda: self.id, self._tell_news, self._lifespan.state
                    )
                    loops.start_soon(self._processes.run, self.started)
                if self._quiet:
                    self.quiet()
                await self.stopping.wait()
                await self._shut_down()
                loops.cancel_scope.cancel()
        finally:
            for pump in self._pumps:
                pump.stop_attempts()
            for beat in self._beats:
                await beat.stop()
            with anyio.move_on_after(LAST_PATIENCE):
                await notes.flush()
                await self._unregister()
            await runner.close()
            logger.info("worker %s has stopped", self.id)

    async def _recur(self, pump: Pump) -> None:
        await pump.ready.wait()
        declared = self._registry.recurrences()
        await Recurring(self._client.storage, pump.shard, declared, lambda: pump.worker).run()

    async def _announce(self) -> None:
        for pump in self._pumps:
            await pump.ready.wait()
        self.started.set()
        self._registration.persists = True
        logger.info("worker %s serves %s", self.id, ", ".join(self.queues))

    async def _shut_down(self) -> None:
        self.quiet()
        async with anyio.create_task_group() as ending:
            if self._processes is not None:
                ending.start_soon(self._processes.stop, self._grace, self._stop_now)
            await self._end_attempts()

    async def _end_attempts(self) -> None:
        await self._ended_within(self._grace, heed=True)
        for pump in self._pumps:
            pump.stop_attempts()
        if not await self._ended_within(RELEASE_PATIENCE):
            for pump in self._pumps:
                pump.release_attempts()
        # What has been handed out is handed in; if Redis is away, its leases run out instead.
        with anyio.move_on_after(LAST_PATIENCE):
            while not all(pump.handed_in for pump in self._pumps):
                await asyncio.sleep(0.005)

    async def _ended_within(self, seconds: float, *, heed: bool = False) -> bool:
        """Wait for all attempts to end; with `heed`, no longer than until somebody wants it now."""
        deadline = asyncio.get_running_loop().time() + seconds
        while any(pump.attempts for pump in self._pumps):
            if asyncio.get_running_loop().time() >= deadline or (heed and self._stop_now.is_set()):
                return False
            await asyncio.sleep(0.005)
        return True

    async def _unregister(self) -> None:
        for pump in self._pumps:
            if pump.worker:
                with contextlib.suppress(StorageError):
                    await self._client.storage.unregister(pump.shard, pump.worker)

    # -- what others may ask of it --

    @property
    def id(self) -> str:
        """The id it is registered under (on the first shard, where there are several); empty before."""
        return self._pumps[0].worker if self._pumps else ""

    @property
    def running(self) -> int:
        """Attempts whose code runs.

        After the shutdown, those that couldn't be stopped, with background processes and a lifespan that
        couldn't.
        """
        left_behind = self._processes.left_behind if self._processes is not None else 0
        return sum(len(pump.attempts) for pump in self._pumps) + left_behind + self._lifespan.left_behind

    def on_register(self, told: Callable[[str], None] | None) -> None:
        """Have somebody told each id that it registers under, before it does so."""
        self._registration.on_register = told

    def quiet(self) -> None:
        """Take no new jobs; those that run go on."""
        self._quiet = True
        for pump, beat in zip(self._pumps, self._beats, strict=True):
            pump.quiet()
            beat.announce()

    def stop(self, *, now: bool = False) -> None:
        """Begin the shutdown; with `now`, without the grace period."""
        if now:
            self._stop_now.set()
        if not self.stopping.is_set():
            self._stopped_at = time.monotonic()
            self.stopping.set()

    async def stop_on_signals(self) -> None:
        """Heed SIGINT and SIGTERM until cancelled: the first one stops, the second one stops at once."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            async for number in received:
                name = signal.Signals(number).name
                again = self.stopping.is_set()
                if again:
                    logger.warning("%s again: stopping at once", name)
                else:
                    logger.info("%s: stopping; running jobs have %g s", name, self._grace)
                self.stop(now=again)

    async def until_empty(self) -> int:
        """Wait until nothing is enqueued in its queues and nothing runs. How many jobs are due only later."""
        while True:
            if self.started.is_set() and all(pump.idle for pump in self._pumps):
                later = await left_until_later(self._client.storage, self.queues)
                if later is not None:
                    return later
            await asyncio.sleep(0.02)

    # -- inside --

    def _info(self) -> dict[str, object]:
        """What it says of itself."""
        lag = max((beat.lag for beat in self._beats), default=0.0)
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": list(self.queues),
            "concurrency": self.concurrency,
            "started_ms": self._started_ms,
            "quiet": self._quiet,
            "lag_ms": int(lag * 1000),
            "memory": memory_in_use(),
            **report(pump.clocking for pump in self._pumps),
            **({} if self._processes is None else {"processes": self._processes.report()}),
        }

    def _tell_news(self) -> None:
        for beat in self._beats:
            beat.announce()

    def _heard(self, pump: Pump, worker: str, reply: HeartbeatReply) -> None:
        pump.heard(worker, reply)
        if reply.expired and self._maintenance is not None:
            self._maintenance.reap_soon(pump.shard)
        if reply.follow_ups and self._maintenance is not None:
            self._maintenance.carry_on_soon(pump.shard)
        if reply.command == "quiet" and not self._quiet:
            logger.info("told to be quiet")
            self.quiet()
        elif reply.command == "stop" and not self.stopping.is_set():
            logger.info("told to stop")
            self.stop()


def _only(error: BaseException) -> BaseException:
    """The one error in a group, and in the groups in it; the group if it holds several."""
    inner = cast("tuple[BaseException, ...]", getattr(error, "exceptions", ()))
    return _only(inner[0]) if len(inner) == 1 else error
