"""Limits count the jobs that there are, and those that wait do so where somebody lets them in."""

from __future__ import annotations

from collections.abc import Iterator

from asyncjobs.storage.audit.facts import Finding, JobFacts, LimitFacts, Snapshot
from asyncjobs.storage.states import State


def limits(found: Snapshot) -> Iterator[Finding]:
    """What is wrong with limits and those that wait for them."""
    waits: dict[str, list[tuple[str, str]]] = {}
    for limit_id, limit in found.limits.items():
        for queue, ids in limit.waiters.items():
            for job_id in ids:
                waits.setdefault(job_id, []).append((limit_id, queue))
    for job_id, job in sorted(found.jobs.items()):
        if job.state is State.THROTTLED and not job.unreadable:
            known = job.throttled_by in {use.id for use in job.limits}
            if not known or (job.throttled_by, job.queue) not in waits.get(job_id, ()):
                yield Finding(
                    "job", job_id, f"it is throttled by {job.throttled_by!r}, and doesn't wait for it"
                )
    held, let_in = _counts(found)
    for limit_id, limit in sorted(found.limits.items()):
        told = [
            *_wrong_counts(limit, held.get(limit_id, []), let_in.get(limit_id, {})),
            *_wrong_waiters(found, limit_id, limit),
            *_waits_in_vain(found, limit_id, limit),
        ]
        if told:
            yield Finding("limit", limit_id, "; ".join(told), " ".join(sorted(limit.waiters)))
    for limit_id in sorted((held.keys() | let_in.keys()) - found.limits.keys()):
        yield Finding("limit", limit_id, "jobs run or are enqueued under it, and it knows of none")


def _counts(found: Snapshot) -> tuple[dict[str, list[str]], dict[str, dict[str, list[str]]]]:
    """By limit, the jobs that hold it; and by queue, too, those that are enqueued under it."""
    held: dict[str, list[str]] = {}
    let_in: dict[str, dict[str, list[str]]] = {}
    for job_id, job in sorted(found.jobs.items()):
        if job.unreadable:
            continue
        for use in job.limits:
            # A rate counts starts, which nobody gives back.
            if job.state is State.PROCESSING and not use.numbers.per_ms:
                held.setdefault(use.id, []).append(job_id)
            elif job.state is State.ENQUEUED:
                let_in.setdefault(use.id, {}).setdefault(job.queue, []).append(job_id)
    return held, let_in


def _wrong_counts(limit: LimitFacts, held: list[str], let_in: dict[str, list[str]]) -> Iterator[str]:
    # Some are named so that others, a moment later, aren't taken for the same.
    if limit.running != len(held):
        yield f"{len(held)} run under it ({', '.join(held[:5])}), and it counts {limit.running}"
    for queue in sorted(limit.enqueued.keys() | let_in.keys()):
        ids, said = let_in.get(queue, []), limit.enqueued.get(queue, 0)
        if len(ids) != said:
            yield f"{len(ids)} are enqueued in {queue!r} ({', '.join(ids[:5])}), and it counts {said}"
    for queue in sorted(limit.waiting.keys() | limit.waiters.keys()):
        ids, said = sorted(limit.waiters.get(queue, ())), limit.waiting.get(queue, 0)
        if len(ids) != said:
            yield f"{len(ids)} of {queue!r} wait for it ({', '.join(ids[:5])}), and it counts {said}"


def _wrong_waiters(found: Snapshot, limit_id: str, limit: LimitFacts) -> Iterator[str]:
    for queue, ids in sorted(limit.waiters.items()):
        for job_id in sorted(ids):
            job = found.jobs.get(job_id)
            if not _waits(job, limit_id, queue):
                yield f"{job_id} of {queue!r} is said to wait for it, and doesn't"


def _waits(job: JobFacts | None, limit_id: str, queue: str) -> bool:
    return (
        job is not None
        and not job.unreadable
        and job.state is State.THROTTLED
        and job.throttled_by == limit_id
        and job.queue == queue
    )


def _waits_in_vain(found: Snapshot, limit_id: str, limit: LimitFacts) -> Iterator[str]:
    lasting = limit.running or any(limit.enqueued.values()) or any(limit.waiting.values())
    if lasting and limit.passes:
        yield "what it counts would be forgotten, though jobs are under it"
    if lasting and not limit.listed:
        yield "it isn't in the list of limits"
    name = limit_id.partition(":")[0]
    numbers = found.limit_numbers.get(name)
    if numbers is None:
        if lasting:
            yield "jobs are under it, and its numbers aren't known"
        return
    if found.limits_under_way & {limit_id, name}:
        return
    for queue, ids in sorted(limit.waiters.items()):
        if not ids:
            continue
        if numbers.per_ms and limit.starts:
            if not limit.opens:
                yield f"jobs of {queue!r} wait for its window to open, and nobody looks when it does"
            continue
        free = numbers.most - (0 if numbers.per_ms else limit.running)
        if free > limit.enqueued.get(queue, 0):
            yield f"jobs of {queue!r} wait for it ({', '.join(sorted(ids)[:5])}), though it has room"
