"""What follows from the end of jobs and batches: batches' counters, continuations, and so on.

A transition that ends or removes jobs notes that on the shard (`Shard.endings`, `Shard.moves`), and calls
`follow_up` last. A node is what can be waited for: a job's id, or a batch's with a `~` before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from asyncjobs.ids import shard_of
from asyncjobs.storage.base import (
    FINAL_STATES,
    FOLLOW_LIMIT,
    BatchState,
    Conflict,
    Created,
    Follow,
    NewJob,
    Parent,
    State,
)
from asyncjobs.storage.dependencies import unmet_error
from asyncjobs.storage.memory.entries import Batch, Job, Message, Word, node_of
from asyncjobs.storage.memory.shard import Shard
from asyncjobs.storage.memory.throttling import enter_queue, settle
from asyncjobs.storage.records import pack_error


def rank(parent: Parent, remote: bool) -> int:
    """In which order those that wait for one thing hear of its end: by how they wait, then by id."""
    kind = {"succeeded": 1 if parent.cancel else 0, "failed": 2, "finished": 3}[parent.on.value]
    return 4 * kind + 2 * parent.output + remote


def follow_up(shard: Shard, queues: set[str]) -> None:
    """Carry out what follows from what was noted. Names of queues that have new jobs go into `queues`."""
    while True:
        _follow_up_ends(shard, queues)
        settle(shard, queues)
        if not (shard.moves or shard.endings):
            return


def _follow_up_ends(shard: Shard, queues: set[str]) -> None:
    while shard.moves or shard.endings:
        if shard.moves:
            name = next(iter(shard.moves))
            moves = shard.moves.pop(name)
            batch = shard.batches.get(name)
            if batch is not None:
                batch.counts.update(moves)
                _finish_batch(shard, batch)
        else:
            node, ending = shard.endings.pop(0)
            _resolve(shard, node, ending, queues)


def conclude(shard: Shard, queues: set[str] | None = None) -> None:
    """The same, and wake the queues (and those given)."""
    queues = set() if queues is None else queues
    follow_up(shard, queues)
    for name in queues:
        shard.put_marker(name)


def ending_of(shard: Shard, node: str) -> tuple[bool, State | None]:
    """Whether a node has ended, and how; (True, None) if it isn't there (any more)."""
    if node.startswith("~"):
        batch = shard.batches.get(node[1:])
        if batch is None or batch.given_up:
            return True, None
        return batch.state.is_finished, State(batch.state.value) if batch.state.is_finished else None
    job = shard.jobs.get(node)
    if job is None:
        return True, None
    return job.state.is_final, job.state if job.state.is_final else None


def _resolve(shard: Shard, node: str, ending: State | None, queues: set[str]) -> None:
    edges = shard.edges.get(node, {})
    told = [
        (rank(parent, remote), child)
        for child, (parent, remote) in edges.items()
        if parent.follow(ending) is not Follow.WAITS
    ]
    for _, child in sorted(told):
        parent, remote = edges.pop(child)
        follows = parent.follow(ending)
        output = _output(shard, node) if parent.output and follows is Follow.MET else None
        if remote:
            shard.outbox.append(Message(Word.END, child, parent, ending, output))
        else:
            hear(shard, child, parent, ending, output, queues)
    if not edges:
        shard.edges.pop(node, None)


def _output(shard: Shard, node: str) -> bytes | None:
    job = shard.jobs.get(node)
    return job.result if job is not None and job.result_kept else None


def hear(
    shard: Shard, child: str, parent: Parent, ending: State | None, output: bytes | None, queues: set[str]
) -> None:
    """A job hears that one of its parents has ended."""
    job = shard.jobs.get(child)
    if job is None or job.state not in (State.AWAITING, State.STAGING):
        return
    if parent.follow(ending) is Follow.MET:
        if output is not None:
            job.outputs[parent.id] = output
        job.unmet -= 1
        if job.unmet <= 0 and job.state is State.AWAITING:
            start(shard, job, queues)
        return
    detach(shard, job)
    batch = shard.batches.get(job.batch)
    if job.state is State.STAGING and batch is not None and batch.given_up:
        return
    shard.record(job, "cancelled", error=pack_error(*unmet_error(parent.id, parent.batch, ending)))
    shard.end(job, State.CANCELLED)


