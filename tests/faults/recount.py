"""Batches counted again: what they say of their members is compared with what these are."""

from __future__ import annotations

import asyncio
from collections import Counter

from asyncjobs import Batch, BatchState, Client
from asyncjobs.storage.base import JobRecord
from tests.waiting import eventually

PAGE = 1_000


async def nothing_follows(client: Client, timeout: float = 60) -> None:
    """Wait until nothing is under way that any worker has to carry on."""

    async def none_left() -> bool:
        return (await client.storage.stats()).follow_ups == 0

    await eventually(none_left, timeout, because="all follow-ups are carried out")


async def recount(client: Client, batch_id: str) -> int:
    """Compare a batch's counters with its members' states, nested batches too; how many jobs there are."""
    batch = await client.batch_of(batch_id).refresh()
    jobs, nested = await _members(client, batch)
    states = Counter(str(job.state) for job in jobs)
    record = batch.record
    told = {"succeeded": record.succeeded, "failed": record.failed, "cancelled": record.cancelled}
    found = {state: states[state] for state in told}
    assert (record.total, told) == (len(jobs), found), f"{batch!r}: it says {record}, and there are {states}"
    assert all(job.batch == batch_id for job in jobs)
    inside = [await client.batch_of(inner).refresh() for inner in nested]
    ended = Counter(inner.state is BatchState.SUCCEEDED for inner in inside if inner.state.is_finished)
    counted = (record.nested, record.nested_succeeded, record.nested_failed)
    assert counted == (len(inside), ended[True], ended[False]), f"{batch!r}: {record}, {inside}"
    assert all(inner.record.parent == batch_id for inner in inside)
    over = batch.pending == 0 and record.nested == record.nested_succeeded + record.nested_failed
    assert batch.state.is_finished == over, f"{batch!r}: {record}"
    if over:
        wanted = {BatchState.SUCCEEDED}
        if record.failed or record.cancelled or record.nested_failed:
            wanted = {BatchState.FAILED}
            if record.cancel_requested:
                # One that had failed when the batch around it was cancelled is left as it is.
                wanted.add(BatchState.CANCELLED)
        assert batch.state in wanted, f"{batch!r}: {record}"
    return len(jobs) + sum([await recount(client, inner) for inner in nested])


async def _members(client: Client, batch: Batch) -> tuple[list[JobRecord], list[str]]:
    jobs: list[JobRecord] = []
    nested: list[str] = []
    at, total = 0, 1
    while at < total:
        page = await client.storage.members(batch.id, offset=at, limit=PAGE)
        total = page.total
        at += PAGE
        nested += [member.removeprefix("~") for member in page.ids if member.startswith("~")]
        ids = [member for member in page.ids if not member.startswith("~")]
        records = await asyncio.gather(*map(client.storage.get, ids))
        jobs += [record for record in records if record is not None]
        assert len([record for record in records if record is not None]) == len(ids), "a member is gone"
    assert len(set(nested)) == len(nested)
    assert len({job.id for job in jobs}) == len(jobs)
    return jobs, nested


async def batches_of(client: Client) -> list[str]:
    """The ids of all batches that aren't nested in another one."""
    return [batch.id for batch in await client.batches(limit=PAGE) if not batch.record.parent]
