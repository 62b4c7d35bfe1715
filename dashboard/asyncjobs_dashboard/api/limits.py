"""Limits: their numbers, how full they are, and setting them by hand."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs.errors import OptionError
from asyncjobs_dashboard.api import documents
from asyncjobs_dashboard.api.contract import Asked
from asyncjobs_dashboard.setup import SETUP


async def limits(request: web.Request, asked: Asked) -> web.Response:
    """The numbers of all, and a page of the keys that are in use."""
    verbs = request.app[SETUP].client.limits
    offset, size = asked["from"], asked["size"]
    numbers, keys, total = await asyncio.gather(
        verbs.numbers(), verbs.list(offset=offset, limit=size), verbs.count()
    )
    return web.json_response(
        {
            "limits": [documents.limit_document(each) for each in numbers],
            "keys": [documents.limit_key_document(each) for each in keys],
            "total": total,
            "next": offset + size if offset + size < total else None,
        }
    )


async def set_numbers(request: web.Request, asked: Asked) -> web.Response:
    """Change a limit's numbers: `{"name": "smtp", "rate": 50, "per": 1}`."""
    if "per" in asked and "rate" not in asked:
        raise OptionError("per goes with rate: so many may start within so many seconds")
    numbers = {name: asked[name] for name in ("concurrency", "rate", "per") if name in asked}
    await request.app[SETUP].client.limits.set(asked["name"], **numbers)
    return await _told(request, asked["name"])


async def reset_numbers(request: web.Request, asked: Asked) -> web.Response:
    """Undo that."""
    await request.app[SETUP].client.limits.reset(asked["name"])
    return await _told(request, asked["name"])


async def _told(request: web.Request, name: str) -> web.Response:
    numbers = await request.app[SETUP].client.limits.numbers()
    return web.json_response(next(documents.limit_document(each) for each in numbers if each.name == name))
