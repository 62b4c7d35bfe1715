"""Recurring jobs: the list of them, and one with its next times, which can be given others.

Their ids may hold slashes and dots, so that they stand in queries and forms, not in paths.
"""

from __future__ import annotations

from aiohttp import web

from asyncjobs import Client, State
from asyncjobs.errors import OptionError, RecurringNotFound, SerializationError
from asyncjobs.recurrence import Recurrence
from asyncjobs.recurring import RecurringJob
from asyncjobs.storage.base import JobRecord, RecurringRecord
from asyncjobs_dashboard import schedule_text
from asyncjobs_dashboard.listing import PAGE
from asyncjobs_dashboard.pages.jobs import whole_number
from asyncjobs_dashboard.payloads import Arguments, arguments
from asyncjobs_dashboard.rendering import page, see_other
from asyncjobs_dashboard.setup import SETUP

FURTHEST = 1_000_000
RUNS = 5
"""Next times that are shown."""
SAID = {
    "trigger": "It runs once now; its next time stays.",
    "pause": "It is paused: it doesn't occur until it is resumed.",
    "resume": "It goes on. What would have occurred meanwhile isn't made up for.",
    "reschedule": "It has its new schedule.",
    "reset": "It has the schedule of the code again.",
    "remove": "It was removed; jobs that it has made stay.",
}


async def recurring(request: web.Request) -> web.Response:
    """A page of the list."""
    setup = request.app[SETUP]
    offset = whole_number(request.query.get("from", ""), 0, FURTHEST)
    found = await setup.shared(request, lambda: setup.client.storage.recurring(offset=offset, limit=PAGE))
    return await page(
        request,
        "recurring.html",
        section="recurring",
        rows=[RecurringJob.of(record) for record in found.recurring],
        total=found.total,
        offset=offset,
        size=PAGE,
        said=SAID["remove"] if request.query.get("done") == "remove" else "",
        text_of=schedule_text.text_of,
        zone_of=schedule_text.zone_of,
        in_zone=schedule_text.in_zone,
    )


async def one(request: web.Request) -> web.Response:
    """One; with `schedule` and `timezone` in the query also what another schedule would be."""
    client = request.app[SETUP].client
    record = await _known(request)
    job = RecurringJob.of(record)
    typed, zone = (request.query.get(name, "").strip()[:200] for name in ("schedule", "timezone"))
    runs, wanted, wrong = [], [], ""
    if job.schedule is not None:
        runs = await client.recurring.preview(job.id, count=RUNS)
        if typed:
            try:
                wanted = await client.recurring.preview(
                    job.id,
                    schedule_text.schedule_of(typed),
                    timezone=_zone(typed, zone),
                    count=RUNS,
                )
                wrong = "" if wanted else "It wouldn't occur any more before its end."
            except OptionError as error:
                wrong = str(error)
    said = SAID.get(request.query.get("done", ""), "")
    return await page(
        request,
        "recurring_job.html",
        section="recurring",
        job=job,
        runs=runs,
        code=_schedule(job.id, record.original),
        arguments=_arguments(client, record),
        typed=typed or schedule_text.text_of(job.schedule),
        typed_zone=zone or schedule_text.zone_of(job.schedule),
        asked=bool(typed),
        wanted=wanted,
        wanted_zone=(zone or "UTC") if isinstance(_interval(typed), str) else "",
        wrong=wrong,
        zones=schedule_text.zones(),
        text_of=schedule_text.text_of,
        zone_of=schedule_text.zone_of,
        in_zone=schedule_text.in_zone,
        said=said,
    )


async def act(request: web.Request) -> web.Response:
    """Do something with it, and go back to its page, or to the list."""
    client = request.app[SETUP].client
    form = await request.post()
    action, recurring_id = request.match_info["action"], str(form.get("id", ""))
    match action:
        case "trigger":
            await client.recurring.trigger(recurring_id)
        case "pause":
            await client.recurring.pause(recurring_id)
        case "resume":
            await client.recurring.resume(recurring_id)
        case "reset":
            await client.recurring.reset(recurring_id)
        case "remove":
            await client.recurring.remove(recurring_id)
            raise see_other(request, "recurring", {"done": action})
        case "reschedule":
            typed, zone = (str(form.get(name, "")).strip() for name in ("schedule", "timezone"))
            schedule = schedule_text.schedule_of(typed)
            await client.recurring.reschedule(recurring_id, schedule, timezone=_zone(typed, zone))
        case _:
            raise web.HTTPNotFound
    raise see_other(request, "recurring_job", {"id": recurring_id, "done": action})


def _interval(typed: str) -> object:
    try:
        return schedule_text.schedule_of(typed)
    except OptionError:
        return None


def _zone(typed: str, zone: str) -> str | None:
    """An interval has none, whatever stands in the form beside it."""
    return zone or "UTC" if isinstance(_interval(typed), str) else None


async def _known(request: web.Request) -> RecurringRecord:
    recurring_id = request.query.get("id", "")
    record = await request.app[SETUP].client.storage.get_recurring(recurring_id)
    if record is None:
        raise RecurringNotFound(f"there is no recurring job {recurring_id}: it was never put, or removed")
    return record


def _schedule(recurring_id: str, definition: bytes | None) -> str:
    """What the code says of one that was rescheduled."""
    if definition is None:
        return ""
    try:
        return str(Recurrence.unpack(recurring_id, definition).schedule)
    except SerializationError as error:
        return str(error)


def _arguments(client: Client, record: RecurringRecord) -> Arguments:
    """What its jobs are called with."""
    try:
        known = Recurrence.unpack(record.id, record.definition)
    except SerializationError as error:
        return Arguments((), str(error))
    return arguments(client, JobRecord(record.id, known.name, known.queue, State.AWAITING, known.payload))