def start(shard: Shard, job: Job, queues: set[str]) -> None:
    """A job that waits for nothing any more: → `scheduled` or `enqueued`."""
    due = max(shard.now() + job.delay_ms, job.not_before_ms)
    if job.expires_ms:
        job.deadline_ms = due + job.expires_ms
    if due > shard.now():
        shard.wait_until_due(job, State.SCHEDULED, due)
        if shard.lists[State.SCHEDULED].first_rank() == due:
            queues.add(job.queue)
    else:
        if enter_queue(shard, job):
            queues.add(job.queue)


def attach(shard: Shard, child: str, parent: Parent, remote: bool) -> tuple[Follow, State | None]:
    """Have a job told of a parent's end, or say what follows from the end that it has had already."""
    node = node_of(parent)
    ended, ending = ending_of(shard, node)
    follows = parent.follow(ending) if ended else Follow.WAITS
    if follows is Follow.WAITS:
        shard.edges.setdefault(node, {})[child] = (parent, remote)
    return follows, ending


def attach_remote(shard: Shard, child: str, parent: Parent) -> None:
    """The same for a job on another shard, which is told by a message."""
    follows, ending = attach(shard, child, parent, remote=True)
    if follows is not Follow.WAITS:
        output = _output(shard, node_of(parent)) if parent.output and follows is Follow.MET else None
        shard.outbox.append(Message(Word.END, child, parent, ending, output))


def detach(shard: Shard, job: Job) -> None:
    """A job that is cancelled or removed doesn't wait any more."""
    for parent in job.parents:
        leave(shard, job.id, parent)
        if node_of(parent) in job.receipts:
            ask = Message(Word.ASK, job.id, parent)
            shard.outbox = [message for message in shard.outbox if message != ask]
            shard.outbox.append(Message(Word.LEAVE, job.id, parent))


def leave(shard: Shard, child: str, parent: Parent) -> None:
    """A job doesn't wait for a parent any more."""
    edges = shard.edges.get(node_of(parent), {})
    edges.pop(child, None)
    if not edges:
        shard.edges.pop(node_of(parent), None)


def create_linked(shard: Shard, new: NewJob, shards: int, queues: set[str]) -> Created | Conflict:
    """Make a job that waits for parents, is a member of a batch, unique, under limits, or expires."""
    batch = shard.batches.get(new.batch)
    if new.batch and (batch is None or batch.given_up):
        return Created.BATCH_GONE
    if called_off(shard, new.batch):
        return Created.BATCH_CANCELLED
    own = shard_of(new.id, shards)
    local = [shard_of(parent.id, shards) == own for parent in new.parents]
    for parent, is_local in zip(new.parents, local, strict=True):
        if is_local and ending_of(shard, node_of(parent)) == (True, None):
            return Created.PARENT_GONE
    holder = shard.unique.holder(new.unique.key) if new.unique else None
    # What it is to run after doesn't make way for it: then neither would ever run.
    if new.unique and holder and (not new.unique.replaces or comes_before(shard, holder, new.parents)):
        return Conflict(holder)
    shard.queue(new.queue)
    staging = batch is not None and batch.state is BatchState.STAGING
    job = shard.jobs[new.id] = Job.of(new, shard.now())
    job.parents, job.unmet, job.batch = tuple(new.parents), len(new.parents), new.batch
    job.delay_ms, job.not_before_ms = new.delay_ms, new.due_ms
    if new.unique:
        if holder:
            replace(shard, shard.jobs.get(holder), new.id)
        expire_holder(shard, new.unique.key)
        shard.unique.claim(new.id, new.unique)
    for use in new.limits:
        shard.limits.declare(use)
    if batch is not None:
        join(shard, batch, new.id)
    if new.parents:
        if not staging:
            shard.wait_for_parents(job)
        for parent, is_local in zip(new.parents, local, strict=True):
            if not is_local:
                job.receipts.add(node_of(parent))
                shard.outbox.append(Message(Word.ASK, new.id, parent))
                continue
            follows, ending = attach(shard, new.id, parent, remote=False)
            if follows is not Follow.WAITS:
                output = _output(shard, node_of(parent)) if parent.output and follows is Follow.MET else None
                hear(shard, new.id, parent, ending, output, queues)
            if follows is Follow.UNMET:
                # It waits for none of the others, whose edge would stay.
                break
    elif not staging:
        start(shard, job, queues)
    return Created.CREATED


