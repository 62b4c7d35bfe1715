"""`list` and `stats`."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from asyncjobs.cli.arguments import STATES
from asyncjobs.cli.connection import Place, connection_options, with_client

if TYPE_CHECKING:
    from asyncjobs.cli.display import Column
    from asyncjobs.client import Client
    from asyncjobs.job import Job
    from asyncjobs.monitoring import NamespaceStats
    from asyncjobs.storage.base import HistoryEntry

Errors = dict[str, "HistoryEntry"]
"""Job id → what it failed with last."""

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document, for scripts.")
app_option = click.option(
    "--app",
    metavar="MODULE:OBJECT",
    help="The registry, by which values of your own dataclasses and Enums can be read.",
)


@click.command("list", short_help="List the jobs in a state.")
@click.argument("state", type=click.Choice(STATES), metavar="STATE")
@click.option("--queue", metavar="NAME", help="Of one queue (enqueued jobs only).")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="At most N jobs.",
)
@click.option(
    "--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first N jobs."
)
@click.option("--newest", is_flag=True, help="From the other end of the list.")
@app_option
@json_option
@connection_options
def list_jobs(
    place: Place,
    state: str,
    queue: str | None,
    limit: int,
    offset: int,
    newest: bool,
    app: str | None,
    as_json: bool,
) -> None:
    """List the jobs in a state: enqueued, throttled, scheduled, awaiting, processing, retrying, succeeded,
    failed or cancelled.

    Enqueued ones come in the order in which they will run, scheduled and retrying ones by the time they are
    due, throttled ones by how long they wait for their limits, awaiting ones by how long they wait for other
    jobs and batches, processing ones by worker, ended ones by when they ended, oldest first.

    \b
    Examples:
      asyncjobs list enqueued --queue mail
      asyncjobs list failed --newest --limit 10
      asyncjobs list failed --json | jq -r '.jobs[].id' | xargs asyncjobs requeue
    """
    if queue is not None and state != "enqueued":
        raise click.UsageError("--queue is for enqueued jobs: the other lists hold the jobs of all queues.")

    async def read(client: Client) -> tuple[list[Job[Any]], Errors, int, datetime]:
        stats = await client.stats()
        jobs = await client.jobs(state, queue=queue, offset=offset, limit=limit, newest_first=newest)
        total = next(count for name, count in stats.counts.items() if name == state)
        if queue is not None:
            total = next((info.length for info in stats.queues if info.name == queue), 0)
        wanted = jobs if state in ("failed", "retrying", "cancelled") else []
        return jobs, await _errors(wanted), max(total, offset + len(jobs)), stats.now

    registry = None
    if app is not None:
        from asyncjobs.target import load_registry

        registry = load_registry(app)
    jobs, errors, total, now = with_client(place, read, registry)
    if as_json:
        from asyncjobs.cli.documents import job_document, print_json

        documents = [job_document(job, errors.get(job.id)) for job in jobs]
        print_json({"state": state, "queue": queue, "total": total, "offset": offset, "jobs": documents})
        return
    if jobs:
        _print_jobs(state, jobs, errors, now)
    where = f" in queue {queue}" if queue is not None else ""
    if not jobs:
        after = f" after the first {offset:,}" if offset and total else ""
        click.echo(f"No {state} jobs{where}{after}.")
    elif len(jobs) < total:
        following = offset + len(jobs)
        more = f"; --offset {following} for more" if following < total else ""
        click.echo(f"\n{offset + 1:,} to {following:,} of {total:,} {state} jobs{where}{more}")


async def _errors(jobs: list[Job[Any]]) -> Errors:
    import asyncio

    errors: Errors = {}
    for job, history in zip(jobs, await asyncio.gather(*(job.history() for job in jobs)), strict=True):
        for entry in history:
            if entry.error_type:
                errors[job.id] = entry
    return errors


def _print_jobs(state: str, jobs: list[Job[Any]], errors: Errors, now: datetime) -> None:
    from asyncjobs.cli.display import ID, Column, call_text, relative, span, table
    from asyncjobs.cli.plaintext import one_line

    job_name = Column("JOB", folds=True)
    queue = Column("QUEUE", folds=True)
    arguments = Column("ARGUMENTS", rest=True)
    rows: list[tuple[str, ...]] = []
    columns: tuple[Column, ...]

    def error_of(job: Job[Any]) -> str:
        entry = errors.get(job.id)
        return "" if entry is None else one_line(f"{entry.error_type}: {entry.error_message}")

    def ago(when: datetime | None) -> str:
        return relative(when, now, brief=True)

    def since(when: datetime | None) -> str:
        return "-" if when is None else span(now - when, brief=True)

    if state == "enqueued":
        columns = (ID, job_name, queue, Column("WAITING", "right"), arguments)
        rows = [(job.id, job.name, job.queue, since(job.enqueued_at), call_text(job)) for job in jobs]
    elif state == "throttled":
        columns = (ID, job_name, Column("WAITING", "right"), Column("LIMIT", folds=True), arguments)
        rows = [
            (job.id, job.name, since(job.enqueued_at), job.throttled_by or "", call_text(job)) for job in jobs
        ]
    elif state == "scheduled":
        columns = (ID, job_name, queue, Column("DUE"), arguments)
        rows = [(job.id, job.name, job.queue, ago(job.due_at), call_text(job)) for job in jobs]
    elif state == "awaiting":
        columns = (ID, job_name, queue, Column("WAITS FOR"), arguments)
        rows = [
            (job.id, job.name, job.queue, f"{job.record.unmet} of {len(job.parents)}", call_text(job))
            for job in jobs
        ]
    elif state == "processing":
        columns = (
            ID,
            job_name,
            Column("RUNNING", "right"),
            Column("PROGRESS", folds=True),
            Column("WORKER", folds=True),
        )
        rows = [(job.id, job.name, since(job.started_at), _progress(job), job.worker or "") for job in jobs]
    elif state == "retrying":
        columns = (ID, job_name, Column("DUE"), Column("FAILED", "right"), Column("ERROR", rest=True))
        rows = [(job.id, job.name, ago(job.due_at), f"{job.failures}×", error_of(job)) for job in jobs]
    elif state == "failed":
        columns = (ID, job_name, Column("ENDED"), Column("ATTEMPT", "right"), Column("ERROR", rest=True))
        rows = [(job.id, job.name, ago(job.finished_at), str(job.attempt), error_of(job)) for job in jobs]
    else:
        columns = (ID, job_name, queue, Column("ENDED"), Column("TOOK", "right"))
        rows = [(job.id, job.name, job.queue, ago(job.finished_at), _took(job)) for job in jobs]
    table(columns, rows)


def _progress(job: Job[Any]) -> str:
    from asyncjobs.cli.plaintext import one_line

    parts = ["" if job.progress is None else f"{job.progress:.0%}", one_line(job.progress_message)]
    if job.cancel_requested:
        parts.append("(to be cancelled)")
    return " ".join(part for part in parts if part)


def _took(job: Job[Any]) -> str:
    from asyncjobs.cli.display import span

    if job.started_at is None or job.finished_at is None:
        return "-"
    return span(job.finished_at - job.started_at)


@click.command(short_help="Show counts by state, queues and totals.")
@json_option
@connection_options
def stats(place: Place, as_json: bool) -> None:
    """Show how many jobs are in each state, the queues, and the totals since the beginning.

    A queue's latency is how long the job at its head has been waiting.

    \b
    Examples:
      asyncjobs stats
      asyncjobs stats --json | jq .counts.failed
    """

    async def read(client: Client) -> NamespaceStats:
        return await client.stats()

    numbers = with_client(place, read)
    if as_json:
        from asyncjobs.cli.documents import print_json, stats_document

        print_json(stats_document(numbers))
    else:
        _print_stats(numbers)


def _print_stats(numbers: NamespaceStats) -> None:
    from asyncjobs.cli.display import STYLES, Column, console, number, span, table, text

    out = console()
    counts = {str(state): count for state, count in numbers.counts.items()}
    for state in dict.fromkeys((*STATES, *counts)):
        count = counts.get(state, 0)
        if state in STATES or count:
            style = STYLES.get(state, "") if count else "dim"
            out.print(text(f"{state:<11}", style), text(f"{number(count):>12}", "bold" if count else "dim"))
    out.print()
    if numbers.queues:
        rows = [
            (
                queue.name,
                number(queue.length),
                "-" if queue.latency is None else span(queue.latency),
                "paused" if queue.paused else "",
            )
            for queue in numbers.queues
        ]
        table(
            (
                Column("QUEUE", folds=True),
                Column("ENQUEUED", "right"),
                Column("LATENCY", "right"),
                Column("", style="yellow"),
            ),
            rows,
        )
    else:
        out.print("No queue has been used yet.")
    out.print()
    totals = ", ".join(f"{number(count)} {name}" for name, count in numbers.totals.items() if count)
    out.print(f"Since the beginning: {totals or 'nothing has ended'}", soft_wrap=True)
    workers = "No worker is running" if not numbers.workers else f"Workers: {numbers.workers}"
    out.print(workers)
