"""`check`: does the namespace contradict itself, and can that be mended?"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.exits import FAILED, OK
from asyncjobs.cli.reading import json_option

if TYPE_CHECKING:
    from asyncjobs.storage.audit import Finding, Mending

NOTHING = "Nothing contradicts anything."


@click.command(short_help="Look for contradictions in what is stored, and mend them.")
@click.option("--repair", is_flag=True, help="Mend what is found, as far as that can be.")
@click.option("--yes", is_flag=True, help="Don't ask before mending. Without a terminal it has to be given.")
@json_option
@connection_options
def check(place: Place, repair: bool, yes: bool, as_json: bool) -> int:
    """Look for contradictions in what is stored: jobs that aren't where their state says, counters of batches
    that don't equal their members, leases without a worker, continuations that wait in vain, keys that hold
    something else.

    It may be done while everything runs: only what is found three times, a second apart, is told. It reads
    the whole namespace, so it takes its time with a large one. Exit code 1 if it finds anything.

    With --repair what is found is mended, while everything runs as well: each thing in one step that looks at
    it again first. Exit code 1 if something is left that a person has to see to.

    \b
    Examples:
      asyncjobs check
      asyncjobs check --json
      asyncjobs check --repair
      asyncjobs check --repair --yes --json
    """
    if not repair:
        return _tell(with_client(place, lambda client: client.check()), as_json=as_json)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise click.UsageError("Nobody can be asked here: add --yes to mend what is found.")
        found = with_client(place, lambda client: client.check())
        if not found:
            click.echo(NOTHING)
            return OK
        _tell(found, as_json=False)
        if not click.confirm("Mend all of that, as far as it can be?"):
            click.echo("Nothing was changed.", err=True)
            return FAILED
    return _tell_mended(with_client(place, lambda client: client.repair()), as_json=as_json)


def _tell(found: list[Finding], *, as_json: bool) -> int:
    if as_json:
        from asyncjobs.cli.documents import print_json

        print_json({"findings": [_document(finding) for finding in found]})
    elif found:
        from asyncjobs.cli.display import Column, table

        columns = (Column("KIND"), Column("ID", style="bold"), Column("WHAT CONTRADICTS", folds=True))
        table(columns, [(finding.kind, finding.id, finding.detail) for finding in found])
    else:
        click.echo(NOTHING)
    return FAILED if found else OK


def _tell_mended(told: list[Mending], *, as_json: bool) -> int:
    left = sum(not mending.is_done for mending in told)
    if as_json:
        from asyncjobs.cli.documents import print_json

        rows = [
            {**_document(mending.finding), "mended": mending.is_done, "text": mending.text}
            for mending in told
        ]
        print_json({"findings": rows, "left": left})
    elif told:
        from asyncjobs.cli.display import Column, table

        columns = (
            *(Column("KIND"), Column("ID", style="bold"), Column("WHAT CONTRADICTED", folds=True)),
            Column("WHAT WAS DONE", folds=True),
        )
        table(
            columns,
            [
                (mending.finding.kind, mending.finding.id, mending.finding.detail, _done(mending))
                for mending in told
            ],
        )
        click.echo(
            f"{len(told) - left:,} mended" + (f", {left:,} left for a person to see to" if left else "")
        )
    else:
        click.echo(NOTHING)
    return FAILED if left else OK


def _done(mending: Mending) -> str:
    return mending.text if mending.is_done else f"NOT MENDED: {mending.text}"


def _document(finding: Finding) -> dict[str, object]:
    return {key: value for key, value in asdict(finding).items() if key in ("kind", "id", "detail")}
