"""What may be damaged by hand: keys as a whole, and single members and fields; and what is found of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asyncjobs.storage.redis.keys import META_FIELDS, RECURRING_FIELDS, WORKER_FIELDS
from asyncjobs.storage.redis.survey import TYPES
from tests.faults.scene import IDLE, Scene

NOW = 10**13
"""A time that is still to come."""
RUNNING = ("running", "stubborn", "holder")
AFTER_OPEN = ("child of two", "after batch")
"""Those that wait until the open batch succeeds."""


@dataclass(frozen=True)
class Damage:
    """Something that somebody did."""

    kind: str
    """Of the key that it was done to."""
    how: str
    do: Callable[[Scene], object]
    finds: frozenset[tuple[str, str]]
    """Kinds of findings, and the names (or ids) of what they are about."""
    lost: tuple[str, ...] = ()
    """Jobs that are gone for good, or wait for something that can't succeed any more."""
    again: tuple[str, ...] = ()
    """Jobs whose lease was lost, so that they may run again."""
    undone: str = ""
    """What can't be mended."""


TABLE: list[Damage] = []
HARMLESS: dict[tuple[str, str], str] = {}
"""What can't be found, or needn't be, and why."""


def add(
    kind: str, how: str, do: Callable[[Scene], object], *finds: str, **more: str | tuple[str, ...]
) -> None:
    """Add a damage; `finds` are kinds and names, such as `job: enqueued`."""
    pairs = frozenset((found.partition(": ")[0], found.partition(": ")[2]) for found in finds)
    TABLE.append(Damage(kind, how, do, pairs, **more))  # type: ignore[arg-type]


def delete(kind: str, *finds: str, of: str = "", **more: str | tuple[str, ...]) -> None:
    add(kind, f"deleted {of}".rstrip(), lambda scene: scene.do("DEL", kind, of=of), *finds, **more)


def overwrite(kind: str, of: str = "", **more: str | tuple[str, ...]) -> None:
    def do(scene: Scene) -> None:
        scene.do("DEL", kind, of=of)
        if TYPES[kind] == "string":
            scene.do("RPUSH", kind, "something else", of=of)
        else:
            scene.do("SET", kind, "something else", of=of)

    add(kind, "overwritten", do, "key: ", **more)


# -- whole keys: overwritten --

for _kind in TYPES:
    if _kind == "job":
        overwrite(_kind, lost=("enqueued",))
    elif _kind == "control":
        # A heartbeat removes that of a living worker.
        overwrite(_kind, of="nobody")
    elif _kind in ("worker", "workers", "held", "cancels", "meta", "stats", "hour", "day"):
        # While it is so, nothing can be handed in or renewed, and the worker may have to begin anew.
        overwrite(_kind, again=RUNNING)
    elif _kind in ("unique", "limit", "limit_starts", "limit_waiters"):
        overwrite(_kind, of="anything")
    elif _kind == "recurring":
        overwrite(_kind, undone="nightly")
    elif _kind != "aside":
        overwrite(_kind)

# -- whole keys: deleted --

