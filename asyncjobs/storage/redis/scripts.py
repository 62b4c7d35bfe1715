"""The Lua scripts: loading, includes, and the names they may use.

A script is `lua/NAME.lua`. A line `-- @include NAME` puts `lua/lib/NAME.lua` in its place, once. The names
`K.…`, `F.…`, `W.…`, `M.…`, `B.…`, `R.…`, `L.…`, `S.…`, the enums and constants of `keys.py`, and `A.…` (this
script's own arguments, as declared below) become literals here; one that isn't declared is an error at
import, and so is a declared argument that a script never reads.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib import resources

from asyncjobs.storage.redis import keys

_LUA = resources.files("asyncjobs.storage.redis") / "lua"
_INCLUDE = re.compile(r"^-- @include (\w+)\n", re.MULTILINE)
_KEY = re.compile(r"\bK\.(\w+)(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?")
_NAME = re.compile(r"\b([FWMRSABL])\.(\w+)")
_ENUMS = {enum.__name__: enum for enum in keys.LUA_ENUMS}
_ENUM = re.compile(rf"\b({'|'.join(_ENUMS)})\.(\w+)")
_CONSTANT = re.compile(rf"\b({'|'.join(keys.LUA_CONSTANTS)})\b")
_COMMENT = re.compile(r"^\s*--.*\n", re.MULTILINE)


class ScriptError(Exception):
    """A Lua file uses a name that isn't declared, or includes wrongly."""


