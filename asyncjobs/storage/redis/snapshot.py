"""A shard in Redis, read as a whole for an audit: in pages, so it is never one moment of a busy one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from asyncjobs.storage.audit import BatchFacts, JobFacts, Snapshot
from asyncjobs.storage.base import FINAL_STATES, State
from asyncjobs.storage.redis import replies, scripts
from asyncjobs.storage.redis.keys import BATCH_FIELDS, PATTERNS, STATE_OF, STATES
from asyncjobs.storage.redis.replies import parents_of
from asyncjobs.storage.redis.shard import Shard

PAGE = 500
# The longer names first: a job's own key begins like those of what belongs to it.
KINDS = ("continuations", "batch_continuations", "history", "log", "members", "job", "batch")
LISTS = (State.AWAITING, State.SCHEDULED, State.RETRYING, *FINAL_STATES)


async def snapshot(shard: Shard) -> Snapshot:
    """Read everything."""
    found = Snapshot(await _now(shard))
    kinds = [kind async for kind in _keys(shard)]
    for state in LISTS:
        found.lists[state] = {job async for job in _sorted(shard, shard.keys.key(state.value))}
    for queue in await _strings(shard, "HKEYS", shard.keys.key("queues")):
        found.queues[queue] = [
            *await _strings(shard, "LRANGE", shard.keys.key("suspects", queue), 0, -1),
            *[job async for job in _list(shard, shard.keys.key("queue", queue))],
        ]
        found.prioritized[queue] = {job async for job in _sorted(shard, shard.keys.key("priority", queue))}
    ghosts = await _strings(shard, "HGETALL", shard.keys.key("ghosts"))
    found.ghosts = {queue: int(number) for queue, number in zip(ghosts[::2], ghosts[1::2], strict=True)}
    for worker in await _strings(shard, "ZRANGE", shard.keys.key("workers"), 0, -1):
        found.held[worker] = set(await _strings(shard, "SMEMBERS", shard.keys.key("held", worker)))
    for kind, name in kinds:
        if kind in ("continuations", "batch_continuations"):
            node = f"~{name}" if kind == "batch_continuations" else name
            # Of jobs on other shards, nothing is known here.
            edges = _scores(shard, shard.keys.key(kind, name))
            found.edges[node] = {job: code % 2 == 1 async for job, code in edges}
        elif kind == "batch":
            await _read_batch(shard, found, name)
    await _read_jobs(shard, found, (name for kind, name in kinds if kind == "job"))
    entries = await _strings(shard, "ZRANGE", shard.keys.key("follow_ups"), 0, -1)
    found.under_way = {entry[1:] if entry[0] in "ral" else f"~{entry[1:]}" for entry in entries}
    looked_at = {name async for name in _sorted(shard, shard.keys.key("recurring_next"))}
    names = await _strings(shard, "HKEYS", shard.keys.key("recurring"))
    found.recurring = {name: name in looked_at for name in names}
    return found


async def _now(shard: Shard) -> int:
    if shard.clock is not None:
        return shard.clock()
    seconds, micros = await shard.persist(("TIME",))
    return int(seconds) * 1000 + int(micros) // 1000


async def _keys(shard: Shard) -> AsyncIterator[tuple[str, str]]:
    """Kind and name of every job's, batch's and continuations' key."""
    escaped = "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in shard.tag)
    cursor: Any = b"0"
    seen: set[str] = set()
    while True:
        cursor, keys = await shard.persist(("SCAN", cursor, "MATCH", f"{escaped}:[jb]:*", "COUNT", PAGE))
        for raw in keys:
            key = raw.decode(errors="replace").removeprefix(shard.tag)
            if key not in seen:
                seen.add(key)
                for kind in KINDS:
                    before, _, after = PATTERNS[kind].partition("{}")
                    if key.startswith(before) and key.endswith(after):
                        yield kind, key[len(before) : len(key) - len(after)]
                        break
        if cursor == b"0":
            return


async def _strings(shard: Shard, *command: Any) -> list[str]:
    return [item.decode(errors="replace") for item in await shard.persist(command)]


async def _scores(shard: Shard, key: str) -> AsyncIterator[tuple[str, int]]:
    """By a scan, which finds all that is there from its beginning to its end, whatever comes and goes."""
    cursor: Any = b"0"
    while True:
        cursor, flat = await shard.persist(("ZSCAN", key, cursor, "COUNT", PAGE))
        for at in range(0, len(flat), 2):
            yield flat[at].decode(errors="replace"), int(float(flat[at + 1]))
        if cursor == b"0":
            return


async def _sorted(shard: Shard, key: str) -> AsyncIterator[str]:
    async for item, _ in _scores(shard, key):
        yield item


async def _list(shard: Shard, key: str) -> AsyncIterator[str]:
    start = 0
    while page := await _strings(shard, "LRANGE", key, start, start + 10 * PAGE - 1):
        start += 10 * PAGE
        for item in page:
            yield item


async def _read_batch(shard: Shard, found: Snapshot, batch_id: str) -> None:
    flat = await shard.persist(("HGETALL", shard.keys.key("batch", batch_id)))
    record = replies.batch_record(batch_id, flat)
    if record is None:
        return
    members = {member: None async for member in _sorted(shard, shard.keys.key("members", batch_id))}
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    batch = found.batches[batch_id] = BatchFacts(
        record, list(members), continued=BATCH_FIELDS["continued"].encode() in fields
    )
    for state in FINAL_STATES:
        batch.removed[state.value] = int(fields.get(b"t" + STATES[state].encode(), 0))
    score = await shard.persist(("ZSCORE", shard.keys.key("batches"), batch_id))
    batch.touched_ms = int(float(score)) if score is not None else 0
    batch.listed = score is not None


async def _read_jobs(shard: Shard, found: Snapshot, ids: Iterable[str]) -> None:
    page: list[str] = []

    async def read() -> None:
        rows = await shard.run(scripts.INSPECT, *page)
        for job_id, row in zip(page, rows, strict=True):
            if row is None:
                continue
            text = [b"" if value is None else value for value in row]
            found.jobs[job_id] = JobFacts(
                STATE_OF.get(text[0], State.FAILED),
                text[1].decode(errors="replace"),
                text[2].decode(errors="replace"),
                text[3].decode(errors="replace"),
                int(text[4] or 0),
                parents_of(text[5]),
                frozenset(text[7].decode().split()),
                bool(text[6]),
            )
        page.clear()

    for job_id in ids:
        page.append(job_id)
        if len(page) == PAGE:
            await read()
    if page:
        await read()
