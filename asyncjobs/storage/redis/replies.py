"""Replies of the scripts, as records."""

from __future__ import annotations

from typing import Any

import msgpack

from asyncjobs.storage.base import (
    BatchRecord,
    BatchState,
    ExchangeReply,
    Finished,
    Grant,
    HistoryEntry,
    JobRecord,
    LogLine,
    Page,
    Parent,
    QueueRecord,
    State,
    WorkerRecord,
)
from asyncjobs.storage.records import unpack_error
from asyncjobs.storage.redis.keys import (
    BATCH_FIELDS,
    FIELDS,
    PIECE,
    PIECES,
    STATE_OF,
    STATES,
    STUB,
    limits_of,
    parent_of,
)

_F = {name: field.encode() for name, field in FIELDS.items()}
_STUB = STUB.encode()
_FINISHED = {str(code.value): code for code in Finished}
_TIMED = frozenset({State.SCHEDULED, State.RETRYING})
GRANT_VALUES = 9
_B = {name: field.encode() for name, field in BATCH_FIELDS.items()}
BATCH_STATES = {
    STATES[State.STAGING].encode(): BatchState.STAGING,
    STATES[State.PROCESSING].encode(): BatchState.OPEN,
    STATES[State.SUCCEEDED].encode(): BatchState.SUCCEEDED,
    STATES[State.FAILED].encode(): BatchState.FAILED,
    STATES[State.CANCELLED].encode(): BatchState.CANCELLED,
}


def _int(value: bytes) -> int:
    """A number; 0 where somebody has put something else there."""
    try:
        return int(value)
    except ValueError:
        return 0


def _float(value: bytes) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _joined(fields: dict[bytes, bytes], name: str) -> bytes:
    """A value that `keys.pieces` may have split."""
    field = _F[name]
    value = fields.get(field, b"")
    if len(value) != PIECE:
        return value
    parts = [value]
    for number in range(1, PIECES):
        part = fields.get(field + b"%d" % number)
        if part is None:
            break
        parts.append(part)
    return b"".join(parts)


def job_record(job_id: str, flat: list[bytes], score: bytes | None) -> JobRecord | None:
    """A job from its hash and its score in its list; None of a stub."""
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    state_code = fields.get(_F["state"])
    if state_code is None or state_code == _STUB:
        return None
    state = STATE_OF.get(state_code, State.FAILED)

    def number(name: str) -> int:
        return _int(fields.get(_F[name], b"0"))

    at = int(float(score)) if score is not None else 0
    created = number("created")
    enqueued = number("enqueued") if _F["enqueued"] in fields else created
    progress = fields.get(_F["progress"])
    return JobRecord(
        id=job_id,
        name=fields.get(_F["name"], b"").decode(errors="replace"),
        queue=fields.get(_F["queue"], b"").decode(errors="replace"),
        state=state,
        payload=_joined(fields, "payload"),
        options=fields.get(_F["options"], b""),
        priority=number("priority"),
        created_ms=created,
        enqueued_ms=enqueued,
        due_ms=at if state in _TIMED else 0,
        started_ms=number("started"),
        finished_ms=at if state.is_final else 0,
        attempt=number("attempt"),
        failures=number("failures"),
        recoveries=number("recoveries"),
        worker=fields.get(_F["worker"], b"").decode(errors="replace"),
        result=_joined(fields, "result"),
        result_kept=_F["result_dropped"] not in fields,
        cancel_requested=_F["cancel_requested"] in fields,
        progress=None if progress is None else _float(progress),
        progress_message=fields.get(_F["progress_message"], b"").decode(errors="replace"),
        parents=tuple(parent for parent, _ in parents_of(fields.get(_F["parents"], b""))),
        unmet=max(number("unmet"), 0),
        batch=fields.get(_F["batch"], b"").decode(errors="replace"),
        unique=fields.get(_F["unique"], b"").decode(errors="replace").partition(" ")[2].partition(" ")[2],
        limits=limits_of(fields.get(_F["limits"], b"").decode(errors="replace")),
        throttled_by=_throttled_by(fields) if state is State.THROTTLED else "",
        throttled_ms=number("throttled_at"),
        deadline_ms=number("deadline"),
    )


def _throttled_by(fields: dict[bytes, bytes]) -> str:
    return fields.get(_F["throttled_by"], b"").decode(errors="replace").partition(" ")[2]


def parents_of(text: bytes) -> tuple[tuple[Parent, bool], ...]:
    """A job's parents, each with whether it is on another shard; none of what can't be read."""
    words = text.decode(errors="replace").split()
    try:
        return tuple(
            (parent_of(int(code), node), int(code) % 2 == 1)
            for code, node in zip(words[::2], words[1::2], strict=True)
        )
    except (ValueError, KeyError):
        return ()


def found_record(job_id: str, reply: Any) -> JobRecord | None:
    """A job as `get` and `watch` tell of it."""
    return None if reply is None else job_record(job_id, reply[0], reply[1])