def _read(path: str) -> str:
    try:
        return (_LUA / path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ScriptError(f"lua/{path} is missing") from None


def _with_includes(source: str, seen: set[str], open_: tuple[str, ...]) -> str:
    def put(match: re.Match[str]) -> str:
        name = match[1]
        if name in open_:
            raise ScriptError(f"lua/lib/{name}.lua includes itself: {' > '.join((*open_, name))}")
        if name in seen:
            return ""
        seen.add(name)
        return _with_includes(_read(f"lib/{name}.lua"), seen, (*open_, name))

    return _INCLUDE.sub(put, source)


def assemble(source: str, arguments: tuple[str, ...], where: str) -> str:
    """A script's whole text, as Redis gets it."""
    text = _COMMENT.sub("", _with_includes(source, set(), ()))
    used: set[str] = set()

    def key(match: re.Match[str]) -> str:
        pattern = keys.PATTERNS.get(match[1])
        if pattern is None or ("{}" in pattern) != (match[2] is not None):
            raise ScriptError(f"{where}: {match[0]} is no key of keys.py")
        before, _, after = pattern.partition("{}")
        if match[2] is None:
            return f"(t..'{before}')"
        return f"(t..'{before}'..({match[2]}){f'..{after!r}' if after else ''})"

    def name(match: re.Match[str]) -> str:
        kind, word = match[1], match[2]
        if kind == "A":
            if word not in arguments:
                raise ScriptError(f"{where}: A.{word} is not among its declared arguments {arguments}")
            used.add(word)
            position = arguments.index(word) + 1
            return str(position) if word == "rest" else f"ARGV[{position}]"
        table = {
            "F": keys.FIELDS,
            "W": keys.WORKER_FIELDS,
            "M": keys.META_FIELDS,
            "B": keys.BATCH_FIELDS,
            "R": keys.RECURRING_FIELDS,
            "L": keys.LIMIT_FIELDS,
            "S": {state.value: code for state, code in keys.STATES.items()},
        }[kind]
        if word not in table:
            raise ScriptError(f"{where}: {match[0]} is not declared in keys.py")
        return f"'{table[word]}'"

    def code(match: re.Match[str]) -> str:
        try:
            return str(_ENUMS[match[1]][match[2]].value)
        except KeyError:
            raise ScriptError(f"{where}: {match[0]} is no such code") from None

    def constant(match: re.Match[str]) -> str:
        value = keys.LUA_CONSTANTS[match[1]]
        return f"'{value}'" if isinstance(value, str) else str(value)

    text = _ENUM.sub(code, text)
    while _KEY.search(text):
        text = _KEY.sub(key, text)
    text = _CONSTANT.sub(constant, _NAME.sub(name, text))
    if unused := [word for word in arguments if word not in used]:
        raise ScriptError(f"{where}: declared but never read: {', '.join(unused)}")
    return f"local t = KEYS[1]\n{text}"


class Script:
    """One script: its text, its SHA-1, and the names of its arguments."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        self.arguments = arguments
        self.source = assemble(_read(f"{name}.lua"), arguments, f"lua/{name}.lua")
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        self._fixed = len(arguments) - 1 if arguments[-1:] == ("rest",) else len(arguments)
        self._open = self._fixed < len(arguments)

    def check(self, count: int) -> None:
        """Refuse a number of arguments that doesn't fit."""
        if count < self._fixed or (count > self._fixed and not self._open):
            raise ScriptError(f"{self.name} takes {self.arguments}, not {count} arguments")


# Each script's arguments, in order. `rest` stands for the first of an open number of further ones.
OPEN = Script("open", "now")
CREATE = Script("create", "now", "rest")
CANCEL = Script("cancel", "now", "id", "request")
REQUEUE = Script("requeue", "now", "id", "request")
PROMOTE = Script("promote", "now", "id", "request")
MOVE = Script("move", "now", "id", "queue")
DELETE = Script("delete", "now", "id", "request")
GET = Script("get", "id")
PLACES = Script("places", "state", "score", "newest_first")
HELD = Script("held", "worker", "limit")
JOBS = Script("jobs", "state", "queue", "offset", "limit", "newest_first")
ANNOTATE = Script("annotate", "now", "worker", "rest")
WATCH = Script("watch", "id", "inbox")
REGISTER = Script("register", "now", "worker", "info", "lease")
UNREGISTER = Script("unregister", "now", "worker")
HEARTBEAT = Script("heartbeat", "now", "worker", "held", "info")
EXCHANGE = Script(
    "exchange",
    *("now", "worker", "number", "slots", "queues", "popped"),
    *("succeeded_ms", "failed_ms", "cancelled_ms", "max_jobs", "rest"),
)
REAP = Script("reap", "now", "worker", "limit")
OPEN_BATCHES = Script("open_batches", "now", "rest")
COMMIT_BATCH = Script("commit_batch", "now", "id")
CANCEL_BATCH = Script("cancel_batch", "now", "id")
GET_BATCH = Script("get_batch", "id", "inbox")
MEMBERS = Script("members", "id", "offset", "limit")
BATCHES = Script("batches", "offset", "limit")
CARRY_ON = Script("carry_on", "now")
ATTACH = Script("attach", "now", "node", "id", "code")
LEAVE = Script("leave", "node", "id")
HEAR = Script("hear", "now", "id", "node", "ending", "has_output", "output")
ACKNOWLEDGE = Script("acknowledge", "rest")
INSPECT = Script("inspect", "rest")
SWEEP_BATCHES = Script("sweep_batches", "now")
COMMAND = Script("command", "worker", "command")
PAUSE = Script("pause", "queue", "paused")
PURGE = Script("purge", "now", "queue", "limit")
CLEAR = Script("clear", "now", "state", "limit")
TRIM = Script("trim", "now", "limit", "succeeded_ms", "failed_ms", "cancelled_ms", "max_jobs")
CONTINUATIONS = Script("continuations", "node", "offset", "limit")
THROUGHPUT = Script("throughput", "now", "unit", "count")
QUEUES = Script("queues")
WORKERS = Script("workers")
STATS = Script("stats", "now")
RECURRING_PUT = Script("recurring_put", "now", "id", "definition", "revision", "timing", "declared", "next")
RECURRING_RENEW = Script("recurring_renew", "now", "starting", "rest")
RECURRING_DUE = Script("recurring_due", "now", "worker", "limit", "offset")
RECURRING_FIRE = Script(
    "recurring_fire",
    *("now", "id", "revision", "expected", "next", "last", "missed", "passed", "overlap", "rest"),
)
RECURRING_TRIGGER = Script("recurring_trigger", "now", "id", "rest")
RECURRING_PAUSE = Script("recurring_pause", "now", "id")
RECURRING_RESUME = Script("recurring_resume", "now", "id", "revision", "next")
RECURRING_RESCHEDULE = Script(
    "recurring_reschedule", *("now", "id", "known", "definition", "revision", "timing", "next")
)
RECURRING_REMOVE = Script("recurring_remove", "now", "id")
RECURRING_GET = Script("recurring_get", "now", "id")
RECURRING_LIST = Script("recurring_list", "now", "offset", "limit")

SET_LIMIT = Script("set_limit", "now", "name", "most", "per")
LIMIT_SETTINGS = Script("limit_settings")
LIMITS = Script("limits", "now", "offset", "limit")

ACQUIRE_LOCK = Script("acquire_lock", "now", "name", "token", "ttl", "inbox")
RENEW_LOCK = Script("renew_lock", "now", "name", "token", "ttl", "floor")
RELEASE_LOCK = Script("release_lock", "now", "name", "token", "inbox")
GET_LOCK = Script("get_lock", "now", "name")
LOCKS = Script("locks", "now", "offset", "limit")

# Checking and repairing.
SURVEY = Script("survey", "rest")
COUNT_MEMBERS = Script("count_members", "id", "offset", "limit")
MEND_JOB = Script("mend_job", "now", "apply", "id", "stamp")
MEND_PLACE = Script("mend_place", "apply", "queue", "id")
MEND_QUEUE = Script("mend_queue", "apply", "queue", "said", "found", "marker")
MEND_WORKER = Script("mend_worker", "now", "apply", "worker")
MEND_LEASE = Script("mend_lease", "apply", "worker", "id")
MEND_CANCEL = Script("mend_cancel", "apply", "worker", "id")
MEND_MEMBER = Script("mend_member", "apply", "batch", "member")
MEND_BATCH = Script("mend_batch", "now", "apply", "id", "vector", "staging", "waiting", "ended", "rest")
MEND_LOST_BATCH = Script("mend_lost_batch", "now", "apply", "id", "jobs", "staging", "outer")
MEND_WAITING = Script("mend_waiting", "now", "apply", "id")
MEND_NODE = Script("mend_node", "now", "apply", "node", "child")
MEND_MESSAGE = Script("mend_message", "now", "apply", "id", "node")
MEND_FOLLOW_UP = Script("mend_follow_up", "now", "apply", "entry", "message")
MEND_RECURRING = Script("mend_recurring", "now", "apply", "id", "revision", "timing", "next")
MEND_LIMIT = Script("mend_limit", "now", "apply", "id", "queues")
MEND_THROTTLED = Script("mend_throttled", "now", "apply", "id", "queue", "cursor", "limit")
MEND_UNIQUE = Script("mend_unique", "now", "apply", "key", "id")
MEND_LOCK = Script("mend_lock", "now", "apply", "name")
MEND_KEY = Script("mend_key", "now", "apply", "key", "type", "name")
MEND_EXPIRY = Script("mend_expiry", "apply", "key", "after", "stub")
MEND_ORPHAN = Script("mend_orphan", "apply", "id")
MEND_NUMBER = Script("mend_number", "now", "apply", "key", "field", "most")


@cache
def all_scripts() -> tuple[Script, ...]:
    """Every script."""
    return tuple(value for value in globals().values() if isinstance(value, Script))
