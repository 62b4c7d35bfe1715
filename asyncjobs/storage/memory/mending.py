"""Mending what an audit has found. Nobody else writes here, so it is what a test of its own may have done."""

from __future__ import annotations

from collections import Counter

from asyncjobs.storage.audit import Finding, Mending, Tally, right_counters
from asyncjobs.storage.base import FINAL_STATES, BatchState, State
from asyncjobs.storage.memory.entries import Batch, Job, Place
from asyncjobs.storage.memory.follow_up import conclude, reopen
from asyncjobs.storage.memory.shard import Shard


def mend(shard: Shard, finding: Finding, *, apply: bool) -> Mending | None:
    """See `AuditStorage.mend`."""
    text = ""
    if finding.kind in ("job", "id", "lease"):
        text = _mend_job(shard, finding.id, apply=apply)
        if not text and finding.kind == "lease":
            text = _mend_lease(shard, finding.place, finding.id, apply=apply)
    elif finding.kind == "batch" and finding.id in shard.batches:
        text = _mend_batch(shard, shard.batches[finding.id], apply=apply)
    else:
        return Mending(finding, "a storage in memory can't mend that", is_done=False)
    return Mending(finding, text, is_done=True) if text else None


def _mend_job(shard: Shard, job_id: str, *, apply: bool) -> str:
    """A job is where its state says, and nowhere else."""
    job = shard.jobs.get(job_id)
    told: list[str] = []
    for state, ids in shard.lists.items():
        wanted = job is not None and job.state is state
        if (job_id in ids) != wanted:
            moved = "put into" if wanted else "taken out of"
            told.append(f"it is {moved} the list of those that are {state}")
            if apply and wanted:
                ids.put(job_id, shard.now())
            elif apply:
                ids.discard(job_id)
    if job is not None and job.state is State.ENQUEUED and (text := _mend_place(shard, job, apply=apply)):
        told.append(text)
    if job is not None and job.state is State.PROCESSING:
        worker = shard.workers.get(job.worker)
        if worker is None:
            told.append("it is taken back as that of a dead worker")
            if apply:
                job.recoveries += 1
                shard.enqueue(job, suspect=True)
                shard.put_marker(job.queue)
        elif job_id not in worker.leases:
            told.append(f"worker {job.worker} holds its lease again")
            if apply:
                worker.leases.add(job_id)
    text = "; ".join(told)
    if apply and text and job is not None:
        shard.record(job, "repaired", reason=text)
    return text


def _mend_place(shard: Shard, job: Job, *, apply: bool) -> str:
    queue = shard.queue(job.queue)
    places = Counter(place for place, job_id in queue.ids() if job_id == job.id)
    if places == Counter({job.place: 1}):
        return ""
    if apply:
        for ids in (queue.suspects, queue.plain):
            for _ in range(ids.count(job.id)):
                ids.remove(job.id)
        queue.prioritized.discard(job.id)
        job.place = Place.NOWHERE
        shard.enqueue(job)
        shard.put_marker(job.queue)
    return f"it is put at the tail of queue {job.queue}"


def _mend_lease(shard: Shard, worker_id: str, job_id: str, *, apply: bool) -> str:
    worker, job = shard.workers.get(worker_id), shard.jobs.get(job_id)
    if worker is None or (job is not None and job.state is State.PROCESSING and job.worker == worker_id):
        return ""
    if job_id not in worker.leases and worker.suspect != job_id:
        return ""
    if apply:
        worker.leases.discard(job_id)
        if worker.suspect == job_id:
            worker.suspect = ""
    return f"worker {worker_id} holds no lease on it any more"


def _mend_batch(shard: Shard, batch: Batch, *, apply: bool) -> str:
    """A batch counts what its members are."""
    tally = Tally()
    for member in batch.members:
        if not member.startswith("~"):
            if member in shard.jobs:
                tally.jobs[shard.jobs[member].state] += 1
        elif member[1:] in shard.batches:
            tally.nested[shard.batches[member[1:]].state] += 1
        else:
            tally.gone += 1
    for state in FINAL_STATES:
        tally.removed[state] = batch.counts[f"removed {state}"]
    right = right_counters(tally, batch.counts["nested_succeeded"])
    told: list[str] = []
    for name in type(right).__slots__:
        value = getattr(right, name)
        if batch.counts[name] != value:
            told.append(f"it counts {value} as {name} where it said {batch.counts[name]}")
            if apply:
                batch.counts[name] = value
    if batch.state.is_finished and not right.ended:
        told.append("it is open again")
        if apply:
            reopen(shard, batch)
    elif batch.state is BatchState.OPEN and right.ended:
        told.append("it is finished")
        if apply:
            shard.moves.setdefault(batch.id, {})
    if apply:
        conclude(shard)
    return "; ".join(told)
