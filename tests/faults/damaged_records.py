"""More of what may be damaged by hand: single fields of the records of jobs and batches."""

from __future__ import annotations

from asyncjobs.storage.redis.keys import BATCH_FIELDS, FIELDS, STATES
from asyncjobs.storage.states import State
from tests.faults.damages import AFTER_OPEN, RUNNING, add
from tests.faults.scene import IDLE, WORK, Scene


def without(job: str, field: str, *finds: str, **more: str | tuple[str, ...]) -> None:
    add("job", f"{job} without its {field}", lambda scene: scene.unset(job, field), *finds, **more)


def another(job: str, field: str, value: str, *finds: str, **more: str | tuple[str, ...]) -> None:
    def do(scene: Scene) -> None:
        scene.set(job, field, scene.batches.get(value, value))

    add("job", f"{job} with {value!r} as {field}", do, *finds, **more)


without("enqueued", "state", "record: enqueued")
without("running", "state", "record: running", again=RUNNING)
another("enqueued", "state", "?", "record: enqueued")
another("enqueued", "state", STATES[State.PROCESSING], "lease: enqueued", "record: enqueued")
another("enqueued", "state", STATES[State.SCHEDULED], "job: enqueued", "id: enqueued")
another("scheduled", "state", STATES[State.FAILED], "job: scheduled", "id: scheduled")
another("waiting member", "state", STATES[State.STAGING], "batch: open")
another("enqueued", "state", STATES[State.STAGING], "job: enqueued")
without("enqueued", "queue", "record: enqueued")
another("enqueued", "queue", WORK, "job: enqueued", "id: enqueued")
without("running", "worker", "lease: running", again=RUNNING)
another("running", "worker", "nobody", "lease: running", again=RUNNING)
without("running", "exchange", "record: running", again=RUNNING)
without("waiting member", "batch", "member: waiting member", "record: waiting member")
another("enqueued", "batch", "open", "member: enqueued", "record: enqueued")
without("waiting member", "linked", "record: waiting member")
without("parent", "linked", "record: parent")
without("parent", "continued", "continuation: parent")
another("enqueued", "continued", "1", "continuation: enqueued", "record: enqueued")
without("child", "parents", "continuation: child")
without("child", "unmet", "continuation: child")
another("child", "unmet", "many", "continuation: child")
another("child of two", "unmet", "1", "continuation: child of two")
another("child of two", "unmet", "7", "continuation: child of two")
another("succeeded", "ghost_in", IDLE, "record: succeeded")
another("enqueued", "ghost_in", WORK, "record: enqueued")
another("enqueued", "ghost_in", IDLE, "record: enqueued")
without("cancelled", "ghost_in", "id: cancelled")
without("kept", "expires", "expiry: kept")
another("failed", "expires", "1", "expiry: failed")
another("running", "cancel_requested", "1", "cancel: running")
without("stubborn", "cancel_requested", "cancel: stubborn")
add("job", "removed after a time", lambda s: s.do("PEXPIRE", "job", 10**8), "expiry: enqueued")
add("job", "a stub for ever", lambda s: s.do("PERSIST", "job", of="stub"), "expiry: stub")
add(
    "job",
    "no record but a state",
    lambda s: s.do("HSET", "job", FIELDS["state"], STATES[State.AWAITING], of="nothing"),
    "continuation: nothing",
)

for _field in ("total", "nested", "nested_succeeded", "nested_failed"):

    def _count(scene: Scene, field: str = _field) -> None:
        scene.do("HINCRBY", "batch", BATCH_FIELDS[field], 1)

    def _spoil(scene: Scene, field: str = _field) -> None:
        scene.do("HSET", "batch", BATCH_FIELDS[field], "many")

    add("batch", f"another {_field}", _count, "batch: open")
    add("batch", f"nonsense as {_field}", _spoil, "number: ")
for _state in (State.SUCCEEDED, State.FAILED, State.CANCELLED):

    def _miscount(scene: Scene, state: State = _state) -> None:
        scene.do("HINCRBY", "batch", STATES[state], 1)

    def _miscount_done(scene: Scene, state: State = _state) -> None:
        scene.do("HINCRBY", "batch", STATES[state], -1, of="done")

    def _rename(scene: Scene, state: State = _state) -> None:
        scene.do("HSET", "batch", BATCH_FIELDS["state"], STATES[state])

    add("batch", f"one more {_state}", _miscount, "batch: open")
    add("batch", f"one {_state} less", _miscount_done, "batch: done")
    add("batch", f"{_state} too early", _rename, "batch: open")
for _batch in ("done", "inner done"):

    def _reopen(scene: Scene, batch: str = _batch) -> None:
        scene.do("HSET", "batch", BATCH_FIELDS["state"], STATES[State.PROCESSING], of=batch)

    def _lose_state(scene: Scene, batch: str = _batch) -> None:
        scene.do("HDEL", "batch", BATCH_FIELDS["state"], of=batch)

    add("batch", f"{_batch} is open again", _reopen, f"batch: {_batch}")
    add("batch", f"{_batch} without its state", _lose_state, f"batch: {_batch}")
add("batch", "without its state", lambda s: s.do("HDEL", "batch", BATCH_FIELDS["state"]), "batch: open")
add(
    "batch",
    "not continued",
    lambda s: s.do("HDEL", "batch", BATCH_FIELDS["continued"]),
    "continuation: ~open",
)
add(
    "batch",
    "continued",
    lambda s: s.do("HSET", "batch", BATCH_FIELDS["continued"], 1, of="done"),
    "continuation: ~done",
)
add(
    "batch",
    "not nested",
    lambda s: s.do("HDEL", "batch", BATCH_FIELDS["parent"], of="inner"),
    "member: ~inner",
)
add(
    "batch",
    "cancelled, and nobody knows",
    lambda s: s.do("HSET", "batch", BATCH_FIELDS["cancel_requested"], 1, of="inner"),
    "batch: inner",
    lost=AFTER_OPEN,
)
add(
    "batch",
    "given up, and nobody knows",
    lambda s: s.do("HSET", "batch", BATCH_FIELDS["state"], "x", of="staging"),
    "follow-up: dstaging",
)
