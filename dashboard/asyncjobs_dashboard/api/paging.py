"""Pages of lists that don't tell how long they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from asyncjobs_dashboard.api.contract import Asked


def page(name: str, found: Sequence[Any], asked: Asked, *, furthest: int) -> web.Response:
    """A page of `found`, of which there is one more than was asked for if there is more.

    From `furthest` on, nothing can be asked for.
    """
    end = asked["from"] + asked["size"]
    more = len(found) > asked["size"] and end <= furthest
    return web.json_response({name: found[: asked["size"]], "next": end if more else None})
