"""`enqueue`: creates a job."""

from __future__ import annotations

import difflib
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from asyncjobs.cli.arguments import duration, job_arguments, moment
from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.exits import FAILED, OK, complain
from asyncjobs.cli.plaintext import one_line

if TYPE_CHECKING:
    from asyncjobs.client import Client
    from asyncjobs.definition import Definition
    from asyncjobs.job import Call
    from asyncjobs.registry import Registry

FOREVER = "for ever"


def seconds_to_wait(text: str) -> timedelta | None:
    """What `--wait` is given; nothing means for as long as it takes."""
    if text == FOREVER:
        return None
    try:
        return duration(text)
    except click.BadParameter:
        raise click.BadParameter(f"{text!r} is no duration: put --wait last, or write --wait=30s.") from None


@click.command(short_help="Create a job by its name.")
@click.argument("target", metavar="APP:REGISTRY")
@click.argument("name", metavar="NAME", required=False)
@click.argument("texts", metavar="[ARGUMENT]...", nargs=-1)
@click.option(
    "--in",
    "delay",
    type=duration,
    metavar="TIME",
    help="Run it after this time: 90 (seconds), 5m, 1h30m, 2d.",
)
@click.option("--at", "when", type=moment, metavar="ISO", help="Run it at this time: 2030-01-31T09:30+01:00.")
@click.option("--queue", metavar="NAME", help="Another queue than the job's own.")
@click.option(
    "--priority",
    type=click.IntRange(-500, 500),
    metavar="N",
    help="Higher runs earlier in its queue; 0 if not given.",
)
@click.option(
    "--job-id",
    metavar="ID",
    help="An id of your choosing. A job that has it already is not created again.",
)
@click.option(
    "--wait",
    is_flag=False,
    flag_value=FOREVER,
    metavar="[TIME]",
    help="Wait until it has ended, TIME at most, and print its result as JSON.",
)
@connection_options
def enqueue(
    place: Place,
    target: str,
    name: str | None,
    texts: tuple[str, ...],
    delay: timedelta | None,
    when: datetime | None,
    queue: str | None,
    priority: int | None,
    job_id: str | None,
    wait: str | None,
) -> int:
    """Create a job by its name, or the end of its name, and print its id.

    Arguments are JSON where they can be read as JSON, else strings; key=value is a keyword argument.
    Those that begin with a dash come last, after `--`.

    \b
    Examples:
      asyncjobs enqueue app:registry                     lists the jobs
      asyncjobs enqueue app:registry send_email ada@example.com subject=Hi
      asyncjobs enqueue app:registry import_rows '["a.csv", "b.csv"]' --in 5m
      asyncjobs enqueue app:registry report '"2024"'     a string, not a number
      asyncjobs enqueue app:registry add --wait -- -2 3
    """
    if delay is not None and when is not None:
        raise click.UsageError("--in and --at both say when: give one of them.")
    limit = None if wait is None else seconds_to_wait(wait)
    from asyncjobs.target import load_registry

    registry = load_registry(target)
    if name is None:
        return _list(target, registry)
    definition = find(registry, name)
    args, kwargs = job_arguments(texts)
    options: dict[str, Any] = {"queue": queue, "priority": priority, "job_id": job_id}
    options = {option: value for option, value in options.items() if value is not None}
    call: Call[Any] = definition.options(**options).call(*args, **kwargs)

    async def create(client: Client) -> int:
        if delay is not None:
            job = await client.enqueue_in(delay, call)
        elif when is not None:
            job = await client.enqueue_at(when, call)
        else:
            job = await client.enqueue(call)
        click.echo(f"{definition.name} is {job.state} in queue {job.queue}:", err=True)
        if wait is None:
            click.echo(job.id)
            return OK
        click.echo(job.id, err=True)
        import asyncio

        from asyncjobs.cli.documents import plain, print_json
        from asyncjobs.errors import JobFailed, ResultNotKept

        if not any(job.queue in worker.queues for worker in await client.workers()):
            click.echo(f"No worker serves queue {job.queue} now; waiting.", err=True)
        try:
            result = await job.result(limit)
        except asyncio.CancelledError:
            click.echo("Not waiting any more; the job goes on.", err=True)
            raise
        except ResultNotKept:
            click.echo("It succeeded; its result isn't kept (keep_result=False).", err=True)
            return OK
        except JobFailed as error:
            complain(f"{one_line(str(error))}\nSee: asyncjobs show {job.id}")
            return FAILED
        print_json(plain(result))
        return OK

    return with_client(place, create, registry)


def find(registry: Registry, name: str) -> Definition[..., Any]:
    """The definition of a name, or of the only name that ends so. Raises `click.UsageError`."""
    from asyncjobs.errors import UnknownJob

    try:
        return registry.get(name)
    except UnknownJob:
        pass
    definitions = registry.definitions()
    ending = [definition for definition in definitions if definition.name.endswith(f".{name}")]
    if len(ending) == 1:
        return ending[0]
    names = [definition.name for definition in definitions]
    short = {known.rpartition(".")[2]: known for known in names}
    near = [d.name for d in ending] or difflib.get_close_matches(name, names, 3)
    near = near or [short[end] for end in difflib.get_close_matches(name, list(short), 3)]
    if near:
        raise click.UsageError(f"No job is called {name!r}. Did you mean {' or '.join(near)}?")
    raise click.UsageError(f"No job is called {name!r}. There are: {', '.join(names) or 'none at all'}.")


def _list(target: str, registry: Registry) -> int:
    definitions = registry.definitions()
    if sys.stdout.isatty() and definitions:
        click.echo(f"Jobs of {target}; name one of them, with its arguments:", err=True)
    for definition in definitions:
        click.echo(f"{definition.name}{definition.shape.signature}")
    if not definitions:
        click.echo(f"No jobs are declared on {target}: is the module with the jobs imported there?", err=True)
    return OK if definitions else FAILED
