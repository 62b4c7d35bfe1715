"""Mending what an audit has found: each kind of finding by a script, which looks at it again first.

What is found is what somebody has to know to look again; what is done about it is decided by the script, in
the same step, from what is there then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asyncjobs.errors import StorageError
from asyncjobs.storage.audit import MEND_LIMIT, Finding, Mending, Snapshot, Tally, right_counters
from asyncjobs.storage.audit.batches import WAITING
from asyncjobs.storage.base import STUB_MS, BatchState, State
from asyncjobs.storage.redis import scripts
from asyncjobs.storage.redis.keys import BATCH_FIELDS, STATE_OF, STATES, WORKER_FIELDS
from asyncjobs.storage.redis.replies import BATCH_STATES
from asyncjobs.storage.redis.shard import Shard
from asyncjobs.storage.redis.snapshot import META_TIMES, snapshot
from asyncjobs.storage.redis.survey import EXPIRING, TYPES

COUNTS = 5
"""How often a batch's members are counted until it didn't count anything itself meanwhile."""
WRONG_TYPE = "WRONGTYPE"
"""How Redis begins to say that a key holds something else."""
MOVED = "?"
"""What a script says of a batch that doesn't count any more what it did."""

LOST = {
    "job": "the job that it was is gone",
    "history": "what it held is gone",
    "log": "what it held is gone",
    "stats": "the totals begin anew",
    "hour": "that hour's totals begin anew",
    "day": "that day's totals begin anew",
    "queues": "queues that were paused aren't any more",
    "lock": "its holder has lost it",
    "recurring": "the definitions that it held are gone",
    "outbox": "what it held is asked for again",
}
"""What can't be had back, of kinds of keys that held something else."""


class RedisMending:
    """The part of `RedisStorage` that deals with damage."""

    _shards: list[Shard]

    async def snapshot(self, shard: int) -> Snapshot:
        """See `AuditStorage.snapshot`."""
        return await snapshot(self._shards[shard])

    async def mend(self, shard: int, finding: Finding, *, apply: bool = True) -> Mending | None:
        """See `AuditStorage.mend`."""
        part = self._shards[shard]
        try:
            told = await _MENDERS[finding.kind](part, finding, "1" if apply else "")
        except StorageError as error:
            if WRONG_TYPE not in str(error):
                raise
            # A key that it needs is in the way: that is found as well, and moved aside before.
            return None
        if finding.kind == "worker" and apply:
            await _reap(part, finding.id)
        return _mending(finding, told)

    async def mend_recurring(
        self, shard: int, finding: Finding, revision: str, timing: str, next_ms: int | None, *, apply: bool
    ) -> Mending | None:
        """See `AuditStorage.mend_recurring`."""
        part = self._shards[shard]
        told = (finding.id, revision, timing, "" if next_ms is None else next_ms)
        reply = await part.run(scripts.MEND_RECURRING, part.now(), "1" if apply else "", *told)
        return _mending(finding, _text(reply))


def _text(reply: Any) -> str:
    return str(reply.decode(errors="replace"))


def _mending(finding: Finding, told: str) -> Mending | None:
    if not told:
        return None
    return Mending(finding, told.removeprefix("!"), is_done=not told.startswith("!"))


async def _reap(part: Shard, worker: str) -> None:
    """Take back what a worker held that turned out to be dead; no other may be there to do so."""
    key = part.keys.key("worker", worker)
    while await part.persist(("HEXISTS", key, WORKER_FIELDS["reaping"])):
        await part.run(scripts.REAP, part.now(), worker, MEND_LIMIT)


async def _key(part: Shard, finding: Finding, apply: str) -> str:
    type_ = TYPES[finding.place]
    name = finding.id.removeprefix(part.tag).removeprefix(":")
    told = _text(await part.run(scripts.MEND_KEY, part.now(), apply, finding.id, type_, name))
    lost = LOST.get(finding.place)
    return f"{told}; {lost}" if told and lost else told


