"""`locks`: who holds which, and taking one away from a holder that is dead or stuck."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.exits import FAILED, OK, complain
from asyncjobs.cli.reading import json_option

if TYPE_CHECKING:
    from asyncjobs.client import Client
    from asyncjobs.monitoring import LockInfo


@click.group(invoke_without_command=True, short_help="List the locks that are held; release one by force.")
@click.option("--offset", type=click.IntRange(min=0), default=0, metavar="N", help="Leave out the first N.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, metavar="N", show_default=True, help="At most N."
)
@json_option
@click.pass_context
@connection_options
def locks(place: Place, ctx: click.Context, offset: int, limit: int, as_json: bool) -> int:
    """List the locks that are held now, those that run out first before the others.

    While its holder lives, a lock is renewed before it runs out. Those of background processes are called
    process:NAME.

    \b
    Examples:
      asyncjobs locks
      asyncjobs locks --json | jq '.locks[] | select(.waiting > 0).name'
      asyncjobs locks release ledger
    """
    if ctx.invoked_subcommand is not None:
        given = (ctx.get_parameter_source(name) for name in ctx.params)
        if ParameterSource.COMMANDLINE in given:
            raise click.UsageError(f"Put the options behind {ctx.invoked_subcommand}.")
        return OK

    async def read(client: Client) -> tuple[list[LockInfo], datetime]:
        return await client.locks(offset=offset, limit=limit), (await client.stats()).now

    found, now = with_client(place, read)
    if as_json:
        from asyncjobs.cli.documents import iso, lock_document, print_json

        documents = [lock_document(lock) for lock in found]
        print_json({"now": iso(now), "offset": offset, "locks": documents})
    elif found:
        _print(found, now)
        if len(found) == limit:
            click.echo(f"\n{len(found):,} locks from {offset + 1:,}; --offset {offset + limit} for more")
    else:
        click.echo(f"No lock is held{f' after the first {offset:,}' if offset else ''}.")
    return OK


@locks.command(short_help="Take a lock away from its holder.")
@click.argument("name", metavar="NAME")
@click.option("--yes", is_flag=True, help="Don't ask. Without a terminal it has to be given.")
@connection_options
def release(place: Place, name: str, yes: bool) -> int:
    """Take a lock away from its holder, and let the next one have it.

    For a holder that is known to be dead or stuck, before the lock's time runs out. One that lives finds out
    at its next renewal, within a quarter of the lock's time, and goes on until then beside the next one. The
    next one's token is higher, as always.

    \b
    Examples:
      asyncjobs locks release ledger
      asyncjobs locks release ledger --yes
    """
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("Nobody can be asked here: add --yes to release the lock.")

    async def look(client: Client) -> tuple[LockInfo | None, datetime]:
        return await client.get_lock(name), (await client.stats()).now

    found, now = with_client(place, look)
    if found is None:
        complain(f"nobody holds a lock {name}")
        return FAILED
    if not yes:
        from asyncjobs.cli.display import relative

        click.echo(f"{found.holder} holds {name}; it runs out {relative(found.until, now)} unless renewed.")
        if not click.confirm("Take it away?"):
            click.echo("Nothing was done.", err=True)
            return FAILED
    # From the holder that was shown: not from one that got it in order meanwhile.
    if not with_client(place, lambda client: client.break_lock(name, holder=found.holder)):
        complain(f"{found.holder} doesn't hold {name} any more")
        return FAILED
    click.echo(f"{name} is released; {found.holder} had it")
    return OK


def _print(found: list[LockInfo], now: datetime) -> None:
    from asyncjobs.cli.display import Column, number, relative, table

    table(
        (
            Column("LOCK", style="bold", folds=True),
            Column("HOLDER", folds=True),
            Column("TOKEN", "right"),
            Column("RUNS OUT"),
            Column("WAITING", "right"),
        ),
        [
            (
                lock.name,
                lock.holder,
                str(lock.token),
                relative(lock.until, now, brief=True),
                number(lock.waiting),
            )
            for lock in found
        ],
    )
