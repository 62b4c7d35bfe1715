"""Nobody waits for what has ended, each knows for how many it waits, and each is known where it waits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asyncjobs.storage.audit.facts import Finding, JobFacts, Snapshot
from asyncjobs.storage.audit.jobs import is_
from asyncjobs.storage.dependencies import Follow, Parent
from asyncjobs.storage.states import State


def continuations(found: Snapshot) -> Iterator[Finding]:
    """What is wrong with those that wait, and with what they wait for."""
    for job_id, job in found.jobs.items():
        if _waits(job) and job_id not in found.under_way and (detail := _waiting(found, job_id, job)):
            yield Finding("continuation", job_id, detail, "waits")
    continued = _continued(found)
    for node in found.edges.keys() | continued:
        if node not in found.under_way:
            yield from _node(found, node, is_known=node in continued)


def _waits(job: JobFacts | None) -> bool:
    return job is not None and not job.unreadable and job.state in (State.AWAITING, State.STAGING)


def node_of(parent: Parent) -> str:
    """What a parent is called where jobs and batches are kept together."""
    return f"~{parent.id}" if parent.batch else parent.id


def _waiting(found: Snapshot, job_id: str, job: JobFacts) -> str:
    """What is wrong with a job that waits."""
    waits = 0
    for parent, is_remote in job.parents:
        node = node_of(parent)
        if is_remote:
            waits += node in job.unheard
        elif job_id in found.edges.get(node, {}):
            waits += 1
            ended, ending = _ending(found, node)
            if ended and parent.follow(ending) is not Follow.WAITS and node not in found.under_way:
                return f"it waits for {node}, which is {ending or 'gone'}"
    if job.state is State.AWAITING and not job.parents:
        return "it waits, and it isn't known for what"
    if waits != job.unmet:
        return f"it waits for {waits} parents, and counts {job.unmet}"
    return "it waits for nothing" if not waits and job.state is State.AWAITING else ""


def _node(found: Snapshot, node: str, *, is_known: bool) -> Iterator[Finding]:
    """What is wrong with what jobs wait for: it is there and knows of it, and they do wait for it."""
    children = found.edges.get(node, {})
    ended, ending = _ending(found, node)
    if not children:
        yield Finding("continuation", node, "it is kept for jobs that wait for it, and none does", "node")
    elif ended and ending is None:
        yield Finding("continuation", node, f"{len(children)} jobs wait for it, and it isn't there", "node")
    elif not is_known:
        yield Finding("continuation", node, f"{len(children)} jobs wait for it, and it doesn't know", "node")
    for child, is_remote in sorted(children.items()):
        job = found.jobs.get(child)
        if is_remote or child in found.under_way:
            continue
        if not _waits(job):
            yield Finding("continuation", node, f"{child} is to hear of its end, but {is_(job)}", child)
        elif job is not None and node not in {node_of(parent) for parent, _ in job.parents}:
            yield Finding(
                "continuation", node, f"{child} is to hear of its end, and doesn't wait for it", child
            )


def _continued(found: Snapshot) -> set[str]:
    """Those that know that jobs wait for them."""
    jobs = {job_id for job_id, job in found.jobs.items() if job.continued}
    return jobs | {f"~{batch_id}" for batch_id, batch in found.batches.items() if batch.continued}


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


def unasked(shards: Sequence[Snapshot]) -> Iterator[tuple[int, Finding]]:
    """Jobs that wait for something on another shard, which nobody has told; with their shards."""
    told: set[tuple[str, str]] = set()
    for found in shards:
        told |= {(child, node) for word, child, node in found.messages if word in "AE"}
        told |= {(child, node) for node, edges in found.edges.items() for child in edges if edges[child]}
    for shard, found in enumerate(shards):
        for job_id, job in found.jobs.items():
            if _waits(job) and job_id not in found.under_way:
                for node in sorted(job.unheard):
                    if (job_id, node) not in told:
                        detail = f"it waits for {node} on another shard, which isn't asked to tell it"
                        yield shard, Finding("message", job_id, detail, node)