def page(reply: list[Any]) -> Page:
    """What `jobs` gave of one shard."""
    jobs: list[JobRecord] = []
    for at in range(1, len(reply), 3):
        record = job_record(reply[at].decode(), reply[at + 1], reply[at + 2])
        if record is not None:
            jobs.append(record)
    return Page(jobs, reply[0])


def entered(replies: list[list[Any]]) -> dict[str, int]:
    """By which numbers the jobs are in the order of their list, where it has any."""
    return {
        reply[at].decode(): int(float(reply[at + 2] or 0))
        for reply in replies
        for at in range(1, len(reply), 3)
    }


def exchange_reply(reply: list[Any], exchange: int) -> ExchangeReply:
    """What `exchange` gave."""
    now, codes, due, claimed, more, follow_ups, dropped, granted, extras = reply
    grants = [
        Grant(
            granted[at].decode(errors="replace"),
            granted[at + 1].decode(errors="replace"),
            granted[at + 2].decode(errors="replace"),
            granted[at + 3],
            granted[at + 4],
            granted[at + 5],
            _int(granted[at + 6]),
            _int(granted[at + 7]),
            _int(granted[at + 8]),
            exchange,
        )
        for at in range(0, len(granted), GRANT_VALUES)
    ]
    if extras:
        _add_extras(grants, extras)
    return ExchangeReply(
        now_ms=now,
        results=[_FINISHED[code] for code in codes.decode()],
        grants=grants,
        next_due_ms=int(due) if due else None,
        due_claimed=bool(claimed),
        more=bool(more),
        follow_ups=bool(follow_ups),
        dropped=dropped.decode(errors="replace").split(),
    )


def _add_extras(grants: list[Grant], extras: list[Any]) -> None:
    """What is only told of members of batches and of continuations."""
    by_id = {grant.id: grant for grant in grants}
    for at in range(0, len(extras), 3):
        grant = by_id[extras[at].decode(errors="replace")]
        grant.batch = extras[at + 1].decode(errors="replace")
        flat = extras[at + 2]
        if flat is not None:
            grant.outputs = {flat[n].decode(): flat[n + 1] for n in range(0, len(flat), 2)}


def batch_record(batch_id: str, flat: list[bytes]) -> BatchRecord | None:
    """A batch from its hash; None of one that is not there, or is being removed."""
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    state = BATCH_STATES.get(fields.get(_B["state"], b""))
    if state is None:
        return None

    def number(name: bytes) -> int:
        return _int(fields.get(name, b"0"))

    return BatchRecord(
        id=batch_id,
        name=fields.get(_B["name"], b"").decode(errors="replace"),
        state=state,
        parent=fields.get(_B["parent"], b"").decode(errors="replace"),
        created_ms=number(_B["created"]),
        finished_ms=number(_B["finished"]),
        total=number(_B["total"]),
        succeeded=number(STATES[State.SUCCEEDED].encode()),
        failed=number(STATES[State.FAILED].encode()),
        cancelled=number(STATES[State.CANCELLED].encode()),
        nested=number(_B["nested"]),
        nested_succeeded=number(_B["nested_succeeded"]),
        nested_failed=number(_B["nested_failed"]),
        cancel_requested=_B["cancel_requested"] in fields,
    )


def history_entry(line: bytes) -> HistoryEntry:
    """A line of a job's history."""
    head, _, error = line.partition(b"\n")
    at, event, attempt, worker = head.decode().split(" ")
    error_type, message, traceback = unpack_error(error)
    return HistoryEntry(int(at), event, int(attempt), worker, error_type, message, traceback)


def log_line(line: bytes) -> LogLine:
    """A line of a job's log."""
    head, _, text = line.partition(b"\n")
    at, attempt = head.split(b" ")
    return LogLine(int(at), int(attempt), text.decode(errors="replace"))


def queue_records(reply: list[Any]) -> list[QueueRecord]:
    """What `queues` gave of one shard."""
    return [
        QueueRecord(
            reply[at].decode(),
            reply[at + 1],
            bool(reply[at + 2]),
            int(reply[at + 3]) if reply[at + 3] else None,
        )
        for at in range(0, len(reply), 4)
    ]


def worker_records(reply: list[Any]) -> list[WorkerRecord]:
    """What `workers` gave of one shard."""
    return [
        WorkerRecord(
            id=reply[at].decode(),
            info=unpack_info(reply[at + 1]),
            deadline_ms=int(float(reply[at + 2])),
            running=reply[at + 3],
            reaping=bool(reply[at + 4]),
        )
        for at in range(0, len(reply), 5)
    ]


def pack_info(info: dict[str, object]) -> bytes:
    """What a worker says of itself, packed."""
    return msgpack.packb(info)


def unpack_info(data: bytes) -> dict[str, object]:
    """The same, unpacked; empty if it can't be read."""
    try:
        return {str(key): item for key, item in msgpack.unpackb(data).items()}
    except Exception:
        return {}
