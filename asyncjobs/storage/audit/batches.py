"""Each batch counts its members as what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from asyncjobs.storage.audit.facts import BatchFacts, Finding, Snapshot
from asyncjobs.storage.batches import NEST_LIMIT, STAGING_MS, BatchRecord, BatchState
from asyncjobs.storage.states import State

WAITING = (State.AWAITING, State.SCHEDULED, State.ENQUEUED, State.THROTTLED, State.RETRYING)


@dataclass(slots=True)
class Tally:
    """What the members of a batch are, counted."""

    jobs: Counter[State] = field(default_factory=Counter[State])
    nested: Counter[BatchState] = field(default_factory=Counter[BatchState])
    gone: int = 0
    """Nested batches that are gone."""
    removed: Counter[State] = field(default_factory=Counter[State])
    """Members that were removed, by what they had ended as."""


@dataclass(slots=True, frozen=True)
class Counters:
    """What a batch should count."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    nested: int
    nested_succeeded: int
    nested_failed: int

    @property
    def ended(self) -> bool:
        """Whether all have ended."""
        jobs = self.succeeded + self.failed + self.cancelled
        return jobs == self.total and self.nested_succeeded + self.nested_failed == self.nested


def counters_of(record: BatchRecord) -> Counters:
    """What a batch counts."""
    return Counters(
        record.total,
        record.succeeded,
        record.failed,
        record.cancelled,
        record.nested,
        record.nested_succeeded,
        record.nested_failed,
    )


def right_counters(tally: Tally, nested_succeeded: int) -> Counters:
    """What a batch should count, that now counts so many nested ones as succeeded."""
    states = tally.jobs + tally.removed
    succeeded = tally.nested[BatchState.SUCCEEDED]
    failed = tally.nested[BatchState.FAILED] + tally.nested[BatchState.CANCELLED]
    # Nested ones are forgotten some time after they finished: of these only the counters know how.
    gone_succeeded = min(max(nested_succeeded - succeeded, 0), tally.gone)
    return Counters(
        sum(states.values()),
        states[State.SUCCEEDED],
        states[State.FAILED],
        states[State.CANCELLED],
        sum(tally.nested.values()) + tally.gone,
        succeeded + gone_succeeded,
        failed + tally.gone - gone_succeeded,
    )


def batches(found: Snapshot) -> Iterator[Finding]:
    """What is wrong with batches."""
    yield from _lost(found)
    # The outer ones first: what they count is right before those in them finish and are counted.
    for batch_id, batch in sorted(found.batches.items(), key=lambda item: (_depth(found, item[1]), item[0])):
        yield from _membership(found, batch_id, batch)
        told = [*_counters(found, batch), *_state(found, batch)]
        if told:
            yield Finding("batch", batch_id, "; ".join(told))
    yield from _lost_members(found)
    yield from _left_staging(found)


def _lost(found: Snapshot) -> Iterator[Finding]:
    """Those whose record is gone: whether jobs say that they are members, and whether all are staging."""
    for batch_id in sorted(found.lost_batches):
        states = [job.state for job in found.jobs.values() if job.batch == batch_id]
        outer = [name for name, batch in found.batches.items() if f"~{batch_id}" in batch.members]
        yield Finding(
            "batch",
            batch_id,
            "its record is gone, but not all that belongs to it",
            " ".join(["lost", *outer[:1]]),
            (min(len(states), 1), int(all(state is State.STAGING for state in states))),
        )


def _depth(found: Snapshot, batch: BatchFacts) -> int:
    depth = 0
    while (outer := found.batches.get(batch.record.parent)) is not None and depth < NEST_LIMIT:
        batch, depth = outer, depth + 1
    return depth


