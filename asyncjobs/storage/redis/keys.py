"""Every key, hash field and code that Redis sees. No other file spells one.

Python makes keys through `Keys(tag)`; Lua writes `K.job(id)`, `F.state`, `S.enqueued`, `Finished.LOST` or
`STUB_MS`, which `scripts.py` turns into literals when it loads a script, so that a name that isn't here
fails at import and costs nothing at run time.
"""

from __future__ import annotations

from enum import Enum

from asyncjobs.storage import base
from asyncjobs.storage.base import State

SCHEMA_VERSION = 1

PATTERNS = {
    # jobs
    "job": ":j:{}",  # hash: fields below
    "history": ":j:{}:h",  # list: unusual transitions
    "log": ":j:{}:l",  # list: what the job logged
    # queues
    "queue": ":q:{}",  # list: ids of enqueued jobs of priority 0
    "priority": ":q:{}:p",  # zset: ids of enqueued jobs of another priority
    "suspects": ":q:{}:r",  # list: ids of recovered jobs, which run one at a time per worker
    "wake": ":wake:{}",  # zset: the queue's marker
    "queues": ":queues",  # hash: queue -> flags ("" or "p" for paused)
    "ghosts": ":ghosts",  # hash: queue -> ids in its lists whose job isn't enqueued there any more
    # lists by state
    "scheduled": ":scheduled",  # zset: id -> due, ms
    "retrying": ":retrying",  # zset: id -> due, ms
    "succeeded": ":succeeded",  # zset: id -> time entered, ms
    "failed": ":failed",
    "cancelled": ":cancelled",
    "expire": ":expire",  # zset: id -> when a finished job with a retention of its own is removed, ms
    # workers
    "workers": ":workers",  # zset: worker -> its lease's deadline, ms
    "worker": ":w:{}",  # hash: what it says of itself, its last exchange
    "held": ":w:{}:a",  # set: the jobs it holds leases on
    "control": ":w:{}:c",  # list: a nudge to read what is below
    "cancels": ":w:{}:x",  # set: jobs it runs that somebody asked to cancel
    # recurring jobs
    "recurring": ":recurring",  # hash: recurring job -> its definition, packed by whoever put it
    "recurring_next": ":recurring:next",  # zset: recurring job -> when to look at it, ms; +inf: never
    "recurring_facts": ":r:{}",  # hash: what else is known of it
    # the rest
    "meta": ":meta",  # hash: schema version, alive, hold, due claim, trim cursors
    "inbox": ":i:{}",  # list: ids of finished jobs that a client waits for
    "stats": ":stats",  # hash: totals
    "hour": ":stats:h:{}",  # hash: the same of one hour
    "day": ":stats:d:{}",
}

FIELDS = {
    "state": "s",
    "name": "n",
    "queue": "q",
    "payload": "a",  # and a1, a2, … (see `pieces`)
    "priority": "p",
    "options": "o",
    "created": "c",
    "enqueued": "e",  # absent: when created; 0: not yet
    "attempt": "k",
    "failures": "l",
    "recoveries": "v",
    "deaths": "d",  # deaths of workers that it was the suspect of
    "max_recoveries": "m",  # absent: 3
    "started": "b",
    "worker": "w",
    "exchange": "x",
    "result": "r",  # and r1, r2, …
    "result_dropped": "z",
    "cancel_requested": "y",
    "inboxes": "i",
    "progress": "u",
    "progress_message": "t",
    "ghost_in": "g",  # the queue whose list still has the id though the job isn't enqueued there
    "requests": "f",  # ids of the last requests by hand, 8 characters each
}

WORKER_FIELDS = {
    "info": "info",
    "number": "x",  # of its last exchange, with what that replied:
    "codes": "k",
    "granted": "g",
    "lease": "lease",
    "suspect": "su",  # the recovered job that it runs
    "reaping": "reaping",
    "command": "cmd",
}

RECURRING_FIELDS = {
    "revision": "v",
    "timing": "t",
    "next": "n",  # when it occurs next, ms; "": not
    "declared": "d",  # present: it is declared in code, and then:
    "seen": "s",  # when a worker last declared its id, ms
    "held": "h",  # when a worker last declared this revision of it, ms
    "orphaned": "o",  # when it was found orphaned, ms
    "paused": "p",
    "waiting": "w",  # it is due, and waits for a job of it to end
    "created": "c",
    "last": "l",  # the last occurrence fired, ms
    "fired_at": "b",  # when its last job was made, ms
    "job": "j",  # that job
    "open": "e",  # ids of its last jobs, with spaces between; those that have ended leave when it's looked at
    "fired": "f",  # counts of occurrences
    "missed": "m",
    "skipped": "k",
    "refused": "r",
    "gave_up": "g",  # when occurrences were last given up, ms
}

