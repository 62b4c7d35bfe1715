"""Batches: see `BatchStorage`."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from asyncjobs.ids import shard_of
from asyncjobs.storage.base import (
    BATCH_RETENTION_MS,
    NEST_LIMIT,
    PIN_MS,
    STAGING_MS,
    BatchRecord,
    BatchState,
    Members,
    NewBatch,
    Opened,
    State,
)
from asyncjobs.storage.memory.entries import Batch, Word, node_of
from asyncjobs.storage.memory.follow_up import (
    attach_remote,
    called_off,
    conclude,
    detach,
    hear,
    join,
    leave,
    rank,
    root_of,
    start,
)
from asyncjobs.storage.memory.shard import Shard


def open_batches(shard: Shard, batches: Sequence[NewBatch]) -> Opened:
    """→ `staging`."""
    for place, new in enumerate(batches):
        known = shard.batches.get(new.id)
        if known is not None:
            if place == 0 and (known.given_up or known.state is not BatchState.STAGING):
                return Opened.COMMITTED
            continue
        above = shard.batches.get(new.parent)
        if new.parent and (above is None or above.given_up):
            return Opened.MISSING
        depth = 0 if above is None else above.depth + 1
        if depth > NEST_LIMIT:
            return Opened.TOO_DEEP
        batch = Batch(new.id, new.name, new.parent, shard.now(), touched_ms=shard.now(), depth=depth)
        shard.batches[new.id] = batch
        if above is not None and above.state is BatchState.STAGING:
            join(shard, above, f"~{new.id}")
    return Opened.DONE


def commit_batch(shard: Shard, batch_id: str) -> Opened:
    """`staging` → `open`, with all that is nested in it."""
    batch = shard.batches.get(batch_id)
    if batch is None or batch.given_up:
        return Opened.MISSING
    if batch.state is not BatchState.STAGING:
        return Opened.DONE
    if batch.parent:
        above = shard.batches.get(batch.parent)
        if above is None or above.given_up:
            return Opened.MISSING
        if called_off(shard, batch.parent):
            return Opened.CANCELLED
        if above.state is BatchState.STAGING:
            return Opened.DONE
        join(shard, above, f"~{batch_id}")
    queues: set[str] = set()
    opened = [batch_id]
    while opened:
        member = shard.batches[heappop(opened)]
        member.state = BatchState.OPEN
        for name in member.members:
            if name.startswith("~"):
                heappush(opened, name[1:])
                continue
            job = shard.jobs[name]
            if job.state is State.STAGING:
                if job.unmet > 0:
                    shard.wait_for_parents(job)
                else:
                    start(shard, job, queues)
        shard.moves.setdefault(member.id, {})
    conclude(shard, queues)
    return Opened.DONE


def cancel_batch(shard: Shard, batch_id: str) -> Opened:
    """Cancel all that hasn't ended, in nested batches too."""
    # Not at the top: cancelling one job by hand, and a batch, are the same but for this.
    from asyncjobs.storage.memory.by_hand import cancel_job

    batch = shard.batches.get(batch_id)
    if batch is None or batch.given_up or batch.state is BatchState.STAGING:
        return Opened.MISSING
    if batch.state is not BatchState.OPEN:
        return Opened.DONE
    called_off = [batch_id]
    while called_off:
        member = shard.batches[heappop(called_off)]
        if member.cancel_requested:
            continue
        member.cancel_requested = True
        for name in list(member.members):
            if name.startswith("~"):
                if name[1:] in shard.batches:
                    heappush(called_off, name[1:])
            else:
                cancel_job(shard, shard.jobs[name])
    conclude(shard)
    return Opened.DONE


def record_of(batch: Batch) -> BatchRecord:
    """A copy of a batch as readers see it."""
    counts = batch.counts
    return BatchRecord(
        id=batch.id,
        name=batch.name,
        state=batch.state,
        parent=batch.parent,
        created_ms=batch.created_ms,
        finished_ms=batch.finished_ms,
        total=counts["total"],
        succeeded=counts["succeeded"],
        failed=counts["failed"],
        cancelled=counts["cancelled"],
        nested=counts["nested"],
        nested_succeeded=counts["nested_succeeded"],
        nested_failed=counts["nested_failed"],
        cancel_requested=batch.cancel_requested,
    )


