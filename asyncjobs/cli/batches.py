"""`batches`: the list of them, or everything about one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.reading import json_option

if TYPE_CHECKING:
    from asyncjobs.batch import Batch
    from asyncjobs.client import Client

PAGE = 1_000
"""Members among which nested batches are looked for at a time."""
MOST_NESTED = 100
"""Nested batches that are shown of one."""


@click.command(short_help="List the batches, or show one.")
@click.argument("batch_id", metavar="[ID]", required=False)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="At most N batches.",
)
@click.option(
    "--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first N batches."
)
@json_option
@connection_options
def batches(place: Place, batch_id: str | None, limit: int, offset: int, as_json: bool) -> None:
    """List the batches: open ones first, newest first; then finished ones, latest first. Or show one.

    The progress is the part of its members, nested batches included, that has ended.

    \b
    Examples:
      asyncjobs batches
      asyncjobs batches 0UVbAtBLvCPR1WGdSQK0
      asyncjobs batches --json | jq '.batches[] | select(.failed > 0) | .id'
      asyncjobs cancel --batch 0UVbAtBLvCPR1WGdSQK0
    """
    if batch_id is not None:
        _show(place, batch_id, as_json)
        return

    async def read(client: Client) -> tuple[list[Batch], datetime]:
        return await client.batches(offset=offset, limit=limit), (await client.stats()).now

    found, now = with_client(place, read)
    if as_json:
        from asyncjobs.cli.documents import batch_document, print_json

        print_json({"offset": offset, "batches": [batch_document(batch) for batch in found]})
    elif found:
        _print_table(found, now)
        if len(found) == limit:
            click.echo(f"\n{len(found):,} batches from {offset + 1:,}; --offset {offset + limit} for more")
    else:
        click.echo(f"No batches{f' after the first {offset:,}' if offset else ''}.")


def _print_table(found: list[Batch], now: datetime) -> None:
    from asyncjobs.cli.display import ID, Column, number, relative, table

    table(
        (
            ID,
            Column("NAME", rest=True),
            Column("STATE"),
            Column("DONE", "right"),
            Column("JOBS", "right"),
            Column("FAILED", "right"),
            Column("CREATED"),
        ),
        [
            (
                batch.id,
                batch.name,
                _state(batch),
                f"{int(batch.progress * 100)}%",
                number(batch.total),
                number(batch.failed),
                relative(batch.created_at, now, brief=True),
            )
            for batch in found
        ],
    )


def _state(batch: Batch) -> str:
    if batch.record.cancel_requested and not batch.state.is_finished:
        return "cancelling"
    return str(batch.state)


def _show(place: Place, batch_id: str, as_json: bool) -> None:
    async def read(client: Client) -> tuple[Batch, list[Batch], datetime]:
        batch = await client.batch_of(batch_id).refresh()
        return batch, await _nested(batch), (await client.stats()).now

    batch, nested, now = with_client(place, read)
    if as_json:
        from asyncjobs.cli.documents import batch_document, print_json

        print_json({**batch_document(batch), "batches": [batch_document(inner) for inner in nested]})
    else:
        _print(batch, nested, now)


async def _nested(batch: Batch) -> list[Batch]:
    """The batches that are nested in one."""
    found: list[Batch] = []
    record = batch.record
    wanted = min(record.nested, MOST_NESTED)
    for offset in range(0, record.total + record.nested, PAGE):
        if len(found) >= wanted:
            break
        found += await batch.nested(offset=offset, limit=PAGE)
    return found[:wanted]


def _print(batch: Batch, nested: list[Batch], now: datetime) -> None:
    from rich.table import Table

    from asyncjobs.cli.display import STYLES, bar, console, exact, number, print_table, relative, span, text

    out = console()
    state = text(_state(batch), f"bold {STYLES.get(batch.state, '')}")
    out.print(text(batch.id, "bold"), text(batch.name or "(no name)"), state, soft_wrap=True)
    fields = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    fields.add_column(style="dim", no_wrap=True)
    fields.add_column(overflow="fold")

    def line(title: str, value: str) -> None:
        fields.add_row(title, text(value))

    record = batch.record
    line("progress", bar(batch.progress, 30))
    line("jobs", number(batch.total))
    for title, count in (
        ("pending", batch.pending),
        ("succeeded", batch.succeeded),
        ("failed", batch.failed),
        ("cancelled", batch.cancelled),
    ):
        if count:
            line(f"  {title}", number(count))
    if record.parent:
        line("nested in", record.parent)
    for title, when in (("created", batch.created_at), ("finished", batch.finished_at)):
        if when is not None:
            line(title, f"{exact(when)}  ({relative(when, now)})")
    if batch.created_at is not None and batch.finished_at is not None:
        line("took", span(batch.finished_at - batch.created_at))
    print_table(fields, out)
    if nested:
        out.print(text(f"\nNESTED BATCHES: {number(record.nested)}", "bold dim"))
        _print_table(nested, now)