META_FIELDS = {
    "version": "v",
    "alive": "alive",  # last heartbeat of anyone, ms
    "hold": "hold",  # nothing is reaped before this time, ms
    "due_claim": "due",  # "ms worker" of who will look at the next due time
    "recurring_alive": "r-alive",  # when any worker last looked for due recurring jobs, ms
    "recurring_hold": "r-hold",  # no recurring job is orphaned before this time, ms
    "recurring_claim": "r-due",  # "ms worker" of who will come for the next one
    "cursor": "cut:",  # + state: jobs finished up to here were looked at for trimming
}

STATES = {
    State.STAGING: "0",
    State.AWAITING: "1",
    State.SCHEDULED: "2",
    State.ENQUEUED: "3",
    State.THROTTLED: "4",
    State.PROCESSING: "5",
    State.RETRYING: "6",
    State.SUCCEEDED: "7",
    State.FAILED: "8",
    State.CANCELLED: "9",
}
STATE_OF = {code.encode(): state for state, code in STATES.items()}
STUB = "x"
"""The state of a removed job's stub."""

PRIORITY_STEP = 10_000_000_000_000
"""A priority's share of its queue's score; a time in ms fits below it until the year 2286."""

PIECE = 64
"""Redis keeps a hash compact while no value is longer (hash-max-listpack-value's default)."""
PIECES = 8
"""A value is split into at most so many pieces, so up to 512 bytes: measured, that saves 40 % of a job's
memory for 40 % more of Redis' time on it. Beyond, the time goes on rising and the saving falls; a longer
value is left whole."""

LUA_ENUMS: tuple[type[Enum], ...] = (
    base.Created,
    base.Finished,
    base.Outcome,
    base.Cancelled,
    base.Requeued,
    base.Deleted,
    base.Put,
    base.Renewed,
    base.Fired,
    base.Triggered,
    base.Changed,
)
LUA_CONSTANTS = {
    "STUB": STUB,
    "STUB_MS": base.STUB_MS,
    "HISTORY_LIMIT": base.HISTORY_LIMIT,
    "LOG_LIMIT": base.LOG_LIMIT,
    "PROMOTE_LIMIT": base.PROMOTE_LIMIT,
    "SKIP_LIMIT": base.SKIP_LIMIT,
    "ORPHAN_MS": base.ORPHAN_MS,
    "ALIVE_MS": base.ALIVE_MS,
    "WAIT_MS": base.WAIT_MS,
    "OPEN_LIMIT": base.OPEN_LIMIT,
    "PRIORITY_STEP": PRIORITY_STEP,
    "PIECE": PIECE,
    "PIECES": PIECES,
    "SCHEMA_VERSION": SCHEMA_VERSION,
}


def hash_tag(namespace: str, shard: int, shards: int) -> str:
    """What all keys of a shard begin with, braces included, so that Redis Cluster keeps them on one node."""
    return f"{{{namespace}}}" if shards == 1 else f"{{{namespace}:{shard}}}"


class Keys:
    """The keys of one shard that Python itself names (blocking reads); all others are made inside scripts."""

    def __init__(self, tag: str) -> None:
        self.tag = tag

    def key(self, kind: str, name: str = "") -> str:
        """The key of a kind in `PATTERNS`."""
        return self.tag + PATTERNS[kind].format(name)

    def wake(self, queue: str) -> str:
        """A queue's marker."""
        return self.key("wake", queue)

    def control(self, worker: str) -> str:
        """The list that nudges a worker."""
        return self.key("control", worker)

    def inbox(self, inbox: str) -> str:
        """The list that a client waits on for ends of jobs."""
        return self.key("inbox", inbox)


def pieces(field: str, value: bytes) -> list[str | bytes]:
    """Fields and values, alternating, that hold `value` in the cheapest way (see `PIECES`)."""
    if len(value) <= PIECE or len(value) > PIECE * PIECES:
        return [field, value] if value else []
    flat: list[str | bytes] = [field, value[:PIECE]]
    for number, start in enumerate(range(PIECE, len(value), PIECE), 1):
        flat += (f"{field}{number}", value[start : start + PIECE])
    return flat
