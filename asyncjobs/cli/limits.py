"""`limits`: what limits let through and hold back, and their numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from asyncjobs.cli.arguments import duration
from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.reading import json_option

if TYPE_CHECKING:
    from asyncjobs.client import Client
    from asyncjobs.limits import LimitInfo, LimitNumbers


class _ListsByDefault(click.Group):
    """`asyncjobs limits` is `asyncjobs limits list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """See click."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ListsByDefault, short_help="List what limits let through; change their numbers.")
def limits() -> None:
    """How many jobs may run at once, or start within a time: what is counted, and the numbers.

    \b
    Examples:
      asyncjobs limits
      asyncjobs limits numbers
      asyncjobs limits set smtp --rate 50 --per 1s
      asyncjobs limits reset smtp
    """


@limits.command("list", short_help="List what jobs run, are enqueued or wait under.")
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first N.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=50, metavar="N", show_default=True, help="Show N at most."
)
@json_option
@connection_options
def list_limits(place: Place, offset: int, limit: int, as_json: bool) -> None:
    """List the limits that jobs run, are enqueued or wait under now, each key by itself.

    A mutex is a limit called "mutex". Of a rate, STARTED is how many have started within its time.

    \b
    Examples:
      asyncjobs limits list
      asyncjobs limits list --json | jq '.limits[] | select(.throttled > 0)'
    """

    async def read(client: Client) -> tuple[list[LimitInfo], int]:
        return await client.limits.list(offset=offset, limit=limit), await client.limits.count()

    found, total = with_client(place, read)
    if as_json:
        from asyncjobs.cli.documents import limit_document, print_json

        print_json({"total": total, "offset": offset, "limits": [limit_document(one) for one in found]})
    elif found:
        _print_list(found)
        if total > offset + len(found):
            click.echo(f"{total - offset - len(found):,} more: --offset {offset + len(found)}", err=True)
    else:
        click.echo("No job is under a limit now." if not total else f"There are only {total:,}.")


@limits.command(short_help="List the numbers of all limits.")
@json_option
@connection_options
def numbers(place: Place, as_json: bool) -> None:
    """List the numbers of all limits that jobs were ever created under, and whether they were set by hand.

    \b
    Examples:
      asyncjobs limits numbers
      asyncjobs limits numbers --json | jq '.numbers[] | select(.by_hand).name'
    """

    async def read(client: Client) -> list[LimitNumbers]:
        return await client.limits.numbers()

    found = with_client(place, read)
    if as_json:
        from asyncjobs.cli.documents import numbers_document, print_json

        print_json({"numbers": [numbers_document(one) for one in found]})
    elif found:
        from asyncjobs.cli.display import Column, table

        columns = (Column("LIMIT", style="bold", folds=True), Column("NUMBERS"), Column("", style="yellow"))
        table(columns, [(one.name, _numbers(one), "set by hand" if one.by_hand else "") for one in found])
    else:
        click.echo("No job was ever under a limit.")


@limits.command("set", short_help="Change the numbers of a limit at once.")
@click.argument("name", metavar="NAME")
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="N jobs may run at once.")
@click.option("--rate", type=click.IntRange(min=1), metavar="N", help="N jobs may start within --per.")
@click.option(
    "--per", type=duration, metavar="TIME", help="Of --rate: 1 (second, if not given), 90s, 5m, 1h."
)
@connection_options
def set_numbers(
    place: Place, name: str, concurrency: int | None, rate: int | None, per: timedelta | None
) -> None:
    """Change the numbers of a limit at once, for all its keys and whatever the code says, until `reset`.

    A rate stays a rate, and what limits how many run at once stays that. Jobs that there is room for now are
    let go; none is stopped.

    \b
    Examples:
      asyncjobs limits set reports --concurrency 2
      asyncjobs limits set smtp --rate 100 --per 1m
    """
    if (concurrency is None) == (rate is None):
        raise click.UsageError("Give either --concurrency, or --rate with --per.")
    if per is not None and rate is None:
        raise click.UsageError("--per is for --rate: --concurrency counts the jobs that run at once.")

    async def act(client: Client) -> LimitNumbers | None:
        given: dict[str, Any] = {"concurrency": concurrency, "rate": rate}
        if per is not None:
            given["per"] = per
        await client.limits.set(name, **given)
        return next((one for one in await client.limits.numbers() if one.name == name), None)

    made = with_client(place, act)
    click.echo(f"{name}: {'changed' if made is None else _numbers(made)}, whatever the code says")


@limits.command(short_help="Let the code's numbers count again.")
@click.argument("name", metavar="NAME")
@connection_options
def reset(place: Place, name: str) -> None:
    """Undo `set`: the code's numbers count again, from the next job on that is created under the limit.

    \b
    Examples:
      asyncjobs limits reset smtp
    """

    async def act(client: Client) -> None:
        await client.limits.reset(name)

    with_client(place, act)
    click.echo(f"{name}: the numbers come from the code again, with the next job that is created under it")


def _numbers(one: LimitInfo | LimitNumbers) -> str:
    from asyncjobs.cli.display import span

    if one.per is None:
        return f"{one.concurrency:,} at once"
    seconds = one.per.total_seconds()
    return f"{one.rate:,} in {f'{seconds:g} s' if 1 <= seconds < 60 else span(one.per)}"


def _print_list(found: list[LimitInfo]) -> None:
    from asyncjobs.cli.display import Column, number, table

    rows = [
        (
            one.name,
            one.key,
            _numbers(one),
            number(one.running),
            "" if one.per is None else number(one.started),
            number(one.enqueued),
            number(one.throttled),
        )
        for one in found
    ]
    columns = (
        Column("LIMIT", style="bold", folds=True),
        Column("KEY", rest=True),
        Column("NUMBERS"),
        Column("RUNNING", "right"),
        Column("STARTED", "right"),
        Column("ENQUEUED", "right"),
        Column("THROTTLED", "right"),
    )
    table(columns, rows)
