"""Locks: those that are held, and taking one away from its holder."""

from __future__ import annotations

from aiohttp import web

from asyncjobs.errors import OptionError
from asyncjobs_dashboard.listing import PAGE
from asyncjobs_dashboard.pages.jobs import whole_number
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP

FURTHEST = 10_000
"""How far into the list pages go: the storage counts its way there."""
SAID = {
    "release": ("ok", "The lock was taken from its holder, and the next one may have it."),
    "gone": ("warn", "Nothing was done: that holder had let go of it already."),
}


async def locks(request: web.Request) -> web.Response:
    """The page."""
    client = request.app[SETUP].client
    offset = whole_number(request.query.get("from", ""), 0, FURTHEST)
    found = await client.locks(offset=offset, limit=PAGE + 1)
    return await page(
        request,
        "locks.html",
        section="locks",
        locks=found[:PAGE],
        offset=offset,
        size=PAGE,
        more=len(found) > PAGE and offset < FURTHEST,
        said=SAID.get(request.query.get("done", "")),
    )


async def release(request: web.Request) -> web.Response:
    """Take one away from the holder that was shown, but not from one that got it in order meanwhile."""
    form = await request.post()
    name, holder = form.get("name"), form.get("holder")
    if not isinstance(name, str) or not isinstance(holder, str) or not name or not holder:
        raise OptionError("say which lock is to be released, and who holds it")
    released = await request.app[SETUP].client.break_lock(name, holder=holder)
    raise see_other(request, "locks", {"done": "release" if released else "gone"})
