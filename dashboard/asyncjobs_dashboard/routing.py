"""One row of the table in `routes.py`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import web

from asyncjobs_dashboard.auth import Access


@dataclass(frozen=True, slots=True)
class Route:
    """A path of the dashboard, and who may ask for it."""

    method: Literal["GET", "POST"]
    path: str
    """Below the dashboard's prefix, as aiohttp writes paths."""
    name: str
    """By which templates make its URL: `url("name", part=…)`."""
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    needs: Access
    """The least access; `DENY`: everybody, also who may see nothing (what error pages are made of)."""
    api: bool = False
    """For programs: errors are JSON, and a header takes the place of the form's token."""
    seconds: float = 15.0
    """Within which it has to answer, else the storage counts as unavailable; 0: it takes its time."""