delete("job", "queue: idle", lost=("enqueued",))
delete("job", "id: scheduled", of="scheduled", lost=("scheduled",))
delete("job", "id: succeeded", of="succeeded", lost=("succeeded",))
delete("job", "id: kept", "expiry: kept", of="kept", lost=("kept",))
delete("job", "id: failed", "orphan: failed", of="failed", lost=("failed",))
delete("job", "lease: running", of="running", lost=("running",), again=("running",))
delete("job", "member: waiting member", of="waiting member", lost=("waiting member", *AFTER_OPEN))
delete("job", "id: done member", "member: done member", of="done member", lost=("done member",))
delete("job", "continuation: parent", of="parent", lost=("parent",))
delete("job", "id: child", "continuation: parent", of="child", lost=("child",))
HARMLESS["history", "deleted"] = "what it held is gone"
HARMLESS["log", "deleted"] = "what it held is gone"
delete("continuations", "continuation: parent", "continuation: child", "continuation: child of two")
delete("batch", "batch: open")
delete("batch", "batch: done", of="done")
delete("batch", "batch: inner", of="inner")
delete("batch", "batch: staging", of="staging")
delete("members", "member: waiting member", "member: second member", "member: member", "batch: open")
delete("members", "member: done member", "batch: done", of="done")
delete("batch_continuations", "continuation: ~open", "continuation: after batch")
delete("batches", "batch: open", "batch: done", "batch: inner", "batch: staging")
HARMLESS["follow_ups", "deleted"] = "there are none here: see the test of each"
HARMLESS["outbox", "deleted"] = "there are none here: see the test with several shards"
delete("queue", "job: enqueued", "job: another", "job: parent", "queue: idle", "record: cancelled")
delete("priority", "job: urgent")
delete("suspects", "job: suspect")
delete("wake", "marker: idle")
delete("queues", "queue: idle")
delete("ghosts", "queue: idle")
delete("awaiting", "job: child", "job: child of two", "job: after batch")
delete("scheduled", "job: scheduled")
delete("retrying", "job: retrying")
delete("succeeded", "job: succeeded", "job: done member")
delete("failed", "job: failed")
delete("cancelled", "job: cancelled")
delete("expire", "expiry: kept")
HARMLESS["workers", "deleted"] = "the next heartbeat puts it back; see the row of a dead worker"
delete("worker", "worker: ", again=RUNNING)
delete("held", "lease: running", "lease: stubborn", again=RUNNING)
HARMLESS["control", "deleted"] = "the next heartbeat, within a second, reads what it announced"
delete("cancels", "cancel: stubborn")
HARMLESS["lock", "deleted"] = "its holder has lost it: that is no contradiction"
delete("locks", "lock: ledger")
delete("lock_waiters", "lock: ledger")
delete("lock_askers", "lock: ledger")
delete("recurring", "recurring: nightly", "recurring: declared", undone="nightly")
delete("recurring_next", "recurring: nightly", "recurring: declared")
delete("recurring_facts", "recurring: nightly")
HARMLESS["meta", "deleted"] = "all of it comes back by itself"
HARMLESS["inbox", "deleted"] = "who waits there reads the job itself after a while"
for _kind in ("stats", "hour", "day"):
    HARMLESS[_kind, "deleted"] = "what it counted is gone"

# -- members --

for _list in ("awaiting", "scheduled", "retrying", "succeeded", "failed", "cancelled"):

    def _put(scene: Scene, kind: str = _list) -> None:
        scene.do("ZADD", kind, NOW, scene.jobs["enqueued"])
        scene.do("ZADD", kind, NOW, "nothing")

    add(_list, "members added", _put, "id: enqueued", "id: nothing")

