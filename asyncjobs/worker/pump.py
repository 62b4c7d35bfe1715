"""The exchange loop of one shard.

1. Hands in what attempts ended with, and fetches as many jobs as there are free slots, in one exchange; what
   ends meanwhile rides in the next.
2. While slots stay free, waits for a marker; who takes one owes an exchange, even if the wait was broken off.
3. Sets a timer for the next due time; a timer of a second is the backstop for everything else.
4. Sends the same exchange again, under the same number, until it is answered.
5. When its lease is lost, stops its attempts and registers anew.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence

import anyio

from asyncjobs.errors import StorageError, StorageUnavailable, WorkerGone
from asyncjobs.storage.base import (
    ExchangeReply,
    ExchangeRequest,
    Finish,
    Finished,
    Grant,
    HeartbeatReply,
    Outcome,
    Retention,
    Storage,
)
from asyncjobs.worker.attempt import Attempt, Stop
from asyncjobs.worker.clocking import Clocking
from asyncjobs.worker.runner import Runner
from asyncjobs.worker.slots import Slots

logger = logging.getLogger("asyncjobs.worker")

BACKSTOP = 1.0
"""Seconds after which an exchange is made though nothing called for one."""
STAGGER = (0.05, 0.5)
"""Seconds between which a worker looks at a due time that another one has claimed."""
MAX_FINISHES = 500
"""Outcomes handed in at a time."""
MAX_GRANTS = 500
"""Jobs fetched at a time, so that no script runs for long."""
MAX_RESULT_BYTES = 1 << 20
"""Bytes of results handed in at a time (a larger one goes alone)."""
RETRY_DELAY = 0.5
"""Seconds between tries while the storage can't be reached."""


