"""What may be damaged by hand of limits and unique keys, and what is found of it."""

from __future__ import annotations

from asyncjobs.storage.redis.keys import LIMIT_FIELDS
from tests.faults.damages import HARMLESS, NOW, RUNNING, add, delete
from tests.faults.scene import IDLE, WORK

SLOT = "slot:a: b"

delete("limits", f"limit: {SLOT}")
delete("throttled", "job: throttled", "job: too early")
delete("active_limits", f"limit: {SLOT}", "limit: rate")
delete("limit_due", "limit: rate")
delete("limit", f"limit: {SLOT}")
delete("limit", "limit: rate", of="rate")
HARMLESS["limit_starts", "deleted"] = "what it held is gone, and there is room"
delete("limit_waiters", "job: throttled", f"limit: {SLOT}")
delete("unique", "unique: waiting")

# -- members and fields --

add("limits", "no numbers", lambda s: s.do("HSET", "limits", "slot", "many"), "limit: slot", f"limit: {SLOT}")
add("limits", "of no job", lambda s: s.do("HSET", "limits", "new", "many"), "limit: new")
add("throttled", "members added", lambda s: s.do("ZADD", "throttled", 1, s.jobs["enqueued"]), "id: enqueued")
add("throttled", "one removed", lambda s: s.do("ZREM", "throttled", s.jobs["throttled"]), "job: throttled")
HARMLESS["active_limits", "added"] = "it is left out, and forgotten when somebody looks at it"
HARMLESS["limit_due", "added"] = "it is looked at once, for nothing"
HARMLESS["limit_starts", "added"] = "they were starts, for all that can be known"
for _field, _number in (
    (LIMIT_FIELDS["running"], 2),
    (LIMIT_FIELDS["running"], 0),
    (LIMIT_FIELDS["running"], -1),
    (LIMIT_FIELDS["enqueued"] + IDLE, 1),
    (LIMIT_FIELDS["enqueued"] + WORK, 1),
    (LIMIT_FIELDS["waiting"] + IDLE, 2),
    (LIMIT_FIELDS["waiting"] + IDLE, 0),
):
    add(
        "limit",
        f"{_field} says {_number}",
        lambda s, field=_field, number=_number: s.do("HSET", "limit", field, number),
        f"limit: {SLOT}",
    )
add("limit", "no number", lambda s: s.do("HSET", "limit", LIMIT_FIELDS["running"], "x"), f"limit: {SLOT}")
add("limit", "to be forgotten", lambda s: s.do("PEXPIRE", "limit", 3_600_000), f"limit: {SLOT}")
add("limit_waiters", "no job", lambda s: s.do("ZADD", "limit_waiters", 1, "nothing"), f"limit: {SLOT}")
add(
    "limit_waiters",
    "another one",
    lambda s: s.do("ZADD", "limit_waiters", NOW, s.jobs["enqueued"]),
    f"limit: {SLOT}",
)
add(
    "limit_waiters",
    "of another queue",
    lambda s: s.do("ZADD", "limit_waiters", 1, s.jobs["throttled"], of=f"{SLOT}:elsewhere"),
    f"limit: {SLOT}",
)
add(
    "limit_waiters",
    "of another limit",
    lambda s: s.do("ZADD", "limit_waiters", 1, s.jobs["throttled"], of=f"rate:{IDLE}"),
    "limit: rate",
)
add("unique", "no job's", lambda s: s.do("SET", "unique", "nothing"), "unique: waiting")
add("unique", "another's", lambda s: s.do("SET", "unique", s.jobs["enqueued"]), "unique: waiting")
add("unique", "an ended one's", lambda s: s.do("SET", "unique", s.jobs["failed"], of="new"), "unique: new")
add("unique", "to be lost", lambda s: s.do("PEXPIRE", "unique", 3_600_000), "unique: waiting")
add("unique", "for ever", lambda s: s.do("SET", "unique", f"nothing {NOW}", of="new"), "expiry: new")
add("job", "not throttled by it", lambda s: s.set("throttled", "throttled_by", "- rate"), "job: throttled")
add("job", "throttled by nothing", lambda s: s.unset("throttled", "throttled_by"), "job: throttled")
add("job", "under no limit", lambda s: s.unset("throttled", "limits"), "job: throttled")
add("job", "not held under it", lambda s: s.unset("holder", "limits"), f"limit: {SLOT}")
add("job", "claiming nothing", lambda s: s.unset("unique", "unique"), "unique: waiting")
for _name in ("throttled", "unique", "holder"):
    add(
        "job", f"{_name}, without links", lambda s, name=_name: s.set(name, "linked", ":"), f"record: {_name}"
    )
add(
    "job",
    "throttled is gone",
    lambda s: s.do("DEL", "job", of="throttled"),
    "id: throttled",
    lost=("throttled",),
)
add(
    "job",
    "the holder is gone",
    lambda s: s.do("DEL", "job", of="holder"),
    "lease: holder",
    f"limit: {SLOT}",
    "unique: held",
    lost=("holder",),
    again=RUNNING,
)
