"""Recurring jobs in memory: put, declared, fired, triggered, paused, removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import islice

from asyncjobs.ids import shard_for
from asyncjobs.storage import base
from asyncjobs.storage.base import (
    Changed,
    Conflict,
    Created,
    Due,
    DueReply,
    Fired,
    Firing,
    NewJob,
    NewRecurring,
    Put,
    RecurringPage,
    RecurringRecord,
    Renewed,
    Triggered,
)
from asyncjobs.storage.memory import by_hand
from asyncjobs.storage.memory.entries import RecurringJob
from asyncjobs.storage.memory.follow_up import conclude
from asyncjobs.storage.memory.shard import Shard

NEVER = 2**63
"""The time at which those are looked at that have no next time."""


class MemoryRecurrences:
    """The recurring jobs of `MemoryStorage`, which has the shards."""

    _shards: list[Shard]

    def _for(self, recurring_id: str) -> Shard:
        return self._shards[shard_for(recurring_id, len(self._shards))]

    async def time_ms(self, shard: int) -> int:
        """See `RecurringStorage.time_ms`."""
        return self._shards[shard].now()

    async def put_recurring(self, new: NewRecurring, next_ms: int | None) -> Put:
        """See `RecurringStorage.put_recurring`."""
        with (shard := self._for(new.id)).lock:
            return _put(shard, new, next_ms)

    async def renew_recurring(
        self, shard: int, declared: Sequence[tuple[str, str]], *, starting: bool
    ) -> tuple[int, list[Renewed]]:
        """See `RecurringStorage.renew_recurring`."""
        with (part := self._shards[shard]).lock:
            _alive(part)
            return part.now(), [_renew(part, *told, starting=starting) for told in declared]

    async def due_recurring(self, shard: int, worker: str, limit: int, offset: int = 0) -> DueReply:
        """See `RecurringStorage.due_recurring`."""
        with (part := self._shards[shard]).lock:
            return _due(part, worker, limit, offset)

    async def fire_recurring(self, firing: Firing) -> Fired:
        """See `RecurringStorage.fire_recurring`."""
        with (shard := self._for(firing.id)).lock:
            return _fire(shard, firing)

    async def trigger_recurring(self, recurring_id: str, job: NewJob) -> Triggered:
        """See `RecurringStorage.trigger_recurring`."""
        with (shard := self._for(recurring_id)).lock:
            recurring = shard.recurring.jobs.get(recurring_id)
            if recurring is None:
                return Triggered.MISSING
            if job.id not in shard.jobs and not shard.is_stub(job.id):
                if isinstance(_make(shard, job), Conflict):
                    return Triggered.NOT_UNIQUE
                _made(shard, recurring, job.id)
            return Triggered.CREATED

    async def reschedule_recurring(self, new: NewRecurring, known: str, next_ms: int | None) -> Changed:
        """See `RecurringStorage.reschedule_recurring`."""
        with (shard := self._for(new.id)).lock:
            recurring = shard.recurring.jobs.get(new.id)
            if recurring is None:
                return Changed.MISSING
            if recurring.revision != known:
                return Changed.OUTDATED
            _reschedule(shard, recurring, new, next_ms)
            return Changed.DONE

    async def pause_recurring(self, recurring_id: str) -> Changed:
        """See `RecurringStorage.pause_recurring`."""
        with (shard := self._for(recurring_id)).lock:
            recurring = shard.recurring.jobs.get(recurring_id)
            if recurring is None:
                return Changed.MISSING
            recurring.paused, recurring.waiting = True, False
            _set_next(shard, recurring, None)
            return Changed.DONE

    async def resume_recurring(self, recurring_id: str, revision: str, next_ms: int | None) -> Changed:
        """See `RecurringStorage.resume_recurring`."""
        with (shard := self._for(recurring_id)).lock:
            recurring = shard.recurring.jobs.get(recurring_id)
            if recurring is None:
                return Changed.MISSING
            if recurring.paused:
                if recurring.revision != revision:
                    return Changed.OUTDATED
                recurring.paused = False
                if not _is_orphaned(shard, recurring):
                    _set_next(shard, recurring, next_ms)
            return Changed.DONE

    async def remove_recurring(self, recurring_id: str) -> Changed:
        """See `RecurringStorage.remove_recurring`."""
        with (shard := self._for(recurring_id)).lock:
            recurring = shard.recurring.jobs.get(recurring_id)
            if recurring is None:
                return Changed.MISSING
            if recurring.declared and not _is_orphaned(shard, recurring):
                return Changed.DECLARED
            del shard.recurring.jobs[recurring_id]
            shard.recurring.looks.discard(recurring_id)
            return Changed.DONE

    async def get_recurring(self, recurring_id: str) -> RecurringRecord | None:
        """See `RecurringStorage.get_recurring`."""
        with (shard := self._for(recurring_id)).lock:
            recurring = shard.recurring.jobs.get(recurring_id)
            return _record(shard, recurring) if recurring else None

    async def recurring(self, *, offset: int = 0, limit: int = 50) -> RecurringPage:
        """See `RecurringStorage.recurring`."""
        rows: list[tuple[tuple[int, ...], str, RecurringRecord]] = []
        for shard in self._shards:
            with shard.lock:
                looks = shard.recurring.looks
                for recurring_id in islice(looks, offset + limit):
                    record = _record(shard, shard.recurring.jobs[recurring_id])
                    rows.append((looks.rank(recurring_id), recurring_id, record))
        rows.sort(key=lambda row: row[:2])
        total = sum(len(shard.recurring.jobs) for shard in self._shards)
        return RecurringPage([record for _, _, record in rows[offset : offset + limit]], total)


def _put(shard: Shard, new: NewRecurring, next_ms: int | None) -> Put:
    known = shard.recurring.jobs.get(new.id)
    orphaned = known is not None and _is_orphaned(shard, known)
    if known and not orphaned and known.declared != new.declared:
        return Put.TAKEN
    now = shard.now()
    recurring = known or RecurringJob(new.id, b"", "", None, created_ms=now)
    kept = known is not None and not orphaned and known.timing == new.timing
    recurring.definition, recurring.revision, recurring.timing = new.definition, new.revision, new.timing
    recurring.declared = new.declared
    recurring.code, recurring.original = "", None
    recurring.seen_ms = recurring.held_ms = now if new.declared else 0
    if kept:
        return Put.KEPT
    shard.recurring.jobs[new.id] = recurring
    recurring.orphaned = recurring.waiting = False
    _set_next(shard, recurring, None if recurring.paused else next_ms)
    return Put.MOVED


def _reschedule(shard: Shard, recurring: RecurringJob, new: NewRecurring, next_ms: int | None) -> None:
    if recurring.declared and recurring.original is None and recurring.revision != new.revision:
        recurring.code, recurring.original = recurring.revision, recurring.definition
    moves = recurring.timing != new.timing
    recurring.definition, recurring.revision, recurring.timing = new.definition, new.revision, new.timing
    if recurring.code == new.revision:
        recurring.code, recurring.original = "", None
    if moves:
        recurring.waiting = False
        stands = recurring.paused or _is_orphaned(shard, recurring)
        _set_next(shard, recurring, None if stands else next_ms)


def _renew(shard: Shard, recurring_id: str, revision: str, *, starting: bool) -> Renewed:
    recurring = shard.recurring.jobs.get(recurring_id)
    if recurring is None:
        return Renewed.WANTED
    if not recurring.declared:
        return Renewed.TAKEN
    if _is_orphaned(shard, recurring):
        return Renewed.WANTED
    now = shard.now()
    if revision in (recurring.revision, recurring.code):
        recurring.seen_ms = recurring.held_ms = now
        return Renewed.RENEWED
    if starting or (now - recurring.held_ms > base.ORPHAN_MS and now >= shard.recurring.hold_ms):
        return Renewed.WANTED
    recurring.seen_ms = now
    return Renewed.OTHER


def _due(shard: Shard, worker: str, limit: int, offset: int) -> DueReply:
    _alive(shard)
    now = shard.now()
    reply = DueReply(now, [], False, None, False, [], [])
    ids = list(islice(shard.recurring.looks.up_to(now), offset, offset + limit))
    for recurring_id in ids:
        recurring = shard.recurring.jobs[recurring_id]
        if _is_orphaned(shard, recurring):
            recurring.orphaned, recurring.waiting = True, False
            _set_next(shard, recurring, None)
            reply.orphaned.append(recurring_id)
        else:
            next_ms = recurring.next_ms
            assert next_ms is not None
            reply.due.append(
                Due(recurring_id, recurring.definition, recurring.revision, next_ms, recurring.waiting)
            )
    reply.more = len(ids) == limit
    later = next(iter(shard.recurring.looks.beyond(now)), None)
    if later is not None and (at := shard.recurring.looks.rank(later)[0]) < NEVER:
        reply.next_ms = at
        reply.claimed = _claim(shard, at, worker)
    return reply


def _fire(shard: Shard, firing: Firing) -> Fired:
    recurring = shard.recurring.jobs.get(firing.id)
    if recurring is None or recurring.revision != firing.revision or recurring.next_ms != firing.expected_ms:
        return Fired.LOST
    now = shard.now()
    fired = Fired.FIRED
    if firing.overlap != "allow" and firing.jobs:
        recurring.open = [job_id for job_id in recurring.open if _is_open(shard, job_id)]
        if recurring.open and firing.overlap == "queue":
            recurring.waiting = True
            shard.recurring.looks.put(recurring.id, now + base.WAIT_MS)
            return Fired.WAITS
        if recurring.open:
            fired = Fired.SKIPPED
    recurring.waiting = False
    _set_next(shard, recurring, firing.next_ms)
    made: list[str] = []
    if fired is Fired.FIRED:
        made = [job.id for job in firing.jobs if not isinstance(_make(shard, job), Conflict)]
        if firing.jobs and not made:
            fired = Fired.SKIPPED
    skipped = len(firing.jobs) - len(made)
    if firing.missed or firing.passed or skipped:
        recurring.gave_up_ms = now
    recurring.missed += firing.missed
    recurring.skipped += firing.passed + skipped
    for job_id in made:
        _made(shard, recurring, job_id)
        recurring.last_ms = firing.last_ms
    recurring.fired += len(made)
    return fired


def _make(shard: Shard, job: NewJob) -> Created | Conflict:
    queues: set[str] = set()
    created = by_hand.create(shard, job, 1, queues)
    conclude(shard, queues)
    return created


def _made(shard: Shard, recurring: RecurringJob, job_id: str) -> None:
    recurring.last_job = job_id
    recurring.fired_ms = shard.now()
    recurring.open = [known for known in recurring.open if known != job_id]
    recurring.open.append(job_id)
    if len(recurring.open) > base.OPEN_LIMIT:
        recurring.open = [known for known in recurring.open if _is_open(shard, known)][-base.OPEN_LIMIT :]


def _set_next(shard: Shard, recurring: RecurringJob, next_ms: int | None) -> None:
    recurring.next_ms = next_ms
    shard.recurring.looks.put(recurring.id, NEVER if next_ms is None else next_ms)


def _is_open(shard: Shard, job_id: str) -> bool:
    job = shard.jobs.get(job_id)
    return job is not None and not job.state.is_final


def _alive(shard: Shard) -> None:
    """Note that somebody looks after recurring jobs; after a long silence, hold orphaning back."""
    recurring, now = shard.recurring, shard.now()
    if recurring.alive_ms is not None and now - recurring.alive_ms > base.ORPHAN_MS // 2:
        recurring.hold_ms = now + base.ORPHAN_MS
    if recurring.alive_ms is None or now - recurring.alive_ms > base.ALIVE_MS:
        recurring.alive_ms = now


def _is_orphaned(shard: Shard, recurring: RecurringJob) -> bool:
    """Whether it is declared, but by no worker any more. While nobody looks at all, nobody is to blame."""
    now = shard.now()
    silent = shard.recurring.alive_ms is not None and now - shard.recurring.alive_ms > base.ORPHAN_MS // 2
    overdue = now - recurring.seen_ms > base.ORPHAN_MS and now >= shard.recurring.hold_ms and not silent
    return recurring.declared and (recurring.orphaned or overdue)


def _claim(shard: Shard, at_ms: int, worker_id: str) -> bool:
    if shard.recurring.claim is not None:
        claimed_ms, holder = shard.recurring.claim
        if claimed_ms == at_ms and holder != worker_id and holder in shard.workers:
            return False
    shard.recurring.claim = (at_ms, worker_id)
    return True


def _record(shard: Shard, recurring: RecurringJob) -> RecurringRecord:
    """A copy for readers."""
    record = RecurringRecord(**{part.name: getattr(recurring, part.name) for part in fields(RecurringRecord)})
    record.orphaned = _is_orphaned(shard, recurring)
    if record.orphaned:
        record.next_ms = None
    job = shard.jobs.get(recurring.last_job)
    record.last_state = job.state if job else None
    return record