async def _number(part: Shard, finding: Finding, apply: str) -> str:
    most = META_TIMES.get(finding.place, "") if finding.id == part.keys.key("meta") else ""
    reply = await part.run(scripts.MEND_NUMBER, part.now(), apply, finding.id, finding.place, most)
    return _text(reply)


async def _expiry(part: Shard, finding: Finding, apply: str) -> str:
    if finding.place == "job":
        return await _job(part, finding, apply)
    if finding.place == "unique":
        return await _unique(part, Finding("unique", finding.id, "", "key"), apply)
    key = finding.id if finding.place != "stub" else part.keys.key("job", finding.id)
    after = EXPIRING.get(finding.place, "")
    stub = ""
    if finding.place == "stub":
        after, stub = STUB_MS, "1"
    return _text(await part.run(scripts.MEND_EXPIRY, apply, key, after, stub))


async def _job(part: Shard, finding: Finding, apply: str) -> str:
    stamp = " ".join(map(str, finding.numbers))
    return _text(await part.run(scripts.MEND_JOB, part.now(), apply, finding.id, stamp))


async def _id(part: Shard, finding: Finding, apply: str) -> str:
    if finding.place.startswith("list "):
        return await _job(part, finding, apply)
    return _text(await part.run(scripts.MEND_PLACE, apply, finding.place, finding.id))


async def _orphan(part: Shard, finding: Finding, apply: str) -> str:
    return _text(await part.run(scripts.MEND_ORPHAN, apply, finding.id))


async def _worker(part: Shard, finding: Finding, apply: str) -> str:
    return _text(await part.run(scripts.MEND_WORKER, part.now(), apply, finding.id))


async def _lease(part: Shard, finding: Finding, apply: str) -> str:
    told = await _job(part, finding, apply)
    if finding.place:
        told = told or _text(await part.run(scripts.MEND_LEASE, apply, finding.place, finding.id))
    return told


async def _cancel(part: Shard, finding: Finding, apply: str) -> str:
    return _text(await part.run(scripts.MEND_CANCEL, apply, finding.place, finding.id))


async def _member(part: Shard, finding: Finding, apply: str) -> str:
    return _text(await part.run(scripts.MEND_MEMBER, apply, finding.place, finding.id))


async def _batch(part: Shard, finding: Finding, apply: str) -> str:
    if finding.place.startswith("lost"):
        jobs, staging = finding.numbers
        outer = finding.place[5:]
        reply = await part.run(scripts.MEND_LOST_BATCH, part.now(), apply, finding.id, jobs, staging, outer)
        return _text(reply)
    for _ in range(COUNTS):
        if (counted := await _count(part, finding.id)) is None:
            continue
        vector, tally = counted
        nested_succeeded = int(vector.split(",")[6] or 0)
        right = right_counters(tally, nested_succeeded)
        staging = tally.jobs[State.STAGING] + tally.nested[BatchState.STAGING]
        waiting = sum(tally.jobs[state] for state in WAITING)
        fields = {
            BATCH_FIELDS["total"]: right.total,
            STATES[State.SUCCEEDED]: right.succeeded,
            STATES[State.FAILED]: right.failed,
            STATES[State.CANCELLED]: right.cancelled,
            BATCH_FIELDS["nested"]: right.nested,
            BATCH_FIELDS["nested_succeeded"]: right.nested_succeeded,
            BATCH_FIELDS["nested_failed"]: right.nested_failed,
        }
        told = _text(
            await part.run(
                *(scripts.MEND_BATCH, part.now(), apply, finding.id, vector, staging, waiting),
                "1" if right.ended else "",
                *(value for field in fields.items() for value in field),
            )
        )
        if told != MOVED:
            return told
    # Its members end while they are counted: it is too busy to say anything of it.
    return ""


