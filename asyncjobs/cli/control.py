"""`requeue`, `cancel`, `move` and `delete`: what can be done to jobs by hand."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.exits import FAILED, OK, complain

if TYPE_CHECKING:
    from asyncjobs.client import Client

ENDED = ("failed", "cancelled", "succeeded")
PAGE = 500
"""Jobs requeued at a time."""


@click.command(short_help="Enqueue ended jobs again: some by id, or all in a state.")
@click.argument("job_ids", metavar="[ID]...", nargs=-1)
@click.option("--state", type=click.Choice(ENDED), help="The jobs in this state, not some by id.")
@click.option("--all", "every", is_flag=True, help="With --state: all of them, without asking.")
@connection_options
def requeue(place: Place, job_ids: tuple[str, ...], state: str | None, every: bool) -> int:
    """Enqueue jobs again that have failed, succeeded or were cancelled, with all their retries before them.

    \b
    Examples:
      asyncjobs requeue 0UVbAtBLvCPR1WGdSQI0
      asyncjobs requeue --state failed           asks first
      asyncjobs requeue --state failed --all
    """
    if bool(job_ids) == (state is not None) or (every and state is None):
        raise click.UsageError("Give the ids of jobs, or --state with the state of those to requeue.")
    if state is None:

        async def again(client: Client, job_id: str) -> str | None:
            await client.requeue(job_id)
            return f"{job_id} is enqueued again"

        return _each(place, job_ids, again)
    if not every:
        if not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here: add --all to requeue every job in that state.")
        total = with_client(place, lambda client: client.count(state))
        if not total:
            click.echo(f"There are no {state} jobs.")
            return OK
        if not click.confirm(f"Requeue all {total:,} {state} jobs?"):
            click.echo("Nothing was requeued.", err=True)
            return FAILED
    count = with_client(place, lambda client: _requeue_all(client, state))
    click.echo(f"{count:,} {state} {'job is' if count == 1 else 'jobs are'} enqueued again")
    return OK


async def _requeue_all(client: Client, state: str) -> int:
    """Requeue the jobs that are in a state now, each once: one that fails again meanwhile stays there."""
    import asyncio

    from asyncjobs.errors import JobNotFound, JobStateError

    async def again(job_id: str) -> bool:
        try:
            await client.requeue(job_id)
        except (JobNotFound, JobStateError):
            # Somebody else was quicker.
            return False
        return True

    count = 0
    seen: set[str] = set()
    total = await client.count(state)
    while len(seen) < total:
        # Whoever is requeued leaves the list, and one that fails again comes in at its end.
        page = [job.id for job in await client.jobs(state, limit=min(PAGE, total - len(seen)))]
        fresh = [job_id for job_id in page if job_id not in seen]
        if not fresh:
            break
        seen.update(fresh)
        count += sum(await asyncio.gather(*map(again, fresh)))
    return count


@click.command(short_help="Cancel jobs, waiting or running, or whole batches.")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--batch", is_flag=True, help="The ids are of batches: all in them that hasn't ended.")
@connection_options
def cancel(place: Place, job_ids: tuple[str, ...], batch: bool) -> int:
    """Cancel jobs, waiting or running, or with --batch all of a batch that hasn't ended.

    A running one is told at once; it ends when its code lets the cancellation through.

    \b
    Examples:
      asyncjobs cancel 0UVbAtBLvCPR1WGdSQI0 0UVbAtBLvCPR1WGdSQJ0
      asyncjobs cancel --batch 0UVbAtBLvCPR1WGdSQK0
    """
    if batch:

        async def stop_all(client: Client, batch_id: str) -> str | None:
            found = await client.batch_of(batch_id).refresh()
            if found.state.is_finished:
                return None
            await found.cancel()
            return f"batch {batch_id} is cancelled"

        return _each(place, job_ids, stop_all, refused="had finished already")

    async def stop(client: Client, job_id: str) -> str | None:
        if not await client.cancel(job_id):
            return None
        job = await client.get(job_id)
        if job is not None and job.cancel_requested:
            return f"{job_id} is running and told to stop"
        return f"{job_id} is cancelled"

    return _each(place, job_ids, stop, refused="had ended already")


@click.command(short_help="Have jobs run from another queue.")
@click.argument("queue", metavar="QUEUE")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@connection_options
def move(place: Place, queue: str, job_ids: tuple[str, ...]) -> int:
    """Have jobs run from another queue; those that are enqueued go to its tail.

    Those that wait for a time, a limit or other jobs come there when they would be
    enqueued, those that have ended when they are requeued. A running one can't be
    moved.

    \b
    Examples:
      asyncjobs move bulk 0UVbAtBLvCPR1WGdSQI0 0UVbAtBLvCPR1WGdSQJ0
    """

    async def to_queue(client: Client, job_id: str) -> str | None:
        await client.move(job_id, queue)
        return f"{job_id} is moved to queue {queue}"

    return _each(place, job_ids, to_queue)


@click.command(short_help="Remove jobs with their history.")
@click.argument("job_ids", metavar="ID...", nargs=-1, required=True)
@connection_options
def delete(place: Place, job_ids: tuple[str, ...]) -> int:
    """Remove jobs with their history. A running one has to be cancelled first.

    \b
    Examples:
      asyncjobs delete 0UVbAtBLvCPR1WGdSQI0
      asyncjobs purge --state failed             all the failed ones
    """

    async def remove(client: Client, job_id: str) -> str | None:
        await client.delete(job_id)
        return f"{job_id} is deleted"

    return _each(place, job_ids, remove)


def _each(
    place: Place,
    job_ids: tuple[str, ...],
    act: Callable[[Client, str], Awaitable[str | None]],
    refused: str = "",
) -> int:
    """Do something to each job and say how it went; one that can't be done doesn't stop the others."""
    from asyncjobs.errors import BatchNotFound, JobNotFound, JobStateError

    async def one_by_one(client: Client) -> int:
        code = OK
        for job_id in dict.fromkeys(job_ids):
            try:
                told: Any = await act(client, job_id)
            except (BatchNotFound, JobNotFound, JobStateError) as error:
                told, why = None, str(error)
            else:
                why = f"{job_id} {refused}"
            if told is None:
                code = FAILED
                complain(why)
            else:
                click.echo(told)
        return code

    return with_client(place, one_by_one)
