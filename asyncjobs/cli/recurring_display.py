"""What the `recurring` commands print: JSON documents, the list, everything about one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from asyncjobs.recurring import RecurringJob


def document(one: RecurringJob) -> dict[str, Any]:
    """What `--json` prints of one."""
    from asyncjobs.cli.documents import iso
    from asyncjobs.schedules import Cron, Every

    schedule = one.schedule
    return {
        "id": one.id,
        "cron": schedule.expression if isinstance(schedule, Cron) else None,
        "timezone": schedule.timezone if isinstance(schedule, Cron) else None,
        "every": _seconds(schedule.interval) if isinstance(schedule, Every) else None,
        "name": one.name,
        "queue": one.queue,
        "misfire": one.misfire,
        "overlap": one.overlap,
        "jitter": one.jitter.total_seconds(),
        "start": iso(one.start),
        "end": iso(one.end),
        "next_at": iso(one.next_at),
        "last_at": iso(one.last_at),
        "last_run_at": iso(one.last_run_at),
        "last_job": one.last_job,
        "last_state": None if one.last_state is None else str(one.last_state),
        "fired": one.fired,
        "missed": one.missed,
        "skipped": one.skipped,
        "refused": one.refused,
        "gave_up_at": iso(one.gave_up_at),
        "declared": one.declared,
        "orphaned": one.orphaned,
        "rescheduled": one.rescheduled,
        "paused": one.paused,
        "waiting": one.waiting,
        "unreadable": one.unreadable,
    }


def _seconds(interval: timedelta | float) -> float:
    return interval.total_seconds() if isinstance(interval, timedelta) else interval


def _condition(one: RecurringJob) -> str:
    said = {
        "unreadable": one.unreadable is not None,
        "orphaned": one.orphaned,
        "paused": one.paused,
        "waiting": one.waiting,
    }
    return ", ".join(word for word, is_so in said.items() if is_so)


def print_list(found: list[RecurringJob], now: datetime) -> None:
    """A table."""
    from asyncjobs.cli.display import Column, relative, table

    rows = [
        (
            one.id,
            "?" if one.schedule is None else str(one.schedule),
            one.name,
            relative(one.next_at, now, brief=True),
            relative(one.last_run_at, now, brief=True),
            "" if one.last_state is None else str(one.last_state),
            _condition(one),
        )
        for one in found
    ]
    columns = (
        Column("ID", style="bold", folds=True),
        Column("SCHEDULE", folds=True),
        Column("JOB", rest=True),
        Column("NEXT"),
        Column("LAST"),
        Column("STATE"),
        Column("", style="yellow"),
    )
    table(columns, rows)


def print_one(one: RecurringJob, now: datetime) -> None:
    """All facts, a line each."""
    from asyncjobs.cli.display import exact, relative, span
    from asyncjobs.cli.plaintext import clean

    def at(when: datetime | None) -> str:
        return "-" if when is None else f"{exact(when)} ({relative(when, now, brief=True)})"

    lines = {
        "schedule": one.unreadable if one.schedule is None else str(one.schedule),
        "job": f"{one.name} in queue {one.queue}",
        "origin": ("declared in the code of workers" if one.declared else "put by a client")
        + (", rescheduled by hand" if one.rescheduled else ""),
        "now": _condition(one),
        "next": at(one.next_at),
        "last": at(one.last_at),
        "last run": at(one.last_run_at) if one.last_job else "",
        "last job": f"{one.last_job} ({one.last_state or 'removed'})" if one.last_job else "",
        "misfire": one.misfire,
        "overlap": one.overlap,
        "jitter": span(one.jitter) if one.jitter else "",
        "start": at(one.start) if one.start else "",
        "end": at(one.end) if one.end else "",
        "fired": f"{one.fired:,}",
        "given up": f"{one.missed:,} missed, {one.skipped:,} skipped, {one.refused:,} refused"
        + (f"; last {at(one.gave_up_at)}" if one.gave_up_at else ""),
    }
    click.echo(click.style(clean(one.id), bold=True))
    for label, value in lines.items():
        if value:
            click.echo(f"  {label:<9} {clean(value)}")
