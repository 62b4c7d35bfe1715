"""Batches: the list of them, and one with its members and all it hangs together with."""

from __future__ import annotations

import asyncio
import contextlib
import time

from aiohttp import web

from asyncjobs import Client, State
from asyncjobs.batch import Batch
from asyncjobs.errors import BatchNotFound, StorageError
from asyncjobs.ids import shard_of
from asyncjobs.storage.base import BatchRecord, JobRecord, Opened
from asyncjobs_dashboard.actions import REQUEUE
from asyncjobs_dashboard.bulk import BulkJob
from asyncjobs_dashboard.charts import batch_bar
from asyncjobs_dashboard.listing import PAGE, Filter
from asyncjobs_dashboard.members import BATCHES, LOOK_NESTED, check_wanted, find_members, read_jobs
from asyncjobs_dashboard.members import LOOK as LOOK_JOBS
from asyncjobs_dashboard.navigation import STATES
from asyncjobs_dashboard.nesting import around, tree
from asyncjobs_dashboard.pages.jobs import whole_number
from asyncjobs_dashboard.payloads import in_one_line
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP

FURTHEST = 10_000
"""How far into the list of batches pages go: the storage counts its way there."""
MOST_CONTINUATIONS = 10
FOLLOW_SECONDS = 2.0
"""For which a cancelled batch's members are cancelled by the request itself; workers do the rest."""
SAID = {"cancel": "The batch was cancelled. Jobs that run now are told, and end when their code lets them."}


async def batches(request: web.Request) -> web.Response:
    """A page of the list."""
    client = request.app[SETUP].client
    offset = whole_number(request.query.get("from", ""), 0, FURTHEST)
    found = await client.batches(offset=offset, limit=PAGE + 1)
    return await page(
        request,
        "batches.html",
        section="batches",
        batches=found[:PAGE],
        names={each.id: each.name for each in found},
        offset=offset,
        size=PAGE,
        more=len(found) > PAGE,
        furthest=FURTHEST,
        bar=batch_bar,
    )


async def batch(request: web.Request) -> web.Response:
    """One, with a page of its members."""
    setup = request.app[SETUP]
    client = setup.client
    known = await known_batch(request)
    record = known.record
    wanted = check_wanted(request.query.get("show", ""))
    offset = whole_number(request.query.get("from", ""), 0, 10**9)
    (outer, more_outer), root, waiting, members = await asyncio.gather(
        around(client, record),
        tree(client, record),
        _waiting(client, record),
        find_members(client, record, wanted, offset=offset, limit=PAGE),
    )
    return await page(
        request,
        "batch.html",
        section="batches",
        batch=known,
        bar=batch_bar,
        outer=outer,
        more_outer=more_outer,
        root=root,
        waiting=waiting,
        members=members,
        lines={member.job.id: in_one_line(client, member.job) for member in members.members if member.job},
        shown=wanted,
        choices=["", *([BATCHES] if record.nested else []), *STATES],
        size=PAGE,
        most_looked=LOOK_NESTED if wanted == BATCHES else LOOK_JOBS,
        may_cancel=record.state.value == "open" and not record.cancel_requested,
        may_requeue=root.has_failed and not record.cancel_requested,
        said=SAID.get(request.query.get("done", ""), ""),
    )


async def cancel(request: web.Request) -> web.Response:
    """Cancel all of it."""
    batch_id = request.match_info["id"]
    await cancel_batch(request.app[SETUP].client, batch_id)
    raise see_other(request, "batch", {"done": "cancel"}, id=batch_id)


async def cancel_batch(client: Client, batch_id: str) -> None:
    """Cancel a batch: that is decided at once, and carried out as far as the time of one request allows."""
    storage = client.storage
    if await storage.cancel_batch(batch_id) is Opened.MISSING:
        raise _missing(batch_id)
    # It is decided; whoever comes by carries it out, but there may be no worker.
    shard, ends = shard_of(batch_id, storage.shards), time.monotonic() + FOLLOW_SECONDS
    with contextlib.suppress(StorageError):
        while await storage.carry_on(shard) and time.monotonic() < ends:
            pass


async def requeue(request: web.Request) -> web.Response:
    """Begin to requeue what has failed in it, and in what is nested in it."""
    known = await known_batch(request)
    job = BulkJob(REQUEUE, State.FAILED, Filter(), batch=known.id)
    raise see_other(request, "bulk_job", id=request.app[SETUP].bulk.start(job).id)


async def known_batch(request: web.Request) -> Batch:
    """The batch in the path. Raises `BatchNotFound`."""
    batch_id = request.match_info["id"]
    found = await request.app[SETUP].client.get_batch(batch_id)
    if found is None:
        raise _missing(batch_id)
    return found


async def _waiting(client: Client, record: BatchRecord) -> tuple[list[JobRecord], int]:
    """The first of the jobs that wait for its end, and how many there are."""
    found = await client.storage.continuations(f"~{record.id}", limit=MOST_CONTINUATIONS)
    jobs = await read_jobs(client, found.ids)
    return [job for job in jobs if job is not None], found.total


def _missing(batch_id: str) -> BatchNotFound:
    return BatchNotFound(f"there is no batch {batch_id}: it was never committed, or is past its retention")
