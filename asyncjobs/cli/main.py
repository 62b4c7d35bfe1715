"""`asyncjobs`: the commands together, and what becomes of errors: a line or two, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

import click

from asyncjobs.cli import (
    batches,
    check,
    control,
    dashboard,
    demo,
    enqueue,
    limits,
    locks,
    queues,
    reading,
    recurring,
    show,
    worker,
    workers,
)
from asyncjobs.cli.exits import FAILED, INTERRUPTED, NO_APP, OK, UNREACHABLE, USAGE, complain
from asyncjobs.errors import (
    AppImportError,
    AsyncjobsError,
    CallError,
    OptionError,
    StorageUnavailable,
    UnknownJob,
)


class _InOrder(click.Group):
    """Lists its commands in the order in which they were added, not by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return list(self.commands)


@click.group(
    cls=_InOrder, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(
    None, "-V", "--version", package_name="asyncjobs-redis", message="asyncjobs %(version)s"
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Background jobs for asyncio on Redis or Valkey.

    \b
    Examples:
      asyncjobs demo                   see it at work; nothing else to install
      asyncjobs worker app:registry    run the jobs declared on `registry` in app.py
      asyncjobs enqueue app:registry send_email ada@example.com subject=Hi
      asyncjobs stats                  what is going on
      asyncjobs dashboard              the same and more, in a browser
      asyncjobs list failed            and then: show ID, requeue ID

    The server is --redis URL, else the environment's ASYNCJOBS_REDIS, else redis://localhost:6379/0.
    Commands that read take --json and print one JSON document, with times in ISO 8601.

    \b
    Exit codes:
      0    done; also a worker that SIGTERM or Ctrl-C has stopped in order
      1    something didn't succeed: no such job, wrong state, the job failed
      2    wrong usage: an option, an argument, the arguments of a job
      3    Redis can't be reached
      4    app:registry can't be imported
      130  interrupted with Ctrl-C
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _command in (
    worker.worker,
    dashboard.dashboard,
    demo.demo,
    enqueue.enqueue,
    reading.list_jobs,
    show.show,
    reading.stats,
    batches.batches,
    control.requeue,
    control.cancel,
    control.move,
    control.delete,
    queues.pause,
    queues.resume,
    queues.purge,
    recurring.recurring,
    limits.limits,
    locks.locks,
    workers.workers,
    check.check,
):
    cli.add_command(_command)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line with these arguments (default: the process' own); the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # Jobs hold any text; a terminal or file in an encoding without it shows an escape instead.
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
    try:
        told: object = cli.main(args, prog_name="asyncjobs", standalone_mode=False)
        sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        click.echo(err=True)
        return INTERRUPTED
    except BrokenPipeError:
        _let_go(sys.stdout)
        return FAILED
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        complain(_reason(error))
        return code
    return told if isinstance(told, int) else OK


def _exit_code(error: Exception) -> int | None:
    """The exit code that stands for an error; None for one that isn't expected, which is a fault of ours."""
    if isinstance(error, click.UsageError):
        return USAGE
    if isinstance(error, click.ClickException):
        return error.exit_code
    if isinstance(error, AppImportError):
        return NO_APP
    if isinstance(error, StorageUnavailable):
        return UNREACHABLE
    if isinstance(error, (OptionError, CallError, UnknownJob)):
        return USAGE
    return FAILED if isinstance(error, AsyncjobsError) else None


def _reason(error: Exception) -> str:
    if not isinstance(error, click.ClickException):
        return str(error)
    context = error.ctx if isinstance(error, click.UsageError) else None
    see = f"\nSee: {context.command_path} --help" if context is not None else ""
    # Click writes a list of choices in lines of their own.
    return " ".join(error.format_message().split()) + see


def _let_go(stream: TextIO) -> None:
    """Nobody reads any more: keep the interpreter from trying to write the rest when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