async def _count(part: Shard, batch_id: str) -> tuple[str, Tally] | None:
    """What a batch counts, and what its members are; None if one of these has changed meanwhile."""
    tally = Tally()
    first: str | None = None
    at, found = 0, MEND_LIMIT
    while found == MEND_LIMIT:
        reply = await part.run(scripts.COUNT_MEMBERS, batch_id, at, MEND_LIMIT)
        vector, found = reply[0].decode(errors="replace"), reply[1]
        if first is not None and vector != first:
            return None
        first = vector
        at += found
        for state, count in zip(reply[2][::2], reply[2][1::2], strict=True):
            tally.jobs[STATE_OF.get(state, State.STAGING)] += count
        for state, count in zip(reply[3][::2], reply[3][1::2], strict=True):
            if state in BATCH_STATES:
                tally.nested[BATCH_STATES[state]] += count
            else:
                tally.gone += count
    assert first is not None
    removed = first.split(",")[8:11]
    for state, count in zip((State.SUCCEEDED, State.FAILED, State.CANCELLED), removed, strict=True):
        tally.removed[state] += int(count or 0)
    return first, tally


async def _continuation(part: Shard, finding: Finding, apply: str) -> str:
    if finding.place == "waits":
        return _text(await part.run(scripts.MEND_WAITING, part.now(), apply, finding.id))
    child = "" if finding.place == "node" else finding.place
    return _text(await part.run(scripts.MEND_NODE, part.now(), apply, finding.id, child))


async def _message(part: Shard, finding: Finding, apply: str) -> str:
    return _text(await part.run(scripts.MEND_MESSAGE, part.now(), apply, finding.id, finding.place))


async def _follow_up(part: Shard, finding: Finding, apply: str) -> str:
    entry, message = (finding.id, "") if finding.place != "message" else ("x", finding.id)
    return _text(await part.run(scripts.MEND_FOLLOW_UP, part.now(), apply, entry, message))


async def _queue(part: Shard, finding: Finding, apply: str) -> str:
    said, found = finding.numbers or ("", "")
    marker = "1" if finding.kind == "marker" else ""
    return _text(await part.run(scripts.MEND_QUEUE, apply, finding.id, said, found, marker))


async def _limit(part: Shard, finding: Finding, apply: str) -> str:
    told: list[str] = []
    for queue in finding.place.split():
        cursor = b"0"
        while True:
            which = (finding.id, queue, cursor, MEND_LIMIT)
            cursor, done = await part.run(scripts.MEND_THROTTLED, part.now(), apply, *which)
            told.append(_text(done))
            if cursor == b"0":
                break
    told.append(_text(await part.run(scripts.MEND_LIMIT, part.now(), apply, finding.id, finding.place)))
    if told[-1].startswith("!"):
        return told[-1]
    return "; ".join(filter(None, told))


async def _unique(part: Shard, finding: Finding, apply: str) -> str:
    job_id = "" if finding.place == "key" else finding.place
    return _text(await part.run(scripts.MEND_UNIQUE, part.now(), apply, finding.id, job_id))


async def _recurring(part: Shard, finding: Finding, apply: str) -> str:
    return _text(await part.run(scripts.MEND_RECURRING, part.now(), apply, finding.id, "", "", ""))


async def _lock(part: Shard, finding: Finding, apply: str) -> str:
    return _text(await part.run(scripts.MEND_LOCK, part.now(), apply, finding.id))


async def _staging(part: Shard, finding: Finding, apply: str) -> str:
    """Workers would do so; and others that were left behind are given up as well."""
    if apply:
        await part.run(scripts.SWEEP_BATCHES, part.now())
    return "it is given up, with its members"


_MENDERS: dict[str, Callable[[Shard, Finding, str], Awaitable[str]]] = {
    "key": _key,
    "number": _number,
    "expiry": _expiry,
    "orphan": _orphan,
    "record": _job,
    "worker": _worker,
    "lease": _lease,
    "job": _job,
    "id": _id,
    "cancel": _cancel,
    "member": _member,
    "batch": _batch,
    "staging": _staging,
    "continuation": _continuation,
    "message": _message,
    "follow-up": _follow_up,
    "unique": _unique,
    "limit": _limit,
    "queue": _queue,
    "marker": _queue,
    "recurring": _recurring,
    "lock": _lock,
}
