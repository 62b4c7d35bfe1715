"""Locks that are held, and taking one away from its holder."""

from __future__ import annotations

from aiohttp import web

from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.api.paging import page
from asyncjobs_dashboard.pages.locks import FURTHEST
from asyncjobs_dashboard.setup import SETUP


async def locks(request: web.Request, asked: Asked) -> web.Response:
    """A page of them, those that run out first before the others."""
    found = await request.app[SETUP].client.locks(offset=asked["from"], limit=asked["size"] + 1)
    return page("locks", [documents.lock_document(each) for each in found], asked, furthest=FURTHEST)


async def release(request: web.Request, asked: Asked) -> web.Response:
    """Take it away: `{"name": "ledger", "holder": "…"}`, of one holder or whoever has it."""
    client = request.app[SETUP].client
    released = await client.break_lock(asked["name"], holder=asked.get("holder"))
    return web.json_response({"name": asked["name"], "released": released})