def watch_batch(shard: Shard, batch_id: str, inbox: str) -> BatchRecord | None:
    """The batch, whose end an inbox is to be told of."""
    batch = shard.batches.get(batch_id)
    if batch is None or batch.given_up:
        return None
    if inbox and not batch.state.is_finished and inbox not in batch.inboxes:
        batch.inboxes.append(inbox)
    return record_of(batch)


def members(shard: Shard, batch_id: str, offset: int, limit: int) -> Members:
    """A page of a batch's members."""
    batch = shard.batches.get(batch_id)
    names = batch.members if batch is not None else []
    return Members(names[offset : offset + limit], len(names))


def continuations(shard: Shard, node: str, offset: int, limit: int) -> Members:
    """A page of the jobs that wait for a node's end, in the order in which they hear of it."""
    edges = shard.edges.get(node, {})
    waiting = [child for _, child in sorted((rank(*edge), child) for child, edge in edges.items())]
    return Members(waiting[offset : offset + limit], len(waiting))


def batches(shards: Sequence[Shard], offset: int, limit: int) -> list[BatchRecord]:
    """The open ones, newest first, and then the finished ones, latest first."""
    found = [
        record_of(batch)
        for shard in shards
        for batch in shard.batches.values()
        if batch.state is not BatchState.STAGING
    ]
    found.sort(
        key=lambda batch: (not batch.state.is_finished, batch.finished_ms or batch.created_ms, batch.id),
        reverse=True,
    )
    return found[offset : offset + limit]


def carry_on(shards: Sequence[Shard], number: int) -> bool:
    """Deliver what a shard has to say to others; everything else was done at once."""
    outbox, shards[number].outbox = shards[number].outbox, []
    for message in sorted(outbox, key=lambda message: message.order):
        shard = shards[shard_of(message.to, len(shards))]
        if message.word is Word.ASK:
            attach_remote(shard, message.child, message.parent)
            continue
        if message.word is Word.LEAVE:
            leave(shard, message.child, message.parent)
            continue
        job = shard.jobs.get(message.child)
        if job is None or node_of(message.parent) not in job.receipts:
            continue
        job.receipts.discard(node_of(message.parent))
        queues: set[str] = set()
        hear(shard, message.child, message.parent, message.ending, message.output, queues)
        conclude(shard, queues)
    return bool(shards[number].outbox)


def sweep_batches(shard: Shard) -> None:
    """Give up what was left staging; forget what finished long ago."""
    now = shard.now()
    # One that is nested is given up with the one around it, which may still be added to.
    roots = [batch for batch in shard.batches.values() if root_of(shard, batch) is batch]
    for batch in roots:
        if batch.state is BatchState.STAGING and batch.touched_ms <= now - STAGING_MS:
            _give_up(shard, batch)
    for batch in list(shard.batches.values()):
        if not batch.state.is_finished or batch.finished_ms > now - BATCH_RETENTION_MS:
            continue
        if batch.kept_until_ms > now:
            continue
        above = shard.batches.get(batch.parent)
        if above is not None and above.state is BatchState.OPEN:
            batch.kept_until_ms = now + PIN_MS
        else:
            _forget(shard, batch)
    conclude(shard)


def _give_up(shard: Shard, batch: Batch) -> None:
    given_up = [batch]
    for member in given_up:
        member.given_up = True
        for name in member.members:
            if name.startswith("~") and name[1:] in shard.batches:
                given_up.append(shard.batches[name[1:]])
    for member in given_up:
        for name in list(member.members):
            if name in shard.jobs:
                detach(shard, shard.jobs[name])
                shard.unique.disown(shard.jobs[name])
                shard.remove(shard.jobs[name])
    conclude(shard)
    for member in given_up:
        _forget(shard, member)


def _forget(shard: Shard, batch: Batch) -> None:
    del shard.batches[batch.id]
    shard.tell(batch.id, batch.inboxes)
    if f"~{batch.id}" in shard.edges:
        shard.endings.append((f"~{batch.id}", None))
