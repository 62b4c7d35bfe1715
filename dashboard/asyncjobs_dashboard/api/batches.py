"""Batches, their members, and cancelling them."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from asyncjobs.batch import Batch
from asyncjobs.errors import BatchNotFound
from asyncjobs.storage.base import JobRecord
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.setup import SETUP

CANCEL_SECONDS = 5.0
"""For which one request cancels members itself; workers do the rest."""
AT_ONCE = 16
"""Members that one request reads at the same time."""


async def batches(request: web.Request, asked: Asked) -> web.Response:
    """A page of them."""
    offset, size = asked["from"], asked["size"]
    found = await request.app[SETUP].client.batches(offset=offset, limit=size + 1)
    return web.json_response(
        {
            "batches": [documents.batch_document(batch) for batch in found[:size]],
            "next": offset + size if len(found) > size else None,
        }
    )


async def batch(request: web.Request, asked: Asked) -> web.Response:
    """One."""
    return web.json_response(documents.batch_document(await _read(request)))


async def members(request: web.Request, asked: Asked) -> web.Response:
    """A page of its members: the jobs and the nested batches among them that are still there."""
    client = request.app[SETUP].client
    found = await _read(request)
    offset, size = asked["from"], asked["size"]
    page = await client.storage.members(found.id, offset=offset, limit=size)
    # Each read takes a connection.
    at_once = asyncio.Semaphore(AT_ONCE)

    async def read(member: str) -> JobRecord | Batch | None:
        async with at_once:
            if member.startswith("~"):
                return await client.get_batch(member.removeprefix("~"))
            return await client.storage.get(member)

    there = await asyncio.gather(*map(read, page.ids))
    return web.json_response(
        {
            "jobs": [documents.job_document(client, each) for each in there if isinstance(each, JobRecord)],
            "batches": [documents.batch_document(each) for each in there if isinstance(each, Batch)],
            "total": page.total,
            "next": offset + size if offset + size < page.total else None,
        }
    )


async def cancel(request: web.Request, asked: Asked) -> web.Response:
    """Cancel it: that is decided at once, and carried out as far as the time allows."""
    found = await _read(request)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_SECONDS):
            await found.cancel()
    return web.json_response(documents.batch_document(await found.refresh()), status=202)


async def _read(request: web.Request) -> Batch:
    batch_id = request.match_info["id"]
    found = await request.app[SETUP].client.get_batch(batch_id)
    if found is None:
        raise BatchNotFound(f"there is no batch {batch_id}: it was never committed, or is past its retention")
    return found
