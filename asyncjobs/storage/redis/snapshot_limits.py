"""Limits and unique keys of a shard in Redis, read for an audit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from asyncjobs.storage.audit import LimitFacts, Snapshot
from asyncjobs.storage.base import Numbers
from asyncjobs.storage.redis.keys import LIMIT_FIELDS
from asyncjobs.storage.redis.survey import Survey


class Reader(Protocol):
    """What reads a shard."""

    found: Snapshot
    keys: Survey

    async def strings(self, command: str, kind: str, name: str = "", *args: object) -> list[str]:
        """Items, from a command on a key."""
        ...

    async def fields(self, kind: str, name: str = "") -> dict[str, bytes]:
        """Those of a hash."""
        ...

    def sorted(self, kind: str, name: str = "") -> AsyncIterator[str]:
        """The items of a sorted set."""
        ...

    async def value(self, kind: str, name: str) -> str:
        """A string, "" if there is none."""
        ...

    def tell(self, kind: str, name: str, detail: str, place: str = "") -> None:
        """Note what is wrong."""
        ...


async def read_unique_keys(reader: Reader) -> None:
    """Who holds which."""
    for key in reader.keys.names["unique"]:
        value = await reader.value("unique", key)
        job_id, _, until = value.partition(" ")
        if not value:
            # It was let go of meanwhile.
            continue
        if until and key not in reader.keys.passing["unique"]:
            reader.tell("expiry", key, "it is held for a time, and would be for ever", "unique")
        elif not until and key in reader.keys.passing["unique"]:
            reader.tell("unique", key, f"{job_id} would lose it after a time", "key")
        reader.found.unique[key] = job_id, bool(until)


async def read_limits(reader: Reader) -> None:
    """What they count, and who waits for them."""
    found, names = reader.found, reader.keys.names
    for name, text in (await reader.fields("limits")).items():
        most, per_ms, *_ = [*text.decode(errors="replace").split(" "), "", ""]
        if most.isdecimal() and per_ms.isdecimal():
            found.limit_numbers[name] = Numbers(int(most), int(per_ms))
        else:
            reader.tell("limit", name, "its numbers can't be read")
    listed = {limit_id async for limit_id in reader.sorted("active_limits")}
    due = {limit_id async for limit_id in reader.sorted("limit_due")}
    for limit_id in names["limit"]:
        limit = found.limits[limit_id] = await _limit(reader, limit_id)
        limit.opens, limit.listed = limit_id in due, limit_id in listed
        limit.passes = limit_id in reader.keys.passing["limit"]
    for name in names["limit_waiters"]:
        limit_id, _, queue = name.rpartition(":")
        ids = {job_id async for job_id in reader.sorted("limit_waiters", name)}
        if ids:
            found.limits.setdefault(limit_id, LimitFacts()).waiters[queue] = ids


async def _limit(reader: Reader, limit_id: str) -> LimitFacts:
    limit = LimitFacts()
    for field, value in (await reader.fields("limit", limit_id)).items():
        if not value.isdigit():
            reader.tell("limit", limit_id, f"its field {field!r} should hold a number")
            continue
        count = int(value)
        if field == LIMIT_FIELDS["running"]:
            limit.running = count
        elif field.startswith(LIMIT_FIELDS["enqueued"]):
            limit.enqueued[field[1:]] = count
        elif field.startswith(LIMIT_FIELDS["waiting"]):
            limit.waiting[field[1:]] = count
    limit.starts = 0
    for row in await reader.strings("LRANGE", "limit_starts", limit_id, 0, -1):
        limit.starts += int(row.partition(" ")[2] or 0)
    return limit
