"""Every key, hash field and code that Redis sees. No other file spells one.

Python makes keys through `Keys(tag)`; Lua writes `K.job(id)`, `F.state`, `S.enqueued`, `Finished.LOST` or
`STUB_MS`, which `scripts.py` turns into literals when it loads a script, so that a name that isn't here
fails at import and costs nothing at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from asyncjobs.storage import base
from asyncjobs.storage.audit import MEND_LIMIT
from asyncjobs.storage.base import LimitUse, Numbers, On, Parent, State, UniqueClaim
from asyncjobs.storage.locks import SWEPT

SCHEMA_VERSION = 1

PATTERNS = {
    # jobs
    "job": ":j:{}",  # hash: fields below
    "history": ":j:{}:h",  # list: unusual transitions
    "log": ":j:{}:l",  # list: what the job logged
    "continuations": ":j:{}:n",  # zset: jobs that wait for it -> how (see `edge_code`)
    # batches
    "batch": ":b:{}",  # hash: its state and counters
    "members": ":b:{}:m",  # zset: ids of jobs, of nested batches with a ~ before -> their order
    "batch_continuations": ":b:{}:n",  # zset: jobs that wait for it -> how
    "batches": ":batches",  # zset: batch -> when last written to (staging), finished or created (see BATCH_…)
    "follow_ups": ":ops",  # zset: work that any worker carries on (see lib/follow_up) -> since when
    "outbox": ":outbox",  # hash: word for other shards
    # queues
    "queue": ":q:{}",  # list: ids of enqueued jobs of priority 0
    "priority": ":q:{}:p",  # zset: ids of enqueued jobs of another priority
    "suspects": ":q:{}:r",  # list: ids of recovered jobs, which run one at a time per worker
    "wake": ":wake:{}",  # zset: the queue's marker
    "queues": ":queues",  # hash: queue -> flags ("" or "p" for paused)
    "ghosts": ":ghosts",  # hash: queue -> ids in its lists whose job isn't enqueued there any more
    # lists by state
    "awaiting": ":awaiting",  # zset: id -> time entered, ms
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
    # unique jobs and limits
    "unique": ":unique:{}",  # string: "id", or "id until", of the job that holds a unique key
    "throttled": ":throttled",  # zset: id -> time entered, ms
    "limits": ":limits",  # hash: limit's name -> its numbers, "most per", and " h" if set by hand
    "active_limits": ":limits:active",  # zset: ids of limits ("name" or "name:key") that have a hash -> 0
    "limit_due": ":limits:due",  # zset: id of a limit that jobs wait for -> when a window opens, ms
    "limit": ":limit:{}",  # hash: counts of one key of a limit (see `LIMIT_FIELDS`)
    "limit_starts": ":lstarts:{}",  # list: "ms count" of starts in the window, oldest first
    "limit_waiters": ":lwait:{}",  # zset: by a limit's id, a colon and a queue, jobs that wait -> their order
    # locks
    "lock": ":lock:{}",  # string: "number until token" of its holder
    "lock_waiters": ":lw:{}",  # zset: "token inbox" of who waits for it -> since when, ms
    "lock_askers": ":lu:{}",  # zset: the same -> until when, unless it asks again, ms
    "locks": ":locks",  # zset: lock -> until when it is held, ms; those that ran out leave now and then
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
    "aside": ":aside:{}",  # any: what was found in the place of another key, by that one's name and a time
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
    "expires": "E",  # it is in the sorted set `expire`
    "batch": "B",
    "parents": "P",  # "code parent code parent …", a batch with a ~ before its id
    "unmet": "U",  # how many of them it still waits for
    "attached": "A",  # up to which byte of `parents` it has asked to be told, or not to be told any more
    "timing": "T",  # "delay due expires" to be heeded once it has waited for its parents and its batch
    "continued": "C",  # jobs wait for it
    "linked": "L",  # of the last five, what the hot path has to know in one field: see lib/links
    "unique": "Q",  # "until period key": see `unique_field`
    "limits": "N",  # "most per id" of each limit that it is under, with line ends between
    "throttled_by": "K",  # "s id" of the limit that it waits for, or waited for; s: it is a suspect, else "-"
    "throttled_at": "j",  # when it last began to
    "deadline": "D",  # when it isn't worth starting any more, ms
    "takes_outputs": "I",  # results of parents are handed to it, in fields `O` and the parent's id
}
OUTPUT = "O"
"""What comes before a parent's id in the name of the field that has its result."""
RECEIPT = "R"
"""What comes before a parent's id in the name of the field that says that it is on another shard, and that
nothing has been heard of it."""

