"""`check`: does the namespace contradict itself?"""

from __future__ import annotations

from dataclasses import asdict

import click

from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.exits import FAILED, OK
from asyncjobs.cli.reading import json_option


@click.command(short_help="Look for contradictions in what is stored.")
@json_option
@connection_options
def check(place: Place, as_json: bool) -> int:
    """Look for contradictions in what is stored: jobs that aren't where their state says, counters of batches
    that don't equal their members, leases without a worker, continuations that wait in vain.

    It may be done while everything runs: only what is found three times, a second apart, is told. It reads
    the whole namespace, so it takes its time with a large one. Exit code 1 if it finds anything.

    \b
    Examples:
      asyncjobs check
      asyncjobs check --json
    """
    found = with_client(place, lambda client: client.check())
    if as_json:
        from asyncjobs.cli.documents import print_json

        print_json({"findings": [asdict(finding) for finding in found]})
    elif found:
        from asyncjobs.cli.display import Column, table

        columns = (Column("KIND"), Column("ID", style="bold"), Column("WHAT CONTRADICTS", folds=True))
        table(columns, [(finding.kind, finding.id, finding.detail) for finding in found])
    else:
        click.echo("Nothing contradicts anything.")
    return FAILED if found else OK
