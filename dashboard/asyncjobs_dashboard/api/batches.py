"""Batches, their members, and what can be done with them."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from asyncjobs import State
from asyncjobs.batch import Batch
from asyncjobs_dashboard.actions import REQUEUE
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.api.paging import page
from asyncjobs_dashboard.bulk import BulkJob
from asyncjobs_dashboard.listing import Filter
from asyncjobs_dashboard.members import check_wanted, find_members
from asyncjobs_dashboard.pages.batches import FURTHEST, cancel_batch, known_batch
from asyncjobs_dashboard.setup import SETUP


async def batches(request: web.Request, asked: Asked) -> web.Response:
    """A page of them."""
    found = await request.app[SETUP].client.batches(offset=asked["from"], limit=asked["size"] + 1)
    documented = [documents.batch_document(batch) for batch in found]
    return page("batches", documented, asked, furthest=FURTHEST)


async def batch(request: web.Request, asked: Asked) -> web.Response:
    """One."""
    return web.json_response(documents.batch_document(await known_batch(request)))


async def members(request: web.Request, asked: Asked) -> web.Response:
    """A page of its members, or of those that are wanted: what is still there of them."""
    client = request.app[SETUP].client
    known = await known_batch(request)
    found = await find_members(
        client, known.record, check_wanted(asked.get("show", "")), offset=asked["from"], limit=asked["size"]
    )
    jobs: list[dict[str, Any]] = []
    nested: list[dict[str, Any]] = []
    for member in found.members:
        if member.job is not None:
            jobs.append(documents.job_document(client, member.job))
        if member.batch is not None:
            nested.append(documents.batch_document(Batch(client, member.id, member.batch)))
    return web.json_response(
        {
            "jobs": jobs,
            "batches": nested,
            "total": found.total,
            "looked_at": found.looked,
            "next": found.end if found.more else None,
        }
    )


async def cancel(request: web.Request, asked: Asked) -> web.Response:
    """Cancel all of it; of a large one, workers carry it out."""
    await cancel_batch(request.app[SETUP].client, request.match_info["id"])
    return web.json_response(documents.batch_document(await known_batch(request)), status=202)


async def requeue(request: web.Request, asked: Asked) -> web.Response:
    """Begin to requeue what has failed in it, and in what is nested in it."""
    known = await known_batch(request)
    job = request.app[SETUP].bulk.start(BulkJob(REQUEUE, State.FAILED, Filter(), batch=known.id))
    return documents.begun(request, job)