def comes_before(shard: Shard, job_id: str, parents: Sequence[Parent]) -> bool:
    """Whether a job that waits is one of the parents, or that they wait for, or in a batch that is."""
    holder = shard.jobs.get(job_id)
    if holder is None or holder.state is State.PROCESSING or holder.state.is_final:
        return False
    wanted = {job_id}
    batch = holder.batch
    while batch:
        wanted.add(f"~{batch}")
        batch = shard.batches[batch].parent if batch in shard.batches else ""
    nodes = deque(node_of(parent) for parent in parents)
    seen: set[str] = set()
    while nodes:
        node = nodes.popleft()
        if node in wanted:
            return True
        job = shard.jobs.get(node)
        if len(seen) < FOLLOW_LIMIT and node not in seen and not node.startswith("~"):
            seen.add(node)
            if job is not None and job.state in (State.AWAITING, State.STAGING):
                nodes.extend(node_of(parent) for parent in job.parents)
    return False


def replace(shard: Shard, holder: Job | None, job_id: str) -> None:
    """A job takes the place of the one that holds its unique key, if that waits."""
    if holder is None or holder.state is State.PROCESSING or holder.state.is_final:
        return
    if holder.state in (State.AWAITING, State.STAGING):
        detach(shard, holder)
    why = pack_error("Replaced", f"job {job_id} of the same unique key took its place", "")
    shard.record(holder, "cancelled", error=why)
    shard.end(holder, State.CANCELLED)


def expire_holder(shard: Shard, key: str) -> None:
    """Whoever has a unique key and is past its deadline is cancelled now, and not when its turn comes."""
    if (overdue := shard.unique.overdue(key)) is not None:
        shard.record(overdue, "expired")
        shard.end(overdue, State.CANCELLED)


def join(shard: Shard, batch: Batch, member: str) -> None:
    """Add a member to a batch; a finished one is open again."""
    batch.members.append(member)
    batch.counts["nested" if member.startswith("~") else "total"] += 1
    root_of(shard, batch).touched_ms = shard.now()
    if batch.state.is_finished:
        reopen(shard, batch)


def root_of(shard: Shard, batch: Batch) -> Batch:
    """The outermost batch that it is in: the one that it is committed with, or given up."""
    while (above := shard.batches.get(batch.parent)) is not None and f"~{batch.id}" in above.members:
        batch = above
    return batch


def called_off(shard: Shard, batch_id: str) -> bool:
    """Whether a batch, or one around it, is cancelled."""
    batch = shard.batches.get(batch_id)
    while batch is not None and not batch.cancel_requested:
        batch = shard.batches.get(batch.parent)
    return batch is not None


def reopen(shard: Shard, batch: Batch) -> None:
    """A finished batch is open again, and so is what it is nested in."""
    field = "nested_succeeded" if batch.state is BatchState.SUCCEEDED else "nested_failed"
    batch.state, batch.finished_ms = BatchState.OPEN, 0
    above = shard.batches.get(batch.parent)
    if above is not None:
        above.counts[field] -= 1
        if above.state.is_finished:
            reopen(shard, above)


def _finish_batch(shard: Shard, batch: Batch) -> None:
    counts = batch.counts
    ended = sum(counts[state.value] for state in FINAL_STATES)
    nested_ended = counts["nested_succeeded"] + counts["nested_failed"]
    if batch.state is not BatchState.OPEN or counts["total"] > ended or counts["nested"] > nested_ended:
        return
    if counts["failed"] + counts["cancelled"] + counts["nested_failed"] == 0:
        batch.state = BatchState.SUCCEEDED
    else:
        batch.state = BatchState.CANCELLED if called_off(shard, batch.id) else BatchState.FAILED
    batch.finished_ms = shard.now()
    shard.tell(batch.id, batch.inboxes)
    if batch.parent:
        won = batch.state is BatchState.SUCCEEDED
        shard.count_in(batch.parent, "nested_succeeded" if won else "nested_failed")
    if f"~{batch.id}" in shard.edges:
        shard.endings.append((f"~{batch.id}", State(batch.state.value)))
