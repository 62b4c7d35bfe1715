"""Recurring jobs in a worker: it says which ones its code declares, and fires what is due on a shard.

Any number of workers do so, and none of them leads: who comes first fires. To keep them from coming all at
once, one claims the next time and comes right then, and the others come a little later, in case it died.
Step functions, and a loop for each shard.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asyncjobs.clock import to_datetime
from asyncjobs.errors import SerializationError, StorageError
from asyncjobs.ids import shard_for
from asyncjobs.recurrence import Recurrence
from asyncjobs.storage.base import Due, Fired, Put, Renewed, Storage

logger = logging.getLogger("asyncjobs.worker")

BACKSTOP = 1.0
"""Seconds after which it looks though nothing called for it: somebody may have put an earlier one."""
STAGGER = (0.05, 0.5)
"""Seconds between which a worker looks at a time that another one has claimed."""
DUE_LIMIT = 50
"""Recurring jobs that one look finds."""
RENEW_EVERY = 60.0
"""Seconds between two times that a worker says what its code declares."""
RETRY_DELAY = 1.0


@dataclass
class Looked:
    """What a look at the due recurring jobs came to."""

    fired: int
    """Recurring jobs that were fired by it."""
    again: bool
    """There is more to do at once."""
    wait: float
    """Seconds until the next look, else."""


class Recurring:
    """What a worker does for the recurring jobs of one shard."""

    def __init__(
        self, storage: Storage, shard: int, declared: Sequence[Recurrence], worker: Callable[[], str]
    ) -> None:
        self._storage = storage
        self._shard = shard
        self._declared = {one.id: one for one in declared if shard_for(one.id, storage.shards) == shard}
        self._worker = worker
        self._starting = True
        self._unreadable = 0
        """How many of those that are due it has found unreadable since it last began with the earliest."""
        self._told: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Declare and fire until cancelled."""
        loop = asyncio.get_running_loop()
        next_renewal = loop.time()
        while True:
            try:
                if loop.time() >= next_renewal:
                    await self.declare_once()
                    next_renewal = loop.time() + RENEW_EVERY * random.uniform(0.8, 1.2)
                looked = await self.fire_once()
            except StorageError as error:
                logger.warning("recurring jobs: %s", error)
                await asyncio.sleep(RETRY_DELAY)
            else:
                await asyncio.sleep(0 if looked.again else looked.wait)

    # -- declaring --

    async def declare_once(self) -> None:
        """Say which recurring jobs the worker's code declares, and put those that are wanted."""
        declared = [(one, one.new(declared=True)) for one in self._declared.values()]
        told = [(new.id, new.revision) for _, new in declared]
        now, codes = await self._storage.renew_recurring(self._shard, told, starting=self._starting)
        for (one, new), code in zip(declared, codes, strict=True):
            taken = code is Renewed.TAKEN
            if code is Renewed.WANTED:
                put = await self._storage.put_recurring(new, one.next_after(now))
                taken = put is Put.TAKEN
                if not taken:
                    logger.info("recurring job %s is declared: %s", one.id, one.schedule)
            if taken:
                self._say_once(
                    logging.ERROR,
                    one.id,
                    "is declared here, but a client has put one of that id, which stays: remove that, or give"
                    " this one another id",
                )
            elif code is Renewed.OTHER:
                self._say_once(
                    logging.INFO, one.id, "stays as another worker declares it, as long as that one lives"
                )
            else:
                self._told = {said for said in self._told if said[0] != one.id}
        self._starting = False

    def _say_once(self, level: int, recurring_id: str, text: str) -> None:
        if (recurring_id, text) not in self._told:
            self._told.add((recurring_id, text))
            logger.log(level, "recurring job %s %s", recurring_id, text)

    # -- firing --

    async def fire_once(self) -> Looked:
        """Look at what is due on the shard, and fire it."""
        # The unreadable ones stay due, before all others: looked at alone, they would hold those up.
        reply = await self._storage.due_recurring(
            self._shard, self._worker(), DUE_LIMIT, offset=self._unreadable
        )
        for recurring_id in reply.orphaned:
            logger.warning(
                "recurring job %s is orphaned: no worker's code declares it any more, and it isn't fired",
                recurring_id,
            )
        for recurring_id in reply.dropped:
            logger.error("recurring job %s: its record makes no sense; it isn't fired any more", recurring_id)
        results = [await self._fire(due, reply.now_ms) for due in reply.due]
        known = [result for result in results if result is not None]
        self._unreadable = self._unreadable + len(results) - len(known) if reply.more else 0
        if reply.next_ms is None:
            wait = BACKSTOP
        else:
            wait = (reply.next_ms - reply.now_ms) / 1000
            wait += 0 if reply.claimed else random.uniform(*STAGGER)
        return Looked(
            fired=known.count(Fired.FIRED),
            again=bool(known) or reply.more,
            wait=min(wait, BACKSTOP * random.uniform(0.8, 1.2)),
        )

    async def _fire(self, due: Due, now_ms: int) -> Fired | None:
        """What became of it; None if it can't be read here."""
        try:
            recurrence = Recurrence.unpack(due.id, due.definition)
        except SerializationError as error:
            self._say_once(logging.ERROR, due.id, f"is due, but {error}")
            return None
        firing = recurrence.firing(due, now_ms, self._shard)
        fired = await self._storage.fire_recurring(firing)
        if fired is Fired.LOST:
            return fired
        when = to_datetime(due.next_ms).isoformat(timespec="milliseconds")
        if fired is Fired.WAITS:
            if not due.waiting:
                logger.info(
                    "recurring job %s: the one of %s waits, as its last job hasn't ended", due.id, when
                )
            return fired
        if firing.missed:
            logger.warning("recurring job %s: %d missed from %s on are given up", due.id, firing.missed, when)
        if firing.passed:
            logger.warning(
                "recurring job %s: %d that came while that of %s waited are given up",
                due.id,
                firing.passed,
                when,
            )
        if fired is Fired.SKIPPED:
            logger.warning(
                "recurring job %s: that of %s is skipped, as its last job hasn't ended, or another job holds"
                " its unique key",
                due.id,
                when,
            )
        elif fired is Fired.REFUSED:
            logger.error(
                "recurring job %s: that of %s is given up: queue %s can't take jobs, for its key holds"
                " something else; delete that",
                due.id,
                when,
                recurrence.queue,
            )
        else:
            logger.debug("recurring job %s: fired %s", due.id, ", ".join(job.id for job in firing.jobs))
        return fired