BATCH_FIELDS = {
    "state": "s",  # a code of a job's state: staging, processing (open), succeeded, failed, cancelled
    "name": "n",
    "parent": "p",  # the batch that it is nested in
    "depth": "d",  # how many are around it; absent: none
    "created": "c",
    "finished": "f",
    "total": "t",
    "nested": "N",
    "nested_succeeded": "n7",
    "nested_failed": "n8",
    "cancel_requested": "y",
    "inboxes": "i",
    "continued": "C",
    "placed": "a",  # members up to here have left `staging`
    "cancelling": "b",  # members up to here were told that it is cancelled
}
"""How many members are in a final state stands in the field that is called like the state's code; how many of
these were removed since, in `t` and the code."""

LIMIT_FIELDS = {
    "running": "h",  # jobs that hold it
    "started": "u",  # starts within the window that `limit_starts` tells of
    "enqueued": "q",  # + queue: jobs that it has let into that queue
    "waiting": "w",  # + queue: jobs of that queue that wait for it
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
    "code": "y",  # present: it was rescheduled by hand; the revision that the code of workers says, and
    "original": "z",  # the definition that it says
    "orphaned": "o",  # when it was found orphaned, ms
    "paused": "p",
    "waiting": "w",  # it is due, and waits for a job of it to end
    "created": "c",
    "last": "l",  # the last occurrence fired, ms
    "fired_at": "b",  # when its last job was made, ms
    "job": "j",  # that job
    "open": "e",  # ids of its last jobs, with spaces between; those that have ended leave now and then
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
    "fence": "fence",  # the last fencing number of a lock
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

BATCH_FINISHED = 100_000_000_000_000
"""Added to the time in the score of a finished batch, so that lists can be told apart by ranges."""
BATCH_OPEN = 200_000_000_000_000
"""Added in that of an open one."""

_KINDS = {(On.SUCCEEDED, False): 0, (On.SUCCEEDED, True): 1, (On.FAILED, False): 2, (On.FINISHED, False): 3}
_KIND_OF = {kind: key for key, kind in _KINDS.items()}


def edge_code(parent: Parent, remote: bool) -> int:
    """How a job waits for a parent: 4 x kind + 2 if it takes its result + 1 if they are on different shards.

    Kinds: 0 until it succeeds, 1 the same but not beyond another end, 2 until it fails, 3 until it ends.
    """
    kind = _KINDS[parent.on, parent.cancel and parent.on is On.SUCCEEDED]
    return 4 * kind + 2 * parent.output + remote


def parent_of(code: int, node: str) -> Parent:
    """The same, read."""
    on, cancel = _KIND_OF[code // 4]
    return Parent(node.removeprefix("~"), on, node.startswith("~"), bool(code & 2), cancel)


def unique_field(claim: UniqueClaim) -> str:
    """What a job's hash has of the unique key that it claims."""
    return f"{claim.until.value} {claim.period_ms} {claim.key}"


def limits_field(uses: Sequence[LimitUse]) -> str:
    """What a job's hash has of the limits that it is under."""
    return "\n".join(f"{use.numbers.most} {use.numbers.per_ms} {use.id}" for use in uses)


def limits_of(text: str) -> tuple[LimitUse, ...]:
    """The same, read; none of what can't be."""
    try:
        uses: list[LimitUse] = []
        for line in text.split("\n") if text else ():
            most, per_ms, limit_id = line.split(" ", 2)
            name, _, key = limit_id.partition(":")
            uses.append(LimitUse(name, key, Numbers(int(most), int(per_ms))))
        return tuple(uses)
    except ValueError:
        return ()


LUA_ENUMS: tuple[type[Enum], ...] = (
    base.Created,
    base.Finished,
    base.Outcome,
    base.Cancelled,
    base.Requeued,
    base.Deleted,
    base.Moved,
    base.Follow,
    base.Opened,
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
    "TOLD_LIMIT": base.TOLD_LIMIT,
    "WAITER_MS": base.WAITER_MS,
    "TOLD_MS": base.TOLD_MS,
    "DROP_LIMIT": base.DROP_LIMIT,
    "SWEPT": SWEPT,
    "PRIORITY_STEP": PRIORITY_STEP,
    "PIECE": PIECE,
    "PIECES": PIECES,
    "SCHEMA_VERSION": SCHEMA_VERSION,
    "FOLLOW_LIMIT": base.FOLLOW_LIMIT,
    "NEST_LIMIT": base.NEST_LIMIT,
    "SWEEP_LIMIT": base.SWEEP_LIMIT,
    "STAGING_MS": base.STAGING_MS,
    "BATCH_RETENTION_MS": base.BATCH_RETENTION_MS,
    "BATCH_FINISHED": BATCH_FINISHED,
    "BATCH_OPEN": BATCH_OPEN,
    "WINDOWS_LIMIT": base.WINDOWS_LIMIT,
    "TRIM_LOOK": base.TRIM_LOOK,
    "PIN_MS": base.PIN_MS,
    "OUTPUT": OUTPUT,
    "RECEIPT": RECEIPT,
    "MEND_LIMIT": MEND_LIMIT,
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
