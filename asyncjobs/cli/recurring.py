"""`recurring`: the jobs that recur, and what can be done to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from asyncjobs.cli.arguments import duration, job_arguments, moment
from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.enqueue import find
from asyncjobs.cli.exits import FAILED, OK, complain
from asyncjobs.cli.reading import json_option
from asyncjobs.cli.recurring_display import document, print_list, print_one

if TYPE_CHECKING:
    from asyncjobs.client import Client
    from asyncjobs.recurring import RecurringJob


@click.group()
def recurring() -> None:
    """Jobs that recur: by a cron expression, or at an interval.

    \b
    Examples:
      asyncjobs recurring list
      asyncjobs recurring put app:registry nightly "0 3 * * *" backup disks
      asyncjobs recurring trigger nightly
    """


@recurring.command("list", short_help="List them by their next time.")
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first N.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, metavar="N", show_default=True, help="Show N at most."
)
@json_option
@connection_options
def list_recurring(place: Place, offset: int, limit: int, as_json: bool) -> int:
    """List the recurring jobs by their next time, those that have none last.

    \b
    Examples:
      asyncjobs recurring list
      asyncjobs recurring list --json | jq '.recurring[] | select(.orphaned).id'
    """

    async def read(client: Client) -> tuple[list[RecurringJob], int, datetime]:
        found = await client.recurring.list(offset=offset, limit=limit)
        return found, await client.recurring.count(), (await client.stats()).now

    found, total, now = with_client(place, read)
    if as_json:
        from asyncjobs.cli.documents import iso, print_json

        documents = [document(one) for one in found]
        print_json({"now": iso(now), "total": total, "offset": offset, "recurring": documents})
    elif found:
        print_list(found, now)
        if total > offset + len(found):
            click.echo(f"{total - offset - len(found):,} more: --offset {offset + len(found)}", err=True)
    else:
        click.echo("Nothing recurs." if not total else f"There are only {total:,}.")
    return OK


@recurring.command(short_help="Show everything about one.")
@click.argument("recurring_id", metavar="ID")
@json_option
@connection_options
def show(place: Place, recurring_id: str, as_json: bool) -> int:
    """Show everything about one recurring job.

    \b
    Examples:
      asyncjobs recurring show nightly
    """

    async def read(client: Client) -> tuple[RecurringJob | None, datetime]:
        return await client.recurring.get(recurring_id), (await client.stats()).now

    found, now = with_client(place, read)
    if found is None:
        complain(f"there is no recurring job {recurring_id}")
        return FAILED
    if as_json:
        from asyncjobs.cli.documents import print_json

        print_json(document(found))
    else:
        print_one(found, now)
    return OK


@recurring.command(short_help="Have a job run again and again.")
@click.argument("target", metavar="APP:REGISTRY")
@click.argument("recurring_id", metavar="ID")
@click.argument("schedule", metavar="SCHEDULE")
@click.argument("name", metavar="NAME")
@click.argument("texts", metavar="[ARGUMENT]...", nargs=-1)
@click.option("--timezone", metavar="ZONE", help="Of a cron expression: Europe/Berlin. UTC if not given.")
@click.option(
    "--misfire",
    type=click.Choice(["once", "all", "skip"]),
    help="Make up for missed times by one job (once, if not given), by one each, or not at all.",
)
@click.option(
    "--overlap",
    type=click.Choice(["allow", "skip", "queue"]),
    help="While its last job hasn't ended: run nevertheless (allow, if not given), not, or afterwards.",
)
@click.option("--jitter", type=duration, metavar="TIME", help="Run by chance up to so much later.")
@click.option("--start", type=moment, metavar="ISO", help="Not before this time.")
@click.option("--end", type=moment, metavar="ISO", help="Not after this time.")
@connection_options
def put(
    place: Place,
    /,
    target: str,
    recurring_id: str,
    schedule: str,
    name: str,
    texts: tuple[str, ...],
    **options: Any,
) -> int:
    """Have a job run again and again, or change how. Arguments are written as for `enqueue`.

    SCHEDULE is a cron expression of five fields (minute, hour, day of the month, month, day of the week), of
    six with seconds first, @daily or the like; or an interval: 90s, 15m, 2h, 1d.

    \b
    Examples:
      asyncjobs recurring put app:registry nightly "0 3 * * *" backup disks
      asyncjobs recurring put app:registry poll 30s check_inbox --overlap skip
    """
    from asyncjobs.target import load_registry

    registry = load_registry(target)
    definition = find(registry, name)
    args, kwargs = job_arguments(texts)
    call = definition.call(*args, **kwargs)
    given = {option: value for option, value in options.items() if value is not None}
    when = _schedule(schedule)

    async def act(client: Client) -> RecurringJob:
        return await client.recurring.put(recurring_id, when, call, **given)

    click.echo(_told(with_client(place, act, registry)))
    return OK


@recurring.command(short_help="Give one another schedule, and leave all else.")
@click.argument("recurring_id", metavar="ID")
@click.argument("schedule", metavar="SCHEDULE")
@click.option("--timezone", metavar="ZONE", help="Of a cron expression; the one that it has if not given.")
@connection_options
def reschedule(place: Place, recurring_id: str, schedule: str, timezone: str | None) -> int:
    """Give one another schedule, and leave all else as it is; it is written as for `put`.

    One that workers' code declares keeps it until `recurring reset`, or until the code says something new.

    \b
    Examples:
      asyncjobs recurring reschedule nightly "30 4 * * *"
    """

    async def act(client: Client, recurring_id: str) -> str:
        made = await client.recurring.reschedule(recurring_id, _schedule(schedule), timezone=timezone)
        return _told(made)

    return _each(place, (recurring_id,), act)


@recurring.command(short_help="Have the schedules of workers' code count again.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@connection_options
def reset(place: Place, ids: tuple[str, ...]) -> int:
    """Undo `recurring reschedule` of what workers' code declares.

    \b
    Examples:
      asyncjobs recurring reset nightly
    """

    async def act(client: Client, recurring_id: str) -> str:
        return _told(await client.recurring.reset(recurring_id))

    return _each(place, ids, act)


@recurring.command(short_help="Run some now; their next times stay.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@connection_options
def trigger(place: Place, ids: tuple[str, ...]) -> int:
    """Run some now, whatever their schedules; their next times stay. Prints the ids of the jobs.

    \b
    Examples:
      asyncjobs recurring trigger nightly
    """

    async def act(client: Client, recurring_id: str) -> str:
        return (await client.recurring.trigger(recurring_id)).id

    return _each(place, ids, act)


@recurring.command(short_help="Let some occur no more until they are resumed.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@connection_options
def pause(place: Place, ids: tuple[str, ...]) -> int:
    """Let some occur no more until they are resumed; jobs that run go on.

    \b
    Examples:
      asyncjobs recurring pause nightly
    """

    async def act(client: Client, recurring_id: str) -> str:
        await client.recurring.pause(recurring_id)
        return f"{recurring_id} is paused"

    return _each(place, ids, act)


@recurring.command(short_help="Let paused ones occur again.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@connection_options
def resume(place: Place, ids: tuple[str, ...]) -> int:
    """Let paused ones occur again; what would have occurred meanwhile isn't made up for.

    \b
    Examples:
      asyncjobs recurring resume nightly
    """

    async def act(client: Client, recurring_id: str) -> str:
        await client.recurring.resume(recurring_id)
        return f"{recurring_id} goes on"

    return _each(place, ids, act)


@recurring.command(short_help="Forget some; their jobs stay.")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@connection_options
def remove(place: Place, ids: tuple[str, ...]) -> int:
    """Forget some; jobs that they have made stay. What workers' code declares can only be paused.

    \b
    Examples:
      asyncjobs recurring remove nightly
    """

    async def act(client: Client, recurring_id: str) -> str:
        await client.recurring.remove(recurring_id)
        return f"{recurring_id} is removed"

    return _each(place, ids, act)


def _schedule(text: str) -> str | timedelta:
    return text if " " in text.strip() or text.startswith("@") else duration(text)


def _told(made: RecurringJob) -> str:
    from asyncjobs.cli.display import exact

    if made.orphaned:
        told = "no worker declares it any more"
    elif made.paused:
        told = "it is paused"
    else:
        told = "it never occurs" if made.next_at is None else f"next at {exact(made.next_at)}"
    return f"{made.id}: {made.name} {made.schedule}; {told}"


def _each(place: Place, ids: tuple[str, ...], act: Callable[[Client, str], Awaitable[str]]) -> int:
    """Do something to each and say how it went; one that can't be done doesn't stop the others."""
    from asyncjobs.errors import JobStateError, RecurringNotFound, SerializationError

    async def one_by_one(client: Client) -> int:
        code = OK
        for recurring_id in dict.fromkeys(ids):
            try:
                click.echo(await act(client, recurring_id))
            except (JobStateError, RecurringNotFound, SerializationError) as error:
                complain(str(error))
                code = FAILED
        return code

    return with_client(place, one_by_one)
