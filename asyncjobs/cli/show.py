"""`show`: everything that is known of one job."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.reading import app_option, json_option

if TYPE_CHECKING:
    from asyncjobs.client import Client
    from asyncjobs.job import Job
    from asyncjobs.storage.base import HistoryEntry, LogLine

MOST_PARENTS = 20
"""Parents that are shown of a job."""


@dataclass
class _Everything:
    job: Job[Any]
    history: list[HistoryEntry]
    logs: list[LogLine]
    now: datetime
    parents: list[str] = field(default_factory=list[str])
    """Each of its parents, and what has become of it."""
    result: object = None
    result_kept: bool = False
    result_unreadable: str | None = None

    @property
    def error(self) -> HistoryEntry | None:
        """What it failed with last."""
        return next((entry for entry in reversed(self.history) if entry.error_type), None)


@click.command(short_help="Show everything about one job.")
@click.argument("job_id", metavar="ID")
@app_option
@json_option
@connection_options
def show(place: Place, job_id: str, app: str | None, as_json: bool) -> None:
    """Show everything about one job: arguments, times, result, history with tracebacks, log.

    \b
    Examples:
      asyncjobs show 0UVbAtBLvCPR1WGdSQI0
      asyncjobs show 0UVbAtBLvCPR1WGdSQI0 --json | jq '.history[-1].error'
    """

    async def read(client: Client) -> _Everything:
        from asyncjobs.errors import JobNotFound, ResultNotKept, SerializationError
        from asyncjobs.serialization import MASKED

        job = await client.get(job_id)
        if job is None:
            raise JobNotFound(
                f"there is no job {job_id}: it was never created, was deleted, or is past its retention"
            )
        stats = await client.stats()
        all_of_it = _Everything(
            job, await job.history(), await job.logs(), stats.now, await _parents(client, job)
        )
        if job.state == "succeeded":
            try:
                all_of_it.result = await client.outcome(job.record, None)
                all_of_it.result_kept = True
                if client.hides_result(job.record):
                    all_of_it.result = MASKED
            except ResultNotKept:
                pass
            except SerializationError as error:
                all_of_it.result_kept = True
                all_of_it.result_unreadable = str(error)
        return all_of_it

    registry = None
    if app is not None:
        from asyncjobs.target import load_registry

        registry = load_registry(app)
    everything = with_client(place, read, registry)
    if as_json:
        _print_document(everything)
    else:
        _print(everything)


async def _parents(client: Client, job: Job[Any]) -> list[str]:
    """One line a parent: what it is, how it stands, and which end of it is waited for."""
    lines: list[str] = []
    for parent in job.parents[:MOST_PARENTS]:
        if parent.batch:
            batch = await client.get_batch(parent.id)
            told = f"batch {parent.id} " + (f"{batch.name} {batch.state}".strip() if batch else "(removed)")
        else:
            before = await client.get(parent.id)
            told = f"job {parent.id} " + (f"{before.name} {before.state}" if before else "(removed)")
        wish = "" if parent.on == "succeeded" else f", once it has {parent.on}"
        lines.append(told + wish + (", takes its output" if parent.output else ""))
    more = len(job.parents) - len(lines)
    return [*lines, f"and {more:,} more"] if more else lines


def _print_document(everything: _Everything) -> None:
    from asyncjobs.cli.documents import history_document, job_document, log_document, plain, print_json

    document = job_document(everything.job, everything.error)
    document["result"] = plain(everything.result)
    document["result_kept"] = everything.result_kept
    document["unreadable"] = document["unreadable"] or everything.result_unreadable
    document["history"] = [history_document(entry) for entry in everything.history]
    document["logs"] = [log_document(line) for line in everything.logs]
    print_json(document)


def _print(everything: _Everything) -> None:
    from rich.table import Table

    from asyncjobs.cli.display import STYLES, console, exact, print_table, relative, span, text

    job = everything.job
    out = console()
    state = text(job.state, f"bold {STYLES.get(job.state, '')}")
    out.print(text(job.id, "bold"), text(job.name), state, soft_wrap=True)
    fields = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    fields.add_column(style="dim", no_wrap=True)
    fields.add_column(overflow="fold")

    def line(title: str, value: str, style: str = "") -> None:
        fields.add_row(title, text(value, style))

    def time(title: str, when: datetime | None) -> None:
        if when is not None:
            line(title, f"{exact(when)}  ({relative(when, everything.now)})")

    line("queue", job.queue + (f", priority {job.priority}" if job.priority else ""))
    for title, value in _arguments(job):
        line(title, value)
    if job.batch is not None:
        line("batch", job.batch)
    for title, value in zip(["after", *[""] * len(everything.parents)], everything.parents, strict=False):
        line(title, value)
    if job.state == "awaiting":
        line("waits for", f"{job.record.unmet} of {len(job.parents)}")
    if job.unique is not None:
        line("unique key", job.unique)
    for title, value in zip(["limits", *[""] * len(job.limits)], job.limits, strict=False):
        line(title, value)
    if job.throttled_by is not None:
        line("waits for", f"limit {job.throttled_by}")
    time("created", job.created_at)
    time("due", job.due_at)
    time("enqueued", job.enqueued_at)
    if not job.attempt or not job.state.is_final:
        time("expires", job.expires_at)
    time("started", job.started_at)
    time("ended", job.finished_at)
    if job.started_at is not None:
        if job.finished_at is not None:
            line("took", span(job.finished_at - job.started_at))
        elif job.state == "processing":
            line("running for", span(everything.now - job.started_at))
    if job.attempt:
        counts = [f"{job.failures} failed"] if job.failures else []
        counts += [f"{job.recoveries} lost with a worker"] if job.recoveries else []
        line("attempt", str(job.attempt) + (f"  ({', '.join(counts)})" if counts else ""))
    if job.worker:
        line("worker", job.worker)
    if job.cancel_requested:
        line("cancelled", "asked for; its code goes on", "yellow")
    if job.progress is not None:
        line("progress", f"{job.progress:.0%} {job.progress_message}".rstrip())
    if job.state == "succeeded":
        line("result", _result(everything))
    print_table(fields, out)
    _print_history(everything)
    if everything.logs:
        out.print(text("\nLOG", "bold dim"))
        for logged in everything.logs:
            out.print(text(_moment(logged.at_ms), "dim"), text(logged.text), soft_wrap=True)


def _arguments(job: Job[Any]) -> list[tuple[str, str]]:
    """One line an argument."""
    from asyncjobs.cli.display import UNREADABLE
    from asyncjobs.errors import SerializationError

    try:
        args, kwargs = job.arguments(masked=True)
    except SerializationError:
        values = [UNREADABLE]
    else:
        values = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())] or ["none"]
    return list(zip(["arguments", *[""] * len(values)], values, strict=False))


def _result(everything: _Everything) -> str:
    from asyncjobs.cli.display import UNREADABLE

    if not everything.result_kept:
        return "not kept (keep_result=False)"
    return UNREADABLE if everything.result_unreadable else repr(everything.result)


def _print_history(everything: _Everything) -> None:
    from asyncjobs.cli.display import STYLES, console, text

    if not everything.history:
        return
    out = console()
    out.print(text("\nHISTORY", "bold dim"))
    for entry in everything.history:
        parts = [text(_moment(entry.at_ms), "dim"), text(entry.event, STYLES.get(entry.event, "yellow"))]
        if entry.attempt:
            parts.append(text(f"attempt {entry.attempt}"))
        if entry.worker:
            parts.append(text(f"on {entry.worker}", "dim"))
        out.print(*parts, soft_wrap=True)
        if entry.error_message or entry.error_type:
            error = f"{entry.error_type}: {entry.error_message}" if entry.error_type else entry.error_message
            told = entry.traceback.rstrip() or error
            for told_line in told.splitlines():
                out.print(text(f"    {told_line}"), soft_wrap=True)


def _moment(ms: int) -> str:
    from asyncjobs.cli.display import exact
    from asyncjobs.clock import to_datetime

    return exact(to_datetime(ms))