def _membership(found: Snapshot, batch_id: str, batch: BatchFacts) -> Iterator[Finding]:
    for member in batch.members:
        if member.startswith("~"):
            inner = found.batches.get(member[1:])
            if inner is not None and inner.record.parent != batch_id:
                yield Finding(
                    "member", member, f"it is nested in batch {batch_id}, and doesn't know", batch_id
                )
            continue
        job = found.jobs.get(member)
        if job is None:
            yield Finding("member", member, f"it is a member of batch {batch_id}, and isn't there", batch_id)
        elif job.batch != batch_id:
            yield Finding(
                "member", member, f"it is counted in batch {batch_id}, and knows nothing of it", batch_id
            )


def _lost_members(found: Snapshot) -> Iterator[Finding]:
    members = {batch_id: set(batch.members) for batch_id, batch in found.batches.items()}
    for job_id, job in sorted(found.jobs.items()):
        if job.batch in members and job_id not in members[job.batch]:
            yield Finding(
                "member", job_id, f"it says that it is a member of batch {job.batch}, and isn't", job.batch
            )
    for batch_id, batch in sorted(found.batches.items()):
        outer = batch.record.parent
        # What is begun in a batch that is open is its member only when it is committed.
        joined = batch.record.state is not BatchState.STAGING or (
            outer in found.batches and found.batches[outer].record.state is BatchState.STAGING
        )
        if outer in members and joined and f"~{batch_id}" not in members[outer]:
            yield Finding(
                "member", f"~{batch_id}", f"it is nested in batch {outer}, which doesn't know", outer
            )


def tally_of(found: Snapshot, batch: BatchFacts) -> Tally:
    """Count a batch's members."""
    tally = Tally()
    for member in batch.members:
        if member.startswith("~"):
            inner = found.batches.get(member[1:])
            if inner is None:
                tally.gone += 1
            else:
                tally.nested[inner.record.state] += 1
        elif member in found.jobs:
            tally.jobs[found.jobs[member].state] += 1
    tally.removed.update({State(state): count for state, count in batch.removed.items()})
    return tally


def _counters(found: Snapshot, batch: BatchFacts) -> Iterator[str]:
    tally = tally_of(found, batch)
    said, right = counters_of(batch.record), right_counters(tally, batch.record.nested_succeeded)
    for name in Counters.__slots__:
        excess = getattr(said, name) - getattr(right, name)
        if excess:
            yield f"it counts {abs(excess)} {'too many' if excess > 0 else 'too few'} as {name}"


def _state(found: Snapshot, batch: BatchFacts) -> Iterator[str]:
    record = batch.record
    tally = tally_of(found, batch)
    if not batch.listed and is_root(found, batch):
        yield f"it is {record.state}, and not in the list of batches"
    node = f"~{record.id}"
    if node in found.under_way or record.state is BatchState.STAGING:
        return
    staging = tally.jobs[State.STAGING] + tally.nested[BatchState.STAGING]
    if staging:
        yield f"it is {record.state}, and {staging} of its members are still staging"
    right = right_counters(tally, record.nested_succeeded)
    if right.ended != record.state.is_finished:
        yield f"it is {record.state}, but {'all' if right.ended else 'not all'} have ended"
    if record.cancel_requested and any(tally.jobs[state] for state in WAITING):
        yield "it is cancelled, and some of its members still wait"


def is_root(found: Snapshot, batch: BatchFacts) -> bool:
    """Whether it has a place of its own in the list: not while it is staged together with another one."""
    outer = found.batches.get(batch.record.parent)
    staged = batch.record.state is BatchState.STAGING
    return not (staged and outer is not None and f"~{batch.record.id}" in outer.members)


def _left_staging(found: Snapshot) -> Iterator[Finding]:
    """Workers give up what was never committed; this is for where none has run."""
    for batch_id, batch in sorted(found.batches.items()):
        if batch.record.state is BatchState.STAGING and is_root(found, batch):
            touched = batch.touched_ms
            if touched is not None and touched <= found.now_ms - 2 * STAGING_MS:
                yield Finding("staging", batch_id, "it was never committed, and is left behind")
