"""Bulk jobs: starting, watching and stopping them."""

from __future__ import annotations

from aiohttp import web

from asyncjobs.errors import OptionError
from asyncjobs_dashboard import actions
from asyncjobs_dashboard.bulk import BulkJob
from asyncjobs_dashboard.listing import MOST, Filter
from asyncjobs_dashboard.pages.jobs import state_of
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP


async def start(request: web.Request) -> web.Response:
    """Begin to do something to chosen jobs, or to all that match."""
    setup = request.app[SETUP]
    state = state_of(request)
    form = await request.post()
    given = {name: value for name, value in form.items() if isinstance(value, str)}
    action = actions.check(given.get("action", ""), given.get("queue", "").strip())
    if state not in action.states:
        raise OptionError(f"{action.name} isn't for jobs that are {state}")
    ids: list[str] | None = None
    if given.get("which") != "all":
        # Not `id`: a field of that name hides the form's own id, and keeps it from being refreshed in place.
        ids = [value for value in form.getall("job", []) if isinstance(value, str)][:MOST]
        if not ids:
            raise OptionError("no job was chosen: choose some in the list, or all that match")
    wanted = Filter.of(
        {name.removeprefix("filter_"): value for name, value in given.items() if name.startswith("filter_")}
    )
    job = setup.bulk.start(BulkJob(action, state, wanted, given.get("queue", "").strip(), ids))
    raise see_other(request, "bulk_job", id=job.id)


async def bulk_jobs(request: web.Request) -> web.Response:
    """All that this process knows of."""
    return await page(request, "bulk_jobs.html", section="bulk", jobs=request.app[SETUP].bulk.all())


async def bulk_job(request: web.Request) -> web.Response:
    """One, and how far it is."""
    return await page(request, "bulk_job.html", section="bulk", job=known(request))


async def stop(request: web.Request) -> web.Response:
    """End one."""
    job = known(request)
    await request.app[SETUP].bulk.stop(job)
    raise see_other(request, "bulk_job", id=job.id)


def known(request: web.Request) -> BulkJob:
    """The one in the path. Raises `HTTPNotFound`."""
    job = request.app[SETUP].bulk.get(request.match_info["id"])
    if job is None:
        raise web.HTTPNotFound(
            text="This bulk job isn't known: it was another process', or is long over. What it did stays."
        )
    return job