class Pump:
    """Moves the jobs of one shard through a worker."""

    def __init__(
        self,
        storage: Storage,
        shard: int,
        runner: Runner,
        slots: Slots,
        queues: Callable[[], Sequence[str]],
        retention: Retention,
        register: Callable[[int], Awaitable[str]],
        carry_on: Callable[[int], None],
    ) -> None:
        self.shard = shard
        self.worker = ""
        """The id it is registered under on this shard."""
        self.attempts: dict[str, Attempt] = {}
        """What runs, by job id."""
        self.leases: dict[str, int] = {}
        """Job id → exchange of each lease that the storage is believed to hold for it."""
        self.turns = 0
        """Counts the loop's turns: it stands still if the loop is stuck."""
        self.ready = asyncio.Event()
        """Set while it is registered."""
        self.clocking = Clocking()
        self._storage = storage
        self._runner = runner
        self._slots = slots
        self._queues = queues
        self._retention = retention
        self._register = register
        self._carry_on = carry_on
        self._number = 0
        self._acknowledged = 0
        self._finishes: list[Finish] = []
        self._popped: set[str] = set()
        self._wanted = asyncio.Event()
        self._needed = False
        self._hungry = asyncio.Event()
        self._listening = anyio.CancelScope()
        self._filled = False
        self._timer: asyncio.TimerHandle | None = None
        self._quiet = False
        self._stopping = False
        self._missing: set[tuple[str, int]] = set()
        self._unknown: set[tuple[str, int]] = set()
        self._in_flight = False

    # -- what others may ask --

    def want(self) -> None:
        """See that an exchange is made soon."""
        self._needed = True
        self._wanted.set()

    @property
    def backlogged(self) -> bool:
        """True: the last exchange filled all slots it had, or had none, so there may be more jobs."""
        return self._filled and not self._quiet

    @property
    def asking(self) -> bool:
        """True: an exchange is under way; when it comes back, it sees by itself whether slots are free."""
        return self._in_flight

    def offer(self) -> None:
        """There are slots: fetch, if there are any left by then."""
        self._wanted.set()

    @property
    def idle(self) -> bool:
        """True: nothing runs, and nothing is left to hand in."""
        return not (self.attempts or self._finishes or self._in_flight or self._popped)

    def quiet(self) -> None:
        """Fetch no more jobs, and give back the marker that a broken-off wait may have taken."""
        self._quiet = True
        self._listening.cancel()
        self.want()

    def stop_attempts(self) -> None:
        """Stop everything that runs, and whatever an exchange that is under way may bring."""
        self._stopping = True
        for attempt in list(self.attempts.values()):
            attempt.stop(Stop.SHUTDOWN)

    def release_attempts(self) -> None:
        """Give back the leases of attempts whose code doesn't stop: the process is about to end."""
        for attempt in list(self.attempts.values()):
            if not attempt.reported:
                attempt.reported = True
                grant = attempt.grant
                logger.warning(
                    "job %s (%s) doesn't stop; it is given back while it still runs", grant.id, grant.name
                )
                self._ended(attempt, Finish(grant.id, grant.exchange, Outcome.RELEASED))

    @property
    def handed_in(self) -> bool:
        """True: the storage has taken every outcome, and no lease is left."""
        return not (self.leases or self._finishes or self._in_flight or self._popped)

    def heard(self, worker: str, reply: HeartbeatReply) -> None:
        """Take what a heartbeat brought."""
        if worker != self.worker:
            return
        for job_id in reply.cancelled:
            attempt = self.attempts.get(job_id)
            if attempt is not None:
                attempt.stop(Stop.CANCEL)
        if reply.held is not None:
            self._reconcile(reply.held)
        else:
            self._missing.clear()
            self._unknown.clear()

    def _reconcile(self, held: Sequence[tuple[str, int]]) -> None:
        """The storage counts other leases: give back what isn't known here, stop what isn't known there."""
        # A heartbeat may tell of a time before the last exchange, so only what is told twice counts.
        unknown = {
            (job_id, exchange)
            for job_id, exchange in held
            if exchange <= self._acknowledged and self.leases.get(job_id) != exchange
        }
        for job_id, exchange in unknown & self._unknown:
            logger.warning("job %s: a lease that this worker doesn't know of is given back", job_id)
            self._finishes.append(Finish(job_id, exchange, Outcome.RELEASED))
            self.want()
        self._unknown = unknown - self._unknown
        known = set(held)
        missing = {
            (job_id, exchange) for job_id, exchange in self.leases.items() if (job_id, exchange) not in known
        }
        for job_id, exchange in missing & self._missing:
            attempt = self.attempts.get(job_id)
            if (
                attempt is not None
                and attempt.grant.exchange == exchange
                and attempt.stop_reason is not Stop.LOST
            ):
                logger.warning(
                    "job %s (%s): its lease was lost; this attempt is stopped", job_id, attempt.grant.name
                )
                attempt.stop(Stop.LOST)
        self._missing = missing

    # -- the loops --

    async def exchanges(self) -> None:
        """Exchange whenever there is a reason to, until cancelled."""
        self.want()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self.exchange_once()

    async def listen(self) -> None:
        """Wait for markers while slots are free, until it is told to be quiet."""
        with self._listening:
            while True:
                await self._hungry.wait()
                try:
                    queue = await self._storage.wait_for_work(self.shard, self._queues(), BACKSTOP)
                except StorageUnavailable:
                    # A marker may have been taken and lost with the connection.
                    self.want()
                    await asyncio.sleep(RETRY_DELAY)
                    continue
                except StorageError as error:
                    logger.error("can't wait for work: %s", error)
                    await asyncio.sleep(BACKSTOP)
                    continue
                if queue is not None:
                    self._popped.add(queue)
                    self._hungry.clear()
                    self.want()
        self.want()

    async def exchange_once(self) -> None:
        """One exchange, sent again until it is answered."""
        if not self.worker:
            self._number = self._acknowledged = 0
            self.worker = await self._register(self.shard)
            self.ready.set()
        slots = 0 if self._quiet else self._slots.reserve(self, MAX_GRANTS)
        if not slots and not self._needed and not self._slots.free:
            # It was offered slots that others have taken since; it is told of the next ones.
            self.turns += 1
            return
        self._needed = False
        finishes = self._next_finishes()
        popped = tuple(self._popped)
        self._number += 1
        request = ExchangeRequest(
            self.worker, self._number, slots, self._queues(), popped, finishes, self._retention
        )
        self._in_flight = True
        try:
            reply = await self._send(request)
        except WorkerGone:
            self._slots.release(slots)
            await self._begin_anew(len(finishes))
            return
        except BaseException:
            self._slots.release(slots)
            raise
        finally:
            self._in_flight = False
        self.turns += 1
        del self._finishes[: len(finishes)]
        self._popped.difference_update(popped)
        self._acknowledged = request.number
        self._slots.release(slots - len(reply.grants))
        self._take_results(finishes, reply)
        if reply.grants:
            started = [self._start(grant) for grant in reply.grants]
            self.clocking.granted(reply, started, asyncio.get_running_loop().time())
        if reply.follow_ups:
            self._carry_on(self.shard)
        self._plan(reply, slots)

    async def _send(self, request: ExchangeRequest) -> ExchangeReply:
        unreachable = False
        while True:
            try:
                reply = await self._storage.exchange(self.shard, request)
            except (WorkerGone, asyncio.CancelledError):
                raise
            except StorageError as error:
                if not unreachable or not isinstance(error, StorageUnavailable):
                    logger.warning(
                        "exchange %d of %s: %s; trying again", request.number, request.worker, error
                    )
                unreachable = True
                await asyncio.sleep(RETRY_DELAY)
            else:
                if unreachable:
                    logger.info("the storage answers again")
                return reply

    def _next_finishes(self) -> list[Finish]:
        waiting = self._finishes
        taken: list[Finish] = []
        work = size = 0
        for finish in waiting:
            # A failure costs Redis some times what a success does: its history, another list.
            work += 1 if finish.outcome is Outcome.SUCCEEDED else 4
            size += len(finish.result) + len(finish.error)
            if taken and (work > MAX_FINISHES or size > MAX_RESULT_BYTES):
                break
            taken.append(finish)
        return taken

    def _take_results(self, finishes: Sequence[Finish], reply: ExchangeReply) -> None:
        for finish, result in zip(finishes, reply.results, strict=True):
            if self.leases.get(finish.id) == finish.exchange:
                del self.leases[finish.id]
            if result is Finished.LOST:
                logger.warning("job %s: its lease was lost, so this attempt's outcome is dropped", finish.id)
        if reply.dropped:
            logger.error(
                "ids of jobs that are gone, or whose record is broken, were dropped from a queue or from"
                " those that wait: %s (was something changed by hand?)",
                ", ".join(reply.dropped),
            )

    def _start(self, grant: Grant) -> Attempt:
        self.leases[grant.id] = grant.exchange
        attempt = self._runner.start(grant, self.worker, self._ended, self._freed)
        self.attempts[grant.id] = attempt
        if self._stopping:
            attempt.stop(Stop.SHUTDOWN)
        return attempt

    def _ended(self, attempt: Attempt, finish: Finish | None) -> None:
        if attempt.started:
            self.clocking.ended(attempt, asyncio.get_running_loop().time())
        if self.leases.get(attempt.grant.id) == attempt.grant.exchange:
            if finish is not None:
                self._finishes.append(finish)
            else:
                del self.leases[attempt.grant.id]
        self.want()

    def _freed(self, attempt: Attempt) -> None:
        self._slots.release()
        if self.attempts.get(attempt.grant.id) is attempt:
            del self.attempts[attempt.grant.id]
        self.want()

    def _plan(self, reply: ExchangeReply, slots: int) -> None:
        """Decide when to exchange next."""
        self._filled = len(reply.grants) == slots
        if reply.more or self._finishes or self._popped:
            self.want()
        if self._slots.free > 0 and not self._quiet:
            if self._filled:
                self.offer()
            elif not self._popped:
                self._hungry.set()
        else:
            self._hungry.clear()
        delay = BACKSTOP
        if reply.next_due_ms is not None:
            due = max(0, reply.next_due_ms - reply.now_ms) / 1000
            delay = min(delay, due if reply.due_claimed else due + random.uniform(*STAGGER))
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay, self.want)

    # -- registering --

    async def _begin_anew(self, outcomes: int) -> None:
        """The storage took this worker for dead: whatever it runs is somebody else's now."""
        logger.error(
            "%s lost its lease: %d running jobs are stopped and %d outcomes dropped; others have them now",
            self.worker,
            len(self.attempts),
            outcomes,
        )
        self.ready.clear()
        for attempt in list(self.attempts.values()):
            attempt.reported = True
            attempt.stop(Stop.LOST)
        self._filled = False
        self._finishes.clear()
        self.leases.clear()
        self.worker = ""
        self.want()
