"""`pause`, `resume` and `purge`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.exits import FAILED, OK, complain

if TYPE_CHECKING:
    from asyncjobs.client import Client

CLEARED = ("throttled", "scheduled", "awaiting", "retrying", "succeeded", "failed", "cancelled")


@click.command(short_help="Let no job of a queue start any more.")
@click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
@connection_options
def pause(place: Place, names: tuple[str, ...]) -> None:
    """Let no job of a queue start any more; those that run go on, and jobs can be added.

    \b
    Examples:
      asyncjobs pause mail
      asyncjobs resume mail
    """

    async def act(client: Client) -> None:
        used = {queue.name: queue.length for queue in await client.queues()}
        for name in names:
            await client.pause(name)
            click.echo(f"{name} is paused; {used.get(name, 0):,} jobs wait in it")
            if name not in used:
                known = ", ".join(used) or "none"
                click.echo(f"No job has been in {name} yet. Known queues: {known}", err=True)

    with_client(place, act)


@click.command(short_help="Let the jobs of a paused queue start again.")
@click.argument("names", metavar="QUEUE...", nargs=-1, required=True)
@connection_options
def resume(place: Place, names: tuple[str, ...]) -> int:
    """Let the jobs of a paused queue start again.

    \b
    Examples:
      asyncjobs resume mail
    """

    async def act(client: Client) -> int:
        code = OK
        queues = {queue.name: queue for queue in await client.queues()}
        for name in names:
            await client.resume(name)
            if name in queues:
                click.echo(f"{name} goes on" if queues[name].paused else f"{name} wasn't paused")
            else:
                code = FAILED
                known = ", ".join(queues) or "none"
                complain(f"there is no queue {name}. Known: {known}")
        return code

    return with_client(place, act)


@click.command(short_help="Delete all jobs enqueued in a queue, or in a state.")
@click.argument("queue", required=False)
@click.option("--state", type=click.Choice(CLEARED), help="The jobs in this state, not those in a queue.")
@click.option("--yes", is_flag=True, help="Don't ask. Without a terminal it has to be given.")
@connection_options
def purge(place: Place, queue: str | None, state: str | None, yes: bool) -> int:
    """Delete all jobs that are enqueued in a queue, or that are in a state. They can't be had back.

    \b
    Examples:
      asyncjobs purge mail
      asyncjobs purge --state failed --yes
    """
    if (queue is None) == (state is None):
        raise click.UsageError("Give a queue, or --state with the state of the jobs to delete.")
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here: add --yes to delete the jobs.")
        total = with_client(place, lambda client: _count(client, queue, state))
        what = f"{state} jobs" if state is not None else f"jobs enqueued in {queue}"
        if not total:
            click.echo(f"There are no {what}.")
            return OK
        if not click.confirm(f"Delete all {total:,} {what}?"):
            click.echo("Nothing was deleted.", err=True)
            return FAILED

    async def act(client: Client) -> int:
        if state is not None:
            return await client.clear(state)
        assert queue is not None
        return await client.purge(queue)

    count = with_client(place, act)
    click.echo(f"{count:,} {'job is' if count == 1 else 'jobs are'} deleted")
    return OK


async def _count(client: Client, queue: str | None, state: str | None) -> int:
    if state is not None:
        return await client.count(state)
    return next((info.length for info in await client.queues() if info.name == queue), 0)
