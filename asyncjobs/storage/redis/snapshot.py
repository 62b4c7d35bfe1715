"""A shard in Redis, read as a whole for an audit: in pages, so it is never one moment of a busy one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from asyncjobs.storage.audit import BatchFacts, Finding, JobFacts, RecurringFacts, Snapshot, WorkerFacts
from asyncjobs.storage.base import FINAL_STATES, State, Until
from asyncjobs.storage.redis import replies, scripts
from asyncjobs.storage.redis.keys import (
    BATCH_FIELDS,
    BATCH_FINISHED,
    BATCH_OPEN,
    META_FIELDS,
    RECURRING_FIELDS,
    STATE_OF,
    STATES,
    STUB,
    WORKER_FIELDS,
    limits_of,
)
from asyncjobs.storage.redis.replies import parents_of
from asyncjobs.storage.redis.shard import Shard
from asyncjobs.storage.redis.snapshot_limits import read_limits, read_unique_keys
from asyncjobs.storage.redis.survey import DAY_MS, PAGE, Survey, survey

LISTS = (State.AWAITING, State.SCHEDULED, State.THROTTLED, State.RETRYING, *FINAL_STATES)
FOLLOW_UPS = "xralckdwn"
"""What an entry of the follow-ups begins with (see `carry_on.lua`)."""
CLAIM = re.compile(r"([sfp]) \d+ (.*)", re.DOTALL)
LINKED = re.compile(r"([A-Za-z]*):(.*)", re.DOTALL)
MARKER_LOOKS = 5
"""How often a marker has to be missing: whoever takes one puts it back in a moment."""
MARKER_PAUSE = 0.02
NUMBER = re.compile(rb"-?\d+")

META_TIMES = {
    META_FIELDS["alive"]: DAY_MS,
    META_FIELDS["hold"]: DAY_MS,
    META_FIELDS["recurring_alive"]: DAY_MS,
    META_FIELDS["recurring_hold"]: DAY_MS,
    **{META_FIELDS["cursor"] + STATES[state]: DAY_MS for state in FINAL_STATES},
}
"""Fields of the meta key that hold a time, and how many ms from now that can be at most."""
META_NUMBERS = (META_FIELDS["version"], META_FIELDS["fence"])


async def snapshot(shard: Shard) -> Snapshot:
    """Read everything."""
    return await _Reader(shard).read()


class _Reader:
    """Reads a shard."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.keys = Survey()
        self.found = Snapshot(0)
        self.batches_left: set[str] = set()

    async def read(self) -> Snapshot:
        found = self.found
        found.now_ms = await self.now()
        # First the names: what comes later is then found where it is, but isn't missed where it isn't.
        self.keys = await survey(self.shard)
        found.findings = self.keys.findings
        for state in LISTS:
            found.lists[state] = {job async for job in self.sorted(state.value)}
        found.expiring = {job async for job in self.sorted("expire")}
        await self.read_queues()
        await self.read_workers()
        for kind, mark in (("continuations", ""), ("batch_continuations", "~")):
            for name in self.keys.names[kind]:
                # Of jobs on other shards, nothing is known here.
                edges = self.scores(kind, name)
                found.edges[mark + name] = {job: code % 2 == 1 async for job, code in edges}
        await self.read_batches()
        await read_unique_keys(self)
        await read_limits(self)
        await self.read_jobs()
        await self.read_follow_ups()
        await self.read_recurring()
        await self.read_meta()
        await self.read_locks()
        await self.read_markers()
        return found

    # -- commands --

    async def now(self) -> int:
        if self.shard.clock is not None:
            return self.shard.clock()
        seconds, micros = await self.shard.persist(("TIME",))
        return int(seconds) * 1000 + int(micros) // 1000

    async def call(self, command: str, kind: str, name: str = "", *args: Any) -> Any:
        """A command on a key, with an empty answer if that holds something else."""
        key = self.shard.keys.key(kind, name)
        if key in self.keys.wrong:
            return [b"0", []] if "SCAN" in command else []
        return await self.shard.persist((command, key, *args))

    async def strings(self, command: str, kind: str, name: str = "", *args: Any) -> list[str]:
        return [item.decode(errors="replace") for item in await self.call(command, kind, name, *args)]

    async def value(self, kind: str, name: str) -> str:
        return (await self.call("GET", kind, name) or b"").decode(errors="replace")

    async def fields(self, kind: str, name: str = "") -> dict[str, bytes]:
        flat = await self.call("HGETALL", kind, name)
        return dict(zip((key.decode(errors="replace") for key in flat[::2]), flat[1::2], strict=True))

    async def scan(self, command: str, kind: str, name: str = "") -> AsyncIterator[tuple[str, bytes]]:
        """All that is there from its beginning to its end, whatever comes and goes."""
        cursor: Any = b"0"
        while True:
            cursor, flat = await self.call(command, kind, name, cursor, "COUNT", PAGE)
            for at in range(0, len(flat), 2):
                yield flat[at].decode(errors="replace"), flat[at + 1]
            if cursor == b"0":
                return

    async def scores(self, kind: str, name: str = "") -> AsyncIterator[tuple[str, int]]:
        async for item, score in self.scan("ZSCAN", kind, name):
            yield item, int(float(score))

    async def sorted(self, kind: str, name: str = "") -> AsyncIterator[str]:
        async for item, _ in self.scan("ZSCAN", kind, name):
            yield item

    async def list(self, kind: str, name: str) -> AsyncIterator[str]:
        start = 0
        while page := await self.strings("LRANGE", kind, name, start, start + 10 * PAGE - 1):
            start += 10 * PAGE
            for item in page:
                yield item

    def tell(self, kind: str, name: str, detail: str, place: str = "") -> None:
        self.found.findings.append(Finding(kind, name, detail, place))

    def tell_number(self, key_kind: str, name: str, field: str) -> None:
        key = self.shard.keys.key(key_kind, name)
        self.tell("number", key, f"its field {field!r} should hold a number that can be", field)

    # -- parts --

    async def read_queues(self) -> None:
        found, names = self.found, self.keys.names
        flags = await self.fields("queues")
        ghosts = await self.fields("ghosts")
        for queue, number in ghosts.items():
            if NUMBER.fullmatch(number):
                found.ghosts[queue] = int(number)
            else:
                self.tell_number("ghosts", "", queue)
        with_ids = names["queue"] | names["priority"] | names["suspects"]
        for queue in with_ids | flags.keys():
            found.queues[queue] = [job async for job in self.list("suspects", queue)]
            found.queues[queue] += [job async for job in self.list("queue", queue)]
            found.prioritized[queue] = {job async for job in self.sorted("priority", queue)}
        found.unknown_queues = with_ids - flags.keys()

    async def read_workers(self) -> None:
        names = self.keys.names
        registered = {worker async for worker in self.sorted("workers")}
        fields = [WORKER_FIELDS[name] for name in ("reaping", "suspect", "number")]
        for worker in registered | names["worker"] | names["held"]:
            row = await self.call("HMGET", "worker", worker, *fields) or [None] * len(fields)
            facts = self.found.workers[worker] = WorkerFacts(
                held=set(await self.strings("SMEMBERS", "held", worker)),
                # One whose key holds something else has a record, as long as that does.
                known=any(row) or self.shard.keys.key("worker", worker) in self.keys.wrong,
                registered=worker in registered,
                reaping=bool(row[0]),
                suspect=(row[1] or b"").decode(errors="replace"),
            )
            facts.cancels = set(await self.strings("SMEMBERS", "cancels", worker))

    async def read_batches(self) -> None:
        listed = {batch: score async for batch, score in self.scores("batches")}
        for batch_id in self.keys.names["batch"]:
            await self.read_batch(batch_id, listed.get(batch_id))
        self.batches_left = (self.keys.names["members"] | listed.keys()) - self.keys.names["batch"]

    async def read_batch(self, batch_id: str, score: int | None) -> None:
        flat = await self.call("HGETALL", "batch", batch_id)
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        record = replies.batch_record(batch_id, flat)
        if record is None:
            if fields.get(BATCH_FIELDS["state"].encode()) == STUB.encode():
                self.found.given_up.add(batch_id)
            elif fields:
                self.found.lost_batches.add(batch_id)
            return
        counted = ("total", "nested", "nested_succeeded", "nested_failed")
        final = [STATES[state] for state in FINAL_STATES]
        for name in [BATCH_FIELDS[name] for name in counted] + final + ["t" + code for code in final]:
            if not NUMBER.fullmatch(fields.get(name.encode(), b"0")):
                self.tell_number("batch", batch_id, name)
        batch = self.found.batches[batch_id] = BatchFacts(
            record,
            [member async for member in self.sorted("members", batch_id)],
            continued=BATCH_FIELDS["continued"].encode() in fields,
            touched_ms=score,
        )
        for state in FINAL_STATES:
            batch.removed[state.value] = _int(fields.get(b"t" + STATES[state].encode(), b"0"))
        if score is None:
            batch.listed = False
        elif record.state.is_finished:
            batch.listed = BATCH_FINISHED <= score < BATCH_OPEN
        else:
            batch.listed = (score >= BATCH_OPEN) == (record.state.value == "open")

    async def read_jobs(self) -> None:
        found, names = self.found, list(self.keys.names["job"])
        for at in range(0, len(names), PAGE):
            page = names[at : at + PAGE]
            rows = await self.shard.run(scripts.INSPECT, *page)
            for job_id, row in zip(page, rows, strict=True):
                if row is not None:
                    found.jobs[job_id] = _job_facts(row)
        for job_id in names:
            passes, stub = job_id in self.keys.passing_jobs, job_id not in found.jobs
            if passes and not stub:
                self.tell("expiry", job_id, "it would be removed after a time", "stub")
            elif stub and not passes:
                self.tell("expiry", job_id, "its id would be remembered for ever", "stub")
        for job_id in sorted((self.keys.names["history"] | self.keys.names["log"]) - found.jobs.keys()):
            self.tell("orphan", job_id, "its history or its log is there, and the job isn't")
        named = {job.batch for job in found.jobs.values()} & self.keys.names["batch_continuations"]
        found.lost_batches |= self.batches_left | (named - self.keys.names["batch"])

    async def read_follow_ups(self) -> None:
        found = self.found
        words = [word async for word, _ in self.scan("HSCAN", "outbox")]
        entries = [entry async for entry in self.sorted("follow_ups")]
        for word in words:
            kind, _, rest = word.partition(" ")
            to, _, other = rest.partition(" ")
            if kind not in ("A", "D", "E") or not to or not other or " " in other:
                self.tell("follow-up", word, "it is to be told another shard, and can't be read", "message")
            else:
                found.messages.add((kind, to, other) if kind == "E" else (kind, other, to))
        if words and "x" not in entries:
            self.tell("follow-up", "x", f"{len(words)} messages to other shards are there, and nobody knows")
        for entry in entries:
            if entry[:1] not in FOLLOW_UPS or not entry:
                self.tell("follow-up", entry, "it is to be carried on, and makes no sense")
        found.limits_under_way |= {entry[1:].partition("\n")[0] for entry in entries if entry[:1] in "wn"}
        entries = [entry for entry in entries if entry[:1] not in "wn"]
        found.under_way = {entry[1:] if entry[:1] in "ral" else f"~{entry[1:]}" for entry in entries}
        for batch_id in found.given_up:
            if f"d{batch_id}" not in entries:
                self.tell("follow-up", f"d{batch_id}", f"batch {batch_id} is to be removed, and nobody knows")

    async def read_recurring(self) -> None:
        looked_at = {name: float(score) async for name, score in self.scan("ZSCAN", "recurring_next")}
        definitions = {name: value async for name, value in self.scan("HSCAN", "recurring")}
        fields = [RECURRING_FIELDS[name] for name in ("revision", "declared", "next")]
        for name in looked_at.keys() | definitions.keys() | self.keys.names["recurring_facts"]:
            row = await self.call("HMGET", "recurring_facts", name, *fields) or [None] * len(fields)
            revision, declared, next_ = row
            self.found.recurring[name] = RecurringFacts(
                definitions.get(name),
                known=revision is not None or (name not in definitions and declared is not None),
                declared=declared is not None,
                wanted=declared is not None and revision is None,
                next_ms=int(next_) if next_ and NUMBER.fullmatch(next_) else None,
                next_is_known=next_ == b"" or (next_ is not None and NUMBER.fullmatch(next_) is not None),
                looked_at=looked_at.get(name),
            )

    async def read_meta(self) -> None:
        meta = await self.fields("meta")
        for field, value in meta.items():
            number = value.removeprefix(b"(") if field in META_TIMES else value
            if field in META_TIMES or field in META_NUMBERS:
                most = META_TIMES.get(field)
                if not NUMBER.fullmatch(number) or (most and int(number) > self.found.now_ms + most):
                    self.tell_number("meta", "", field)
        hour, day = str(self.found.now_ms // 3_600_000), str(self.found.now_ms // DAY_MS)
        for kind, name in (("stats", ""), ("hour", hour), ("day", day)):
            for field, value in (await self.fields(kind, name)).items():
                if not NUMBER.fullmatch(value):
                    self.tell_number(kind, name, field)

    async def read_locks(self) -> None:
        names = self.keys.names
        for lock in self.keys.endless_locks:
            self.tell("lock", lock, "it would never be given up")
        listed = {lock async for lock in self.sorted("locks")}
        for lock in names["lock"] - listed - self.keys.endless_locks:
            self.tell("lock", lock, "it is held, but not in the list of locks")
        for lock in names["lock_waiters"] | names["lock_askers"]:
            waiters = {waiter async for waiter in self.sorted("lock_waiters", lock)}
            askers = {waiter async for waiter in self.sorted("lock_askers", lock)}
            if waiters != askers:
                self.tell("lock", lock, f"{len(waiters ^ askers)} wait for it that can't be told")

    async def read_markers(self) -> None:
        """Those of queues that aren't paused and have more than suspects, which wake nobody by themselves."""
        flags = await self.fields("queues")
        for queue in sorted(self.keys.names["queue"] | self.keys.names["priority"]):
            if flags.get(queue) == b"":
                for _ in range(MARKER_LOOKS):
                    keys = [self.shard.keys.key(kind, queue) for kind in ("wake", "queue", "priority")]
                    marker, *ids = [await self.shard.persist(("EXISTS", key)) for key in keys]
                    if marker or not any(ids):
                        break
                    await asyncio.sleep(MARKER_PAUSE)
                else:
                    self.tell("marker", queue, "it has jobs, and no marker that would wake a worker for them")


def _int(value: bytes) -> int:
    return int(value) if NUMBER.fullmatch(value) else 0


def _job_facts(row: list[Any]) -> JobFacts:
    unheard, *values = [b"" if value is None else value for value in row]
    state, queue, worker, batch, unmet, parents, continued, exchange, cancelled = values[:9]
    ghost_in, expires, linked, takes_outputs, enqueued, created, started = values[9:16]
    limits, throttled_by, unique, deadline, throttled_at = values[16:]
    known = STATE_OF.get(state)
    facts = JobFacts(
        known or State.FAILED,
        queue.decode(errors="replace"),
        worker.decode(errors="replace"),
        batch.decode(errors="replace"),
        int(unmet) if NUMBER.fullmatch(unmet) else 0 if not unmet else -1,
        parents_of(parents) if parents else (),
        frozenset(unheard.decode(errors="replace").split()),
        continued=bool(continued),
        cancel_requested=bool(cancelled),
        ghost_in=ghost_in.decode(errors="replace"),
        stamp=(_int(enqueued or created), _int(started), _int(throttled_at)),
        expires=bool(expires),
        limits=limits_of(limits.decode(errors="replace")),
        throttled_by=throttled_by.decode(errors="replace")[2:],
    )
    if claim := CLAIM.fullmatch(unique.decode(errors="replace")):
        facts.until, facts.unique = Until(claim[1]), claim[2]
    links = LINKED.fullmatch(linked.decode(errors="replace") or ":")
    flags, linked_batch = links.groups() if links else ("", "?")
    if known is None:
        facts.unreadable = "its record doesn't say what state it is in"
    elif known is State.ENQUEUED and not queue:
        facts.broken = "it is enqueued, and its record names no queue"
    elif known is State.PROCESSING and not exchange:
        facts.broken = "it is processing, and its record doesn't name its lease"
    elif (
        linked_batch != facts.batch
        or (continued and "C" not in flags)
        or (takes_outputs and "I" not in flags)
        or (limits and "L" not in flags)
        or (unique and "U" not in flags)
        or (deadline and "X" not in flags)
    ):
        facts.broken = "its record contradicts itself on what its way sets off"
    return facts