add("queue", "no job's id added", lambda scene: scene.do("RPUSH", "queue", "nothing"), "queue: idle")
add("queue", "twice", lambda scene: scene.do("RPUSH", "queue", scene.jobs["enqueued"]), "job: enqueued")
add("queue", "by priority as well", lambda s: s.do("RPUSH", "queue", s.jobs["urgent"]), "job: urgent")
add("queue", "a scheduled one's", lambda s: s.do("RPUSH", "queue", s.jobs["scheduled"]), "id: scheduled")
add("queue", "a running one's", lambda s: s.do("LPUSH", "queue", s.jobs["running"]), "id: running")
add(
    "queue",
    "of another queue",
    lambda s: s.do("RPUSH", "queue", s.jobs["enqueued"], of="away"),
    "id: enqueued",
)
add("queue", "one removed", lambda s: s.do("LREM", "queue", 0, s.jobs["enqueued"]), "job: enqueued")
add("priority", "no job's id added", lambda s: s.do("ZADD", "priority", 1, "nothing"), "id: nothing")
add("priority", "another one", lambda s: s.do("ZADD", "priority", 1, s.jobs["enqueued"]), "job: enqueued")
add("suspects", "another one", lambda s: s.do("RPUSH", "suspects", s.jobs["enqueued"]), "job: enqueued")
add("suspects", "an ended one", lambda s: s.do("RPUSH", "suspects", s.jobs["failed"]), "id: failed")
add("held", "members added", lambda s: s.do("SADD", "held", s.jobs["enqueued"], "nothing"), "lease: enqueued")
add("held", "one removed", lambda s: s.do("SREM", "held", s.jobs["running"]), "lease: running", again=RUNNING)
add("held", "of no worker", lambda s: s.do("SADD", "held", s.jobs["enqueued"], of="nobody"), "worker: nobody")
add("cancels", "no job's id added", lambda s: s.do("SADD", "cancels", "nothing"), "cancel: nothing")
add("cancels", "another one", lambda s: s.do("SADD", "cancels", s.jobs["running"]), "cancel: running")
add("workers", "no worker added", lambda s: s.do("ZADD", "workers", NOW, "nobody"), "worker: nobody")
add(
    "worker",
    "another suspect",
    lambda s: s.do("HSET", "worker", WORKER_FIELDS["suspect"], s.jobs["enqueued"]),
    "lease: enqueued",
)
add(
    "worker",
    "one added",
    lambda s: s.do("HSET", "worker", "lease", 9000, "x", 1, of="nobody"),
    "worker: nobody",
)
add("members", "no job added", lambda s: s.do("ZADD", "members", 99, "nothing"), "member: nothing")
add("members", "another job", lambda s: s.do("ZADD", "members", 99, s.jobs["failed"]), "member: failed")
add("members", "one removed", lambda s: s.do("ZREM", "members", s.jobs["member"]), "member: member")
add(
    "members",
    "a batch removed",
    lambda s: s.do("ZREM", "members", f"~{s.batches['inner']}"),
    "member: ~inner",
)
add("members", "of no batch", lambda s: s.do("ZADD", "members", 1, "nothing", of="nowhere"), "batch: nowhere")
add("batches", "no batch added", lambda s: s.do("ZADD", "batches", 1, "nothing"), "batch: nothing")
add("batches", "one removed", lambda s: s.do("ZREM", "batches", s.batches["done"]), "batch: done")
add("batches", "another time", lambda s: s.do("ZADD", "batches", 1, s.batches["open"]), "batch: open")
add(
    "continuations", "no child", lambda s: s.do("ZADD", "continuations", 0, "nothing"), "continuation: parent"
)
add(
    "continuations",
    "an ended child",
    lambda s: s.do("ZADD", "continuations", 0, s.jobs["failed"]),
    "continuation: parent",
)
add(
    "continuations",
    "another's child",
    lambda s: s.do("ZADD", "continuations", 0, s.jobs["after batch"]),
    "continuation: parent",
)
add(
    "continuations",
    "one removed",
    lambda s: s.do("ZREM", "continuations", s.jobs["child"]),
    "continuation: child",
)
add(
    "continuations",
    "of no job",
    lambda s: s.do("ZADD", "continuations", 0, s.jobs["child"], of="nothing"),
    "continuation: nothing",
)
add(
    "batch_continuations",
    "no child",
    lambda s: s.do("ZADD", "batch_continuations", 0, "nothing"),
    "continuation: ~open",
)
add(
    "history",
    "of no job",
    lambda s: s.do("RPUSH", "history", "1 failed 1 \n", of="nothing"),
    "orphan: nothing",
)
add("log", "of no job", lambda s: s.do("RPUSH", "log", "1 1\nit", of="nothing"), "orphan: nothing")
HARMLESS["follow_ups", "added"] = "any worker drops it: see the test of what can't be carried on"
add(
    "outbox",
    "nonsense added",
    lambda s: s.do("HSET", "outbox", "what?", "?"),
    "follow-up: what?",
    "follow-up: x",
)
add("queues", "one removed", lambda s: s.do("HDEL", "queues", IDLE), "queue: idle")
HARMLESS["queues", "added"] = "it is a queue without jobs"
add("ghosts", "too many", lambda s: s.do("HSET", "ghosts", IDLE, 7), "queue: idle")
add("ghosts", "no number", lambda s: s.do("HSET", "ghosts", IDLE, "many"), "number: ")
add("ghosts", "of no queue", lambda s: s.do("HSET", "ghosts", "nowhere", 2), "queue: nowhere")
add(
    "expire", "a waiting one", lambda s: s.do("ZADD", "expire", NOW, s.jobs["scheduled"]), "expiry: scheduled"
)
add("expire", "another one", lambda s: s.do("ZADD", "expire", NOW, s.jobs["failed"]), "expiry: failed")
add("expire", "no job added", lambda s: s.do("ZADD", "expire", NOW, "nothing"), "expiry: nothing")
HARMLESS["wake", "added"] = "whoever takes a marker looks, and puts back one at most"
add("lock", "never over", lambda s: s.do("PERSIST", "lock"), "lock: ledger")
add("lock", "nonsense", lambda s: s.do("SET", "lock", "what?"), "lock: ledger")
add("locks", "one removed", lambda s: s.do("ZREM", "locks", "ledger"), "lock: ledger")
add("lock_waiters", "one added", lambda s: s.do("ZADD", "lock_waiters", 1, "who where"), "lock: ledger")
add("lock_askers", "one added", lambda s: s.do("ZADD", "lock_askers", 1, "who where"), "lock: ledger")
add("lock_waiters", "for ever", lambda s: s.do("PERSIST", "lock_waiters"), "expiry: ")
add("recurring", "one removed", lambda s: s.do("HDEL", "recurring", "declared"), "recurring: declared")
add(
    "recurring_next", "one removed", lambda s: s.do("ZREM", "recurring_next", "nightly"), "recurring: nightly"
)
add(
    "recurring_next",
    "never",
    lambda s: s.do("ZADD", "recurring_next", "+inf", "nightly"),
    "recurring: nightly",
)
add(
    "recurring_next",
    "none added",
    lambda s: s.do("ZADD", "recurring_next", NOW, "nothing"),
    "recurring: nothing",
)
for _field in ("next", "revision"):

    def _lose(scene: Scene, field: str = _field) -> None:
        scene.do("HDEL", "recurring_facts", RECURRING_FIELDS[field])

    add("recurring_facts", f"without its {_field}", _lose, "recurring: nightly")
