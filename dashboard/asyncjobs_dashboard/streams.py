"""The live numbers as server-sent events: one stream a page."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from aiohttp import web

from asyncjobs_dashboard.live import Snapshot
from asyncjobs_dashboard.setup import SETUP

MOST_STREAMS = 200
"""Streams that one process keeps open."""
LONGEST = 600.0
"""Seconds after which a stream ends; the browser opens another, and so its access is decided again."""
RETRY_MS = 2000


async def live(request: web.Request) -> web.StreamResponse:
    """Send the numbers whenever they are read, as long as the browser listens."""
    setup = request.app[SETUP]
    if setup.live.watchers >= MOST_STREAMS:
        raise web.HTTPServiceUnavailable(
            text=f"{MOST_STREAMS} pages are live already. This one works, too: reload it to see new numbers.",
            headers={"Retry-After": "30"},
        )
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    await response.prepare(request)
    ends = time.monotonic() + LONGEST
    updates = setup.live.updates()
    try:
        await response.write(f"retry: {RETRY_MS}\n\n".encode())
        async for update in updates:
            await response.write(_event(update))
            if time.monotonic() > ends:
                break
    except ConnectionError:
        # The browser has left.
        return response
    finally:
        await updates.aclose()
    with contextlib.suppress(ConnectionError):
        await response.write_eof()
    return response


def _event(update: Snapshot | str) -> bytes:
    if isinstance(update, str):
        return f"event: trouble\ndata: {json.dumps({'message': update})}\n\n".encode()
    return f"event: numbers\nid: {update.number}\ndata: {json.dumps(numbers(update))}\n\n".encode()


def numbers(snapshot: Snapshot) -> dict[str, Any]:
    """What a page shows of them by itself; the rest it asks for."""
    stats = snapshot.stats
    last = snapshot.points[-1] if snapshot.points else None
    return {
        "at": round(stats.now.timestamp(), 3),
        "counts": {state.value: count for state, count in stats.counts.items()},
        "totals": dict(stats.totals),
        "workers": len(snapshot.workers),
        "running": sum(worker.running for worker in snapshot.workers),
        "slots": sum(worker.concurrency for worker in snapshot.workers),
        "succeeded": None if last is None or last.succeeded is None else round(last.succeeded, 2),
        "failed": None if last is None or last.failed is None else round(last.failed, 2),
    }
