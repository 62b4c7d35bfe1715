"""Exit codes, as `asyncjobs --help` lists them, and how the reason of one is told."""

import click

from asyncjobs.cli.plaintext import clean

OK = 0
FAILED = 1
USAGE = 2
UNREACHABLE = 3
NO_APP = 4
INTERRUPTED = 130


def complain(message: str) -> None:
    """Say on standard error what didn't succeed."""
    click.echo(f"{click.style('Error:', fg='red', bold=True)} {clean(message)}", err=True)
