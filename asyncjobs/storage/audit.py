"""Does a namespace contradict itself? What is looked at, and what counts as a contradiction.

A storage takes a `Snapshot` of a shard; `contradictions` judges it. A snapshot of a large namespace can't be
taken in one step, so that on a busy one a contradiction may be one of two moments: what is found in two
snapshots in turn is real.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from asyncjobs.storage.batches import STAGING_MS, BatchRecord, BatchState
from asyncjobs.storage.dependencies import Follow, Parent
from asyncjobs.storage.states import FINAL_STATES, State


@dataclass(slots=True, frozen=True)
class Finding:
    """One contradiction."""

    kind: str
    """`job` (not where its state says), `id` (in a place where its job isn't), `lease`, `batch`,
    `continuation`, `queue` (a length), `staging` (an uncommitted batch left behind), `recurring`."""
    id: str
    """Of the job, batch, worker or queue concerned."""
    detail: str
    """What contradicts what, in words."""


@dataclass(slots=True)
class JobFacts:
    """What matters of a job."""

    state: State
    queue: str = ""
    worker: str = ""
    batch: str = ""
    unmet: int = 0
    parents: tuple[tuple[Parent, bool], ...] = ()
    """Each with whether it is on another shard."""
    unheard: frozenset[str] = frozenset()
    """Parents on other shards whose end it hasn't heard of."""
    continued: bool = False
    """Whether it knows that jobs wait for it."""


@dataclass(slots=True)
class BatchFacts:
    """What matters of a batch."""

    record: BatchRecord
    members: list[str]
    removed: Counter[str] = field(default_factory=Counter[str])
    """How many of its members were removed, by the state they had ended in."""
    touched_ms: int = 0
    """When it was last added to, while staging."""
    continued: bool = False
    """Whether it knows that jobs wait for it."""
    listed: bool = True
    """Whether it is in the list of batches."""


@dataclass(slots=True)
class Snapshot:
    """A shard, as far as it can contradict itself."""

    now_ms: int
    jobs: dict[str, JobFacts] = field(default_factory=dict[str, JobFacts])
    lists: dict[State, set[str]] = field(default_factory=dict[State, set[str]])
    queues: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """Queue → ids in its lists; ids of jobs that aren't enqueued there any more (ghosts) among them."""
    prioritized: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    ghosts: dict[str, int] = field(default_factory=dict[str, int])
    """Queue → how many ghosts it is said to have."""
    held: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    """Worker → the jobs it holds leases on."""
    batches: dict[str, BatchFacts] = field(default_factory=dict[str, BatchFacts])
    edges: dict[str, dict[str, bool]] = field(default_factory=dict[str, dict[str, bool]])
    """Node → the jobs that are to hear of its end, and whether each is on another shard.

    A node is a job's id, or a `~` and a batch's.
    """
    under_way: set[str] = field(default_factory=set[str])
    """Nodes that more is being done for (see `BatchStorage.carry_on`)."""
    recurring: dict[str, bool] = field(default_factory=dict[str, bool])
    """Recurring jobs, and whether somebody will look at each when its time comes."""


class AuditStorage(Protocol):
    """What a storage does to be checked."""

    async def snapshot(self, shard: int) -> Snapshot:
        """Read a shard as a whole. O(everything): for checks, never for the work itself."""
        ...


def contradictions(found: Snapshot) -> list[Finding]:
    """All contradictions in a snapshot."""
    return [
        *_jobs(found),
        *_places(found),
        *_leases(found),
        *_queue_lengths(found),
        *_batches(found),
        *_continuations(found),
        *(
            Finding("recurring", recurring_id, "nobody will look at it when its time comes")
            for recurring_id, is_looked_at in found.recurring.items()
            if not is_looked_at
        ),
    ]


def _jobs(found: Snapshot) -> Iterator[Finding]:
    """Each job is where its state says."""
    enqueued = Counter(
        (name, job_id)
        for places in (found.queues, found.prioritized)
        for name, ids in places.items()
        for job_id in ids
    )
    members = {batch_id: set(batch.members) for batch_id, batch in found.batches.items()}
    for job_id, job in found.jobs.items():
        times = enqueued[job.queue, job_id]
        if job.state in found.lists:
            if job_id not in found.lists[job.state]:
                yield Finding("job", job_id, f"it is {job.state}, but not in that list")
        elif job.state is State.ENQUEUED:
            if times != 1:
                yield Finding("job", job_id, f"it is enqueued, and {times} times in queue {job.queue!r}")
        elif job.state is State.PROCESSING:
            if job_id not in found.held.get(job.worker, ()):
                yield Finding("lease", job_id, f"it is processing, but {job.worker} holds no lease on it")
        elif job.state is State.STAGING and not _may_be_staging(found, job.batch):
            yield Finding("job", job_id, f"it is staging, but batch {job.batch!r} isn't, or isn't there")
        if job.batch in members and job_id not in members[job.batch]:
            yield Finding("batch", job.batch, f"{job_id} says that it is a member, and isn't")
        if times > 1 and job.state is not State.ENQUEUED:
            yield Finding("id", job_id, f"it is {times} times in queue {job.queue!r}")


def _may_be_staging(found: Snapshot, batch_id: str) -> bool:
    """Whether a batch is staging, or its members are about to leave that state."""
    while (batch := found.batches.get(batch_id)) is not None:
        if batch.record.state is BatchState.STAGING or f"~{batch_id}" in found.under_way:
            return True
        batch_id = batch.record.parent
    return False


def _places(found: Snapshot) -> Iterator[Finding]:
    """Each id in a list is that of a job in that state."""
    for state, ids in found.lists.items():
        for job_id in ids:
            job = found.jobs.get(job_id)
            if job is None or job.state is not state:
                yield Finding("id", job_id, f"it is in the list {state}, but {_is(job)}")
    for name, ids in found.prioritized.items():
        for job_id in ids:
            job = found.jobs.get(job_id)
            if job is None or job.state is not State.ENQUEUED:
                yield Finding("id", job_id, f"it is in queue {name!r} by priority, but {_is(job)}")


def _is(job: JobFacts | None) -> str:
    return "there is no such job" if job is None else f"the job is {job.state}"


def _leases(found: Snapshot) -> Iterator[Finding]:
    for worker, ids in found.held.items():
        for job_id in ids:
            job = found.jobs.get(job_id)
            if job is None or job.state is not State.PROCESSING or job.worker != worker:
                yield Finding("lease", job_id, f"worker {worker} holds a lease on it, but {_is(job)}")


def _queue_lengths(found: Snapshot) -> Iterator[Finding]:
    for name, ids in found.queues.items():
        ghosts: list[str] = []
        for job_id in ids:
            job = found.jobs.get(job_id)
            if job is None or job.state is not State.ENQUEUED or job.queue != name:
                ghosts.append(job_id)
        if len(ghosts) != found.ghosts.get(name, 0):
            said = found.ghosts.get(name, 0)
            # The first ones are named so that others, a moment later, aren't taken for the same.
            named = f" ({', '.join(ghosts[:3])})" if ghosts else ""
            yield Finding(
                "queue", name, f"{len(ghosts)} of its ids{named} are of no job in it, but {said} are counted"
            )


def _batches(found: Snapshot) -> Iterator[Finding]:
    """Counters equal the members' states."""
    for batch_id, batch in found.batches.items():
        record = batch.record
        if record.state is BatchState.STAGING:
            if batch.touched_ms <= found.now_ms - 2 * STAGING_MS:
                yield Finding("staging", batch_id, "it was never committed, and is left behind")
            continue
        if not batch.listed:
            yield Finding("batch", batch_id, f"it is {record.state}, and not in the list of batches")
        states = Counter(batch.removed)
        nested = Counter[str]()
        missing: list[str] = []
        for member in batch.members:
            if member.startswith("~"):
                inner = found.batches.get(member[1:])
                nested[inner.record.state.value if inner else "gone"] += 1
            elif member in found.jobs:
                states[found.jobs[member].state.value] += 1
            else:
                missing.append(member)
        if missing:
            yield Finding("batch", batch_id, f"members are gone that nobody removed: {missing[:5]}")
            continue
        counted = {
            State.SUCCEEDED: record.succeeded,
            State.FAILED: record.failed,
            State.CANCELLED: record.cancelled,
        }
        for state, said in counted.items():
            if states[state.value] != said:
                yield Finding(
                    "batch", batch_id, f"{states[state.value]} members are {state}, it counts {said}"
                )
        if sum(states.values()) != record.total:
            yield Finding(
                "batch", batch_id, f"it has {sum(states.values())} members, and counts {record.total}"
            )
        if sum(nested.values()) != record.nested or (
            not nested["gone"] and nested["succeeded"] != record.nested_succeeded
        ):
            yield Finding("batch", batch_id, f"nested batches are {dict(nested)}, and it counts otherwise")
        ended = sum(states[state.value] for state in FINAL_STATES) == record.total
        ended = ended and record.nested_succeeded + record.nested_failed == record.nested
        if ended != record.state.is_finished and f"~{batch_id}" not in found.under_way:
            yield Finding(
                "batch", batch_id, f"it is {record.state}, but {'all' if ended else 'not all'} have ended"
            )


def _continuations(found: Snapshot) -> Iterator[Finding]:
    """Nobody waits for what has ended, and each knows for how many it waits."""
    for job_id, job in found.jobs.items():
        if job.state not in (State.AWAITING, State.STAGING) or job_id in found.under_way:
            continue
        waits = 0
        for parent, is_remote in job.parents:
            node = f"~{parent.id}" if parent.batch else parent.id
            if is_remote:
                waits += node in job.unheard
                continue
            if job_id not in found.edges.get(node, {}):
                continue
            waits += 1
            ended, ending = _ending(found, node)
            if ended and parent.follow(ending) is not Follow.WAITS and node not in found.under_way:
                yield Finding("continuation", job_id, f"it waits for {node}, which is {ending or 'gone'}")
        if waits != job.unmet:
            yield Finding("continuation", job_id, f"it waits for {waits} parents, and counts {job.unmet}")
        elif not waits and job.state is State.AWAITING:
            yield Finding("continuation", job_id, "it waits for nothing")
    yield from _edges(found)


def _edges(found: Snapshot) -> Iterator[Finding]:
    """What jobs wait for is there and knows of it, and they do wait."""
    for node, children in found.edges.items():
        if node in found.under_way:
            continue
        ended, ending = _ending(found, node)
        if ended and ending is None and children:
            yield Finding("continuation", node, f"{len(children)} jobs wait for it, and it isn't there")
        elif children and not _is_continued(found, node):
            yield Finding("continuation", node, f"{len(children)} jobs wait for it, and it doesn't know")
        for child, is_remote in children.items():
            job = found.jobs.get(child)
            waits = job is not None and job.state in (State.AWAITING, State.STAGING)
            if not is_remote and not waits and child not in found.under_way:
                yield Finding("continuation", node, f"{child} is to hear of its end, but {_is(job)}")
    nodes = [*found.jobs, *(f"~{batch_id}" for batch_id in found.batches)]
    for node in nodes:
        if _is_continued(found, node) and not found.edges.get(node) and node not in found.under_way:
            yield Finding("continuation", node, "it is kept for jobs that wait for it, and none does")


def _is_continued(found: Snapshot, node: str) -> bool:
    known = found.batches.get(node[1:]) if node.startswith("~") else found.jobs.get(node)
    return known is not None and known.continued


def _ending(found: Snapshot, node: str) -> tuple[bool, State | None]:
    if node.startswith("~"):
        batch = found.batches.get(node[1:])
        if batch is None:
            return True, None
        state = batch.record.state
        return state.is_finished, State(state.value) if state.is_finished else None
    job = found.jobs.get(node)
    if job is None:
        return True, None
    return job.state.is_final, job.state if job.state.is_final else None
