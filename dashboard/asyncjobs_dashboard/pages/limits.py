"""Limits: their numbers, and what jobs run, are enqueued or wait under."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from asyncjobs.errors import OptionError
from asyncjobs.limits import LimitInfo
from asyncjobs_dashboard.listing import PAGE
from asyncjobs_dashboard.pages.jobs import whole_number
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP

FURTHEST = 1_000_000
SAID = {
    "set": "now has these numbers, whatever the code says.",
    "reset": "gets its numbers from the code again, with the next job that is created under it.",
}


async def limits(request: web.Request) -> web.Response:
    """The page."""
    client = request.app[SETUP].client
    offset = whole_number(request.query.get("from", ""), 0, FURTHEST)
    start = whole_number(request.query.get("numbers", ""), 0, FURTHEST)
    numbers, (keys, total) = await asyncio.gather(
        client.limits.numbers(), client.storage.limits(offset=offset, limit=PAGE)
    )
    said, name = SAID.get(request.query.get("done", "")), request.query.get("name", "")
    return await page(
        request,
        "limits.html",
        section="limits",
        limits=numbers[start : start + PAGE],
        all_limits=len(numbers),
        start=start,
        keys=[LimitInfo.of(key) for key in keys],
        all_keys=total,
        offset=offset,
        size=PAGE,
        said=f"{name} {said}" if said and any(limit.name == name for limit in numbers) else "",
    )


async def set_numbers(request: web.Request) -> web.Response:
    """Change the numbers of one, for all its keys."""
    given = await request.post()
    name = _text(given, "name")
    concurrency, rate, per = (_text(given, field) for field in ("concurrency", "rate", "per"))
    numbers: dict[str, Any] = {}
    if concurrency:
        numbers["concurrency"] = _whole(concurrency, f"the concurrency of limit {name!r}")
    if rate:
        numbers["rate"] = _whole(rate, f"the rate of limit {name!r}")
    if per and rate:
        numbers["per"] = _seconds(per, f"the time of limit {name!r}")
    await request.app[SETUP].client.limits.set(name, **numbers)
    raise see_other(request, "limits", {"done": "set", "name": name})


async def reset(request: web.Request) -> web.Response:
    """Let the code's numbers count again."""
    name = _text(await request.post(), "name")
    await request.app[SETUP].client.limits.reset(name)
    raise see_other(request, "limits", {"done": "reset", "name": name})


def _text(form: Mapping[str, object], name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _whole(text: str, what: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise OptionError(f"{what} is {text!r}: give a whole number, from 1 on")
    return int(text)


def _seconds(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise OptionError(f"{what} is {text!r}: give seconds, such as 60 or 0.5") from None
