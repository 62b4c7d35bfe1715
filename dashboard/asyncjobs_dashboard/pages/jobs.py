"""The lists of jobs, one a state."""

from __future__ import annotations

import asyncio

from aiohttp import web

from asyncjobs import Client, State
from asyncjobs.storage.base import HistoryEntry, JobRecord
from asyncjobs_dashboard.actions import actions_for
from asyncjobs_dashboard.listing import LOOK, MOST, PAGE, Filter, Listing, entered_ms, find
from asyncjobs_dashboard.navigation import STATES
from asyncjobs_dashboard.payloads import in_one_line
from asyncjobs_dashboard.rendering import page
from asyncjobs_dashboard.setup import SETUP

EXPLAINED = {
    State.ENQUEUED: "Ready to run: the next worker that is free takes the first.",
    State.PROCESSING: "Running now.",
    State.SCHEDULED: "To be run at a time, or put off by their own code.",
    State.RETRYING: "An attempt failed; the next one is due at a time.",
    State.THROTTLED: "Waiting for room under one of their limits.",
    State.AWAITING: "Continuations: they run when what they wait for has ended.",
    State.SUCCEEDED: "Ended well. They are kept for a day unless told otherwise.",
    State.FAILED: "They have used up their retries. Find out why, mend it, and requeue them.",
    State.CANCELLED: "Cancelled by hand, by code, by their parents' end, or because they expired.",
}
EMPTY = {
    State.ENQUEUED: "Nothing waits: workers keep up.",
    State.PROCESSING: "No job is running.",
    State.FAILED: "No job has failed. Good.",
}
WHEN = {
    State.ENQUEUED: "Enqueued",
    State.PROCESSING: "Started",
    State.SCHEDULED: "Due",
    State.RETRYING: "Next attempt",
    State.THROTTLED: "Throttled",
    State.AWAITING: "Created",
}
"""What the time in the list is, where it isn't when the job ended."""


FAILING = frozenset({State.FAILED, State.RETRYING})
MOST_ERRORS = 100
"""Jobs of a page whose errors are read: each is a trip of its own."""
AT_ONCE = 10
"""Of these trips: each takes a connection."""


def state_of(request: web.Request) -> State:
    """The state in the path. Raises `HTTPNotFound`."""
    try:
        state = State(request.match_info["state"])
    except ValueError:
        raise web.HTTPNotFound from None
    if state not in STATES:
        raise web.HTTPNotFound
    return state


def whole_number(text: str, default: int, most: int) -> int:
    """A number of a query, from 0 to `most`; the default if it is none."""
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 12 else default


async def jobs(request: web.Request) -> web.Response:
    """A page of a list, or of those in it that match."""
    setup = request.app[SETUP]
    state = state_of(request)
    wanted = Filter.of(request.query)
    offset = whole_number(request.query.get("from", ""), 0, 10**9)
    size = whole_number(request.query.get("size", ""), PAGE, MOST) or PAGE
    newest_first = request.query.get("order", "newest" if state.is_final else "oldest") == "newest"

    async def read() -> tuple[Listing, dict[str, HistoryEntry]]:
        found = await find(setup.client, state, wanted, offset=offset, limit=size, newest_first=newest_first)
        failing = found.jobs[:MOST_ERRORS] if state in FAILING else []
        return found, await _errors(setup.client, failing)

    listing, told = await setup.shared(request, read)
    query = wanted.query()
    if size != PAGE:
        query["size"] = str(size)
    if newest_first != state.is_final:
        query["order"] = "newest" if newest_first else "oldest"
    stats = (await setup.live.snapshot()).stats
    return await page(
        request,
        "jobs.html",
        section=state.value,
        state=state,
        explained=EXPLAINED[state],
        when=WHEN.get(state, "Ended"),
        empty_text=EMPTY.get(state, "No job is in this state."),
        wanted=wanted,
        filtered=wanted.query(),
        searches=wanted.searches(state),
        listing=listing,
        rows=[
            (job, in_one_line(setup.client, job), entered_ms(job), told.get(job.id)) for job in listing.jobs
        ],
        base=query,
        offset=offset,
        size=size,
        newest_first=newest_first,
        most_looked=LOOK,
        queue_names=[queue.name for queue in stats.queues],
        actions=actions_for(state),
    )


async def _errors(client: Client, jobs: list[JobRecord]) -> dict[str, HistoryEntry]:
    """The last error of each of them."""
    found: dict[str, HistoryEntry] = {}
    for start in range(0, len(jobs), AT_ONCE):
        part = jobs[start : start + AT_ONCE]
        histories = await asyncio.gather(*(client.storage.history(job.id) for job in part))
        for job, history in zip(part, histories, strict=True):
            last = next((entry for entry in reversed(history) if entry.error_type), None)
            if last is not None:
                found[job.id] = last
    return found