add(
    "recurring_facts",
    "nonsense as next",
    lambda s: s.do("HSET", "recurring_facts", RECURRING_FIELDS["next"], "soon"),
    "recurring: nightly",
)
for _field, _value in (
    ("alive", "many"),
    ("hold", str(10**15)),
    ("recurring_alive", "many"),
    ("fence", "many"),
):

    def _spoil(scene: Scene, field: str = _field, value: str = _value) -> None:
        scene.do("HSET", "meta", META_FIELDS[field], value)

    add("meta", f"{_field} is {_value}", _spoil, "number: ")
add("meta", "a cursor", lambda s: s.do("HSET", "meta", META_FIELDS["cursor"] + "7", "many"), "number: ")
for _kind in ("stats", "hour", "day"):

    def _junk(scene: Scene, kind: str = _kind) -> None:
        scene.do("HSET", kind, "succeeded", "many")

    add(_kind, "no number", _junk, "number: ", again=RUNNING)
add("inbox", "for ever", lambda s: s.do("RPUSH", "inbox", "nothing", of="nobody"), "expiry: ")
add("control", "for ever", lambda s: s.do("RPUSH", "control", "1", of="nobody"), "expiry: ")
add("queue", "for a time", lambda s: s.do("PEXPIRE", "queue", 10**8), "expiry: ")
