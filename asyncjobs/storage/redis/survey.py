"""What keys a shard has, and which of them aren't what they should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from asyncjobs.storage.audit import Finding
from asyncjobs.storage.base import STUB_MS, WAITER_MS
from asyncjobs.storage.redis import scripts
from asyncjobs.storage.redis.keys import PATTERNS
from asyncjobs.storage.redis.shard import Shard

PAGE = 500

TYPES = {
    **dict.fromkeys(("job", "batch", "outbox", "queues", "ghosts", "worker", "recurring"), "hash"),
    **dict.fromkeys(("recurring_facts", "meta", "stats", "hour", "day"), "hash"),
    **dict.fromkeys(("history", "log", "queue", "suspects", "control", "inbox"), "list"),
    **dict.fromkeys(("continuations", "members", "batch_continuations", "batches", "follow_ups"), "zset"),
    **dict.fromkeys(("priority", "wake", "awaiting", "scheduled", "retrying", "succeeded"), "zset"),
    **dict.fromkeys(("failed", "cancelled", "expire", "workers", "lock_waiters", "lock_askers"), "zset"),
    "recurring_next": "zset",
    "held": "set",
    "cancels": "set",
    **dict.fromkeys(("locks", "throttled", "active_limits", "limit_due", "limit_waiters"), "zset"),
    **dict.fromkeys(("limits", "limit"), "hash"),
    "limit_starts": "list",
    "lock": "string",
    "unique": "string",
    "aside": "",
}
"""What each kind of key holds; "": anything."""

DAY_MS = 86_400_000
EXPIRING = {
    "control": STUB_MS,
    "inbox": STUB_MS,
    "cancels": DAY_MS,
    "hour": 8 * DAY_MS,
    "day": 400 * DAY_MS,
    "lock_waiters": WAITER_MS,
    "lock_askers": WAITER_MS,
    "limit_starts": 31 * DAY_MS,
}
"""After how many ms keys are removed that have lost their expiry. Those of other kinds have none; but locks
and stubs of jobs, which are another matter."""

FREE_NAMES = frozenset(
    (
        *("lock", "lock_waiters", "lock_askers", "recurring_facts", "inbox", "aside"),
        *("unique", "limit", "limit_starts", "limit_waiters"),
    )
)
"""Kinds whose names may have colons in them."""

MAY_PASS = ("limit", "unique")

_FIXED = {pattern: kind for kind, pattern in PATTERNS.items() if "{}" not in pattern}
# The longer ones first: a job's own key begins like those of what belongs to it.
_NAMED = sorted(
    ((*pattern.split("{}"), kind) for kind, pattern in PATTERNS.items() if "{}" in pattern),
    key=lambda row: -len(row[0]) - len(row[1]),
)


@dataclass(slots=True)
class Survey:
    """The keys of a shard that hold what they should, and what is wrong with the others."""

    names: dict[str, set[str]] = field(default_factory=lambda: {kind: set[str]() for kind in PATTERNS})
    """By their kind; "" of those of which there is one."""
    wrong: set[str] = field(default_factory=set[str])
    """Keys that hold something else."""
    passing_jobs: set[str] = field(default_factory=set[str])
    """Jobs whose keys expire, as those of stubs do."""
    passing: dict[str, set[str]] = field(default_factory=lambda: {kind: set[str]() for kind in MAY_PASS})
    """Of kinds of which some expire and some don't, those that do."""
    endless_locks: set[str] = field(default_factory=set[str])
    findings: list[Finding] = field(default_factory=list[Finding])


def kind_of(rest: str) -> tuple[str, str] | None:
    """Kind and name of a key, by what follows the hash tag; None of one that isn't ours."""
    if rest in _FIXED:
        return _FIXED[rest], ""
    for before, after, kind in _NAMED:
        if rest.startswith(before) and rest.endswith(after) and len(rest) > len(before) + len(after):
            name = rest[len(before) : len(rest) - len(after)]
            return (kind, name) if ":" not in name or kind in FREE_NAMES else None
    return None


async def survey(shard: Shard) -> Survey:
    """Look at all keys."""
    found = Survey()
    escaped = "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in shard.tag)
    cursor: Any = b"0"
    seen: set[bytes] = set()
    while True:
        cursor, page = await shard.persist(("SCAN", cursor, "MATCH", f"{escaped}:*", "COUNT", PAGE))
        new = [key for key in page if key not in seen]
        seen.update(new)
        if new:
            reply = await shard.run(scripts.SURVEY, *new)
            for at, raw in enumerate(new):
                _sort(found, shard, raw.decode(errors="replace"), reply[2 * at].decode(), reply[2 * at + 1])
        if cursor == b"0":
            return found


def _sort(found: Survey, shard: Shard, key: str, type_: str, left: int) -> None:
    known = kind_of(key.removeprefix(shard.tag))
    if known is None or type_ == "none" or not TYPES.get(known[0]):
        return
    kind, name = known
    if type_ != TYPES[kind]:
        found.wrong.add(key)
        found.findings.append(
            Finding("key", key, f"it should hold a {TYPES[kind]} ({kind}), and holds a {type_}", kind)
        )
        return
    found.names[kind].add(name)
    if kind == "job":
        if left >= 0:
            found.passing_jobs.add(name)
    elif kind in MAY_PASS:
        if left >= 0:
            found.passing[kind].add(name)
    elif kind == "lock":
        if left < 0:
            found.endless_locks.add(name)
    elif kind in EXPIRING:
        if left == -1:
            found.findings.append(Finding("expiry", key, "it would never be removed", kind))
    elif left >= 0:
        found.findings.append(Finding("expiry", key, "it would be removed after a time", kind))
