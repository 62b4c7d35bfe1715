"""Recurring jobs on Redis: each verb of `RecurringStorage` as one script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncjobs.ids import shard_for
from asyncjobs.storage.base import (
    Changed,
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
from asyncjobs.storage.redis import scripts
from asyncjobs.storage.redis.connection import EncodableArg
from asyncjobs.storage.redis.keys import FIELDS, RECURRING_FIELDS, STATE_OF, pieces
from asyncjobs.storage.redis.requests import how_of, linked_fields
from asyncjobs.storage.redis.shard import Shard

_R = {name: field.encode() for name, field in RECURRING_FIELDS.items()}
_RENEWED = {str(code.value): code for code in Renewed}
DUE_VALUES = 5


class RedisRecurrences:
    """The recurring jobs of `RedisStorage`, which has the shards."""

    _shards: list[Shard]

    def _for(self, recurring_id: str) -> Shard:
        return self._shards[shard_for(recurring_id, len(self._shards))]

    async def time_ms(self, shard: int) -> int:
        """See `RecurringStorage.time_ms`."""
        part = self._shards[shard]
        if part.clock is not None:
            return part.clock()
        seconds, microseconds = await part.persist(("TIME",))
        return int(seconds) * 1000 + int(microseconds) // 1000

    async def put_recurring(self, new: NewRecurring, next_ms: int | None) -> Put:
        """See `RecurringStorage.put_recurring`."""
        shard = self._for(new.id)
        declared = "1" if new.declared else ""
        told = (new.id, new.definition, new.revision, new.timing, declared, _told(next_ms))
        return Put(await shard.run(scripts.RECURRING_PUT, shard.now(), *told))

    async def renew_recurring(
        self, shard: int, declared: Sequence[tuple[str, str]], *, starting: bool
    ) -> tuple[int, list[Renewed]]:
        """See `RecurringStorage.renew_recurring`."""
        part = self._shards[shard]
        args: list[EncodableArg] = ["1" if starting else ""]
        for recurring_id, revision in declared:
            args += (recurring_id, revision)
        now, codes = await part.run(scripts.RECURRING_RENEW, part.now(), *args)
        return now, [_RENEWED[code] for code in codes.decode()]

    async def due_recurring(self, shard: int, worker: str, limit: int, offset: int = 0) -> DueReply:
        """See `RecurringStorage.due_recurring`."""
        part = self._shards[shard]
        reply = await part.run(scripts.RECURRING_DUE, part.now(), worker, limit, offset)
        now, more, next_, claimed, orphaned, broken, flat = reply
        due = [
            Due(
                flat[at].decode(errors="replace"),
                flat[at + 1],
                flat[at + 2].decode(),
                int(flat[at + 3]),
                bool(flat[at + 4]),
            )
            for at in range(0, len(flat), DUE_VALUES)
        ]
        return DueReply(
            now_ms=now,
            due=due,
            more=bool(more),
            next_ms=int(next_) if next_ else None,
            claimed=bool(claimed),
            orphaned=[name.decode(errors="replace") for name in orphaned],
            dropped=[name.decode(errors="replace") for name in broken],
        )

    async def fire_recurring(self, firing: Firing) -> Fired:
        """See `RecurringStorage.fire_recurring`."""
        shard = self._for(firing.id)
        args: list[EncodableArg] = [
            *(firing.id, firing.revision, firing.expected_ms, _told(firing.next_ms), firing.last_ms),
            *(firing.missed, firing.passed, firing.overlap),
        ]
        for job in firing.jobs:
            _add_job(args, job)
        return Fired(await shard.run(scripts.RECURRING_FIRE, shard.now(), *args))

    async def trigger_recurring(self, recurring_id: str, job: NewJob) -> Triggered:
        """See `RecurringStorage.trigger_recurring`."""
        shard = self._for(recurring_id)
        args: list[EncodableArg] = []
        _add_job(args, job)
        return Triggered(await shard.run(scripts.RECURRING_TRIGGER, shard.now(), recurring_id, *args))

    async def reschedule_recurring(self, new: NewRecurring, known: str, next_ms: int | None) -> Changed:
        """See `RecurringStorage.reschedule_recurring`."""
        shard = self._for(new.id)
        told = (new.id, known, new.definition, new.revision, new.timing, _told(next_ms))
        return Changed(await shard.run(scripts.RECURRING_RESCHEDULE, shard.now(), *told))

    async def pause_recurring(self, recurring_id: str) -> Changed:
        """See `RecurringStorage.pause_recurring`."""
        shard = self._for(recurring_id)
        return Changed(await shard.run(scripts.RECURRING_PAUSE, shard.now(), recurring_id))

    async def resume_recurring(self, recurring_id: str, revision: str, next_ms: int | None) -> Changed:
        """See `RecurringStorage.resume_recurring`."""
        shard = self._for(recurring_id)
        told = (recurring_id, revision, _told(next_ms))
        return Changed(await shard.run(scripts.RECURRING_RESUME, shard.now(), *told))

    async def remove_recurring(self, recurring_id: str) -> Changed:
        """See `RecurringStorage.remove_recurring`."""
        shard = self._for(recurring_id)
        return Changed(await shard.run(scripts.RECURRING_REMOVE, shard.now(), recurring_id))

    async def get_recurring(self, recurring_id: str) -> RecurringRecord | None:
        """See `RecurringStorage.get_recurring`."""
        shard = self._for(recurring_id)
        reply = await shard.run(scripts.RECURRING_GET, shard.now(), recurring_id)
        return None if reply is None else _record(reply)

    async def recurring(self, *, offset: int = 0, limit: int = 50) -> RecurringPage:
        """See `RecurringStorage.recurring`."""
        merged = len(self._shards) > 1
        span = (0, offset + limit) if merged else (offset, limit)
        rows: list[tuple[float, bytes, RecurringRecord]] = []
        total = 0
        for shard in self._shards:
            count, *told = await shard.run(scripts.RECURRING_LIST, shard.now(), *span)
            total += count
            rows += [(float(row[5]), row[0], _record(row)) for row in told]
        if merged:
            rows = sorted(rows, key=lambda row: row[:2])[offset : offset + limit]
        return RecurringPage([record for _, _, record in rows], total)


def _told(ms: int | None) -> EncodableArg:
    return "" if ms is None else ms


def _add_job(args: list[EncodableArg], job: NewJob) -> None:
    """Add what `lib/make_job.lua` takes."""
    fields: list[EncodableArg] = [FIELDS["name"], job.name, *pieces(FIELDS["payload"], job.payload)]
    if job.options:
        fields += (FIELDS["options"], job.options)
    if job.max_recoveries != 3:
        fields += (FIELDS["max_recoveries"], job.max_recoveries)
    how = how_of(job)
    if how:
        fields += linked_fields(job, 1)
    args += (job.id, job.queue, job.priority, job.due_ms, how, len(fields), *fields)


def _record(reply: list[Any]) -> RecurringRecord:
    """What `lib/recurring_told.lua` gives."""
    recurring_id, definition, flat, orphaned, state = reply[:5]
    facts = dict(zip(flat[::2], flat[1::2], strict=True))

    def number(name: str) -> int:
        return int(facts.get(_R[name]) or 0)

    return RecurringRecord(
        id=recurring_id.decode(errors="replace"),
        definition=definition,
        revision=facts.get(_R["revision"], b"").decode(),
        next_ms=int(facts[_R["next"]]) if facts.get(_R["next"]) and not orphaned else None,
        declared=_R["declared"] in facts,
        original=facts.get(_R["original"]),
        orphaned=bool(orphaned),
        paused=_R["paused"] in facts,
        waiting=_R["waiting"] in facts,
        created_ms=number("created"),
        last_ms=number("last"),
        fired_ms=number("fired_at"),
        last_job=facts.get(_R["job"], b"").decode(),
        last_state=STATE_OF.get(state),
        fired=number("fired"),
        missed=number("missed"),
        skipped=number("skipped"),
        refused=number("refused"),
        gave_up_ms=number("gave_up"),
    )
