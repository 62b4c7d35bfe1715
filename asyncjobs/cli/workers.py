"""`workers`: who is running, and what they can be told."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.exits import FAILED, OK, complain
from asyncjobs.cli.reading import json_option

if TYPE_CHECKING:
    from asyncjobs.client import Client
    from asyncjobs.monitoring import WorkerInfo


@click.command(short_help="List the running workers; tell one to be quiet or to stop.")
@click.option(
    "--quiet", metavar="ID", multiple=True, help="Let this worker take no new jobs; those it runs go on."
)
@click.option("--stop", metavar="ID", multiple=True, help="Let this worker finish what it runs, and end.")
@json_option
@connection_options
def workers(place: Place, quiet: tuple[str, ...], stop: tuple[str, ...], as_json: bool) -> int:
    """List the running workers, or tell one of them to be quiet or to stop.

    A worker that isn't heard of until its lease ends is taken for dead, and its jobs are run by others.

    \b
    Examples:
      asyncjobs workers
      asyncjobs workers --quiet web1-4711-5f0c9a31
      asyncjobs workers --stop web1-4711-5f0c9a31
    """
    if quiet or stop:
        if as_json:
            raise click.UsageError("--json is for the list of workers.")
        return with_client(place, lambda client: _command(client, quiet, stop))

    async def read(client: Client) -> tuple[list[WorkerInfo], datetime]:
        return await client.workers(), (await client.stats()).now

    infos, now = with_client(place, read)
    if as_json:
        from asyncjobs.cli.documents import iso, print_json, worker_document

        print_json({"now": iso(now), "workers": [worker_document(info) for info in infos]})
    elif infos:
        _print(infos, now)
    else:
        click.echo("No worker is running. Start one: asyncjobs worker app:registry")
    return OK


async def _command(client: Client, quiet: tuple[str, ...], stop: tuple[str, ...]) -> int:
    from asyncjobs.errors import JobNotFound

    code = OK
    orders = [(worker, "quiet", "take no new jobs") for worker in quiet]
    orders += [(worker, "stop", "stop") for worker in stop]
    for worker, command, words in orders:
        try:
            await client.command(worker, command)
        except JobNotFound as error:
            complain(str(error))
            code = FAILED
        else:
            click.echo(f"{worker} is told to {words}")
    return code


def _print(infos: list[WorkerInfo], now: datetime) -> None:
    from asyncjobs.cli.display import Column, relative, size, span, table

    rows = [
        (
            info.id,
            ", ".join(info.queues),
            f"{info.running}/{info.concurrency}",
            relative(info.started_at, now, brief=True),
            span(info.loop_lag),
            size(info.memory),
            "lost" if info.lease_ends_at < now else "quiet" if info.quiet else "",
        )
        for info in infos
    ]
    columns = (
        Column("ID", style="bold"),
        Column("QUEUES", folds=True),
        Column("RUNNING", "right"),
        Column("STARTED"),
        Column("LAG", "right"),
        Column("MEMORY", "right"),
        Column("", style="yellow"),
    )
    table(columns, rows)
    processes = [
        (
            process.name,
            info.id,
            str(process.state),
            relative(process.since, now, brief=True),
            str(process.restarts),
            process.last_error,
        )
        for info in infos
        for process in info.processes
    ]
    if processes:
        click.echo()
        of_processes = (
            Column("PROCESS", style="bold", folds=True),
            Column("WORKER", folds=True),
            Column("STATE"),
            Column("SINCE"),
            Column("RESTARTS", "right"),
            Column("LAST ERROR", rest=True),
        )
        table(of_processes, sorted(processes))
