"""`worker`: runs jobs."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from asyncjobs.cli.arguments import duration, queue_order
from asyncjobs.cli.connection import Place, connection_options, with_client
from asyncjobs.cli.dashboard import address, beside_worker, check_installed
from asyncjobs.cli.exits import OK

if TYPE_CHECKING:
    from asyncjobs.client import Client


@click.command(short_help="Run the jobs that are declared on a registry.")
@click.argument("target", metavar="APP:REGISTRY", required=False)
@click.option(
    "--queues",
    type=queue_order,
    metavar="A,B",
    help="The queues to serve, emptied in this order; a:3,b:1 lets them take turns by weight. "
    "Default: every queue that the registry names, and `default`.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="Jobs that a process runs at once.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Worker processes. One that dies is started again, and its jobs are run again at once.",
)
@click.option(
    "--reload", is_flag=True, help="Start anew when a .py file under the current directory changes."
)
@click.option("--burst", is_flag=True, help="End when no job is left to run now.")
@click.option(
    "--lease",
    type=duration,
    default="10s",
    show_default=True,
    metavar="TIME",
    help="How long its jobs stay its own though nothing is heard of it (3 s or more).",
)
@click.option(
    "--grace",
    type=duration,
    default="25s",
    show_default=True,
    metavar="TIME",
    help="How long running jobs may go on after SIGTERM or Ctrl-C, before they are cancelled and put back.",
)
@click.option(
    "--embedded",
    is_flag=False,
    flag_value="",
    metavar="[DIR]",
    help="Bring a Valkey server along instead of using --redis, and print its URL. "
    "Its data is kept in DIR, or forgotten.",
)
@click.option(
    "--dashboard",
    metavar="[HOST:]PORT",
    help="Serve the dashboard as well, for who is on this machine (127.0.0.1 without a HOST).",
)
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
@click.option("-q", "--quiet", is_flag=True, help="Log only warnings and errors.")
@connection_options
@click.pass_context
def worker(
    context: click.Context,
    place: Place,
    target: str | None,
    queues: tuple[str, ...] | dict[str, int] | None,
    concurrency: int,
    processes: int,
    reload: bool,
    burst: bool,
    lease: timedelta,
    grace: timedelta,
    embedded: str | None,
    dashboard: str | None,
    verbose: bool,
    quiet: bool,
) -> int:
    """Run the jobs that are declared on a registry: `app:registry` is `registry` in app.py.

    SIGTERM or Ctrl-C: it takes no new jobs, gives the running ones their grace, puts back what is left, and
    ends. A second one: at once.

    \b
    Examples:
      asyncjobs worker app:registry
      asyncjobs worker app:registry --queues urgent,default --processes 4
      asyncjobs worker app:registry --embedded ./data    no server needed
      asyncjobs worker app:registry --burst              in a cron job or a test
      asyncjobs worker app:registry --dashboard 8080     and the dashboard
    """
    if target is None and embedded:
        # `--embedded app:registry`: the option has taken what can only be the registry.
        target, embedded = embedded, ""
    if target is None:
        raise click.UsageError("Say which registry: `app:registry` is the object `registry` in app.py.")
    if embedded is not None and context.get_parameter_source("url") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--embedded brings its own server: leave out --redis.")
    if verbose and quiet:
        raise click.UsageError("-v logs more and -q less: give one of them.")
    where = None if dashboard is None else address(dashboard)
    if where is not None:
        check_installed()
    with _ends_early(), contextlib.ExitStack() as stack:
        from asyncjobs.cli.logs import set_up_logging
        from asyncjobs.registry import Registry
        from asyncjobs.target import load_registry
        from asyncjobs.worker.settings import WorkerSettings
        from asyncjobs.worker.supervisor import run_workers
        from asyncjobs.worker.worker import Worker

        async def check(client: Client) -> None:
            # Refused here and now rather than by child processes, which would be started again and again.
            Worker(Registry(), client, queues=queues, concurrency=concurrency, lease=lease, grace=grace)

        level = "DEBUG" if verbose else "WARNING" if quiet else "INFO"
        alone = processes == 1 and not reload
        set_up_logging(level, colours=alone)
        # The supervisor of several doesn't import the application: its children say what is wrong.
        registry = load_registry(target) if alone else None
        if embedded is not None:
            place = Place(_start_server(embedded, stack), place.namespace, place.shards)
        with_client(place, check)
        settings = WorkerSettings(
            target=target,
            url=place.url,
            namespace=place.namespace,
            shards=place.shards,
            queues=queues,
            concurrency=concurrency,
            lease=lease.total_seconds(),
            grace=grace.total_seconds(),
            burst=burst,
            log_level=level,
        )
        if where is not None:
            stack.enter_context(beside_worker(place, registry, where))
        code = run_workers(settings, processes=processes, reload=[Path.cwd()] if reload else [])
        if burst and code == OK:
            click.echo(with_client(place, _left_for_later))
        return code


def _start_server(directory: str, stack: contextlib.ExitStack) -> str:
    from asyncjobs.embedded import EmbeddedServer

    server = stack.enter_context(EmbeddedServer(Path(directory) if directory else None))
    kept = f"kept in {server.data_dir}" if server.data_dir else "forgotten when this worker ends"
    click.echo(f"Valkey is at {server.url} (its data is {kept})")
    click.echo(f"For other commands: export ASYNCJOBS_REDIS={server.url}")
    sys.stdout.flush()
    return server.url


async def _left_for_later(client: Client) -> str:
    counts = (await client.stats()).counts
    waiting = ("scheduled", "retrying")
    by_state = {state: count for state, count in counts.items() if state in waiting and count}
    total = sum(by_state.values())
    if not total:
        return "No job is left for later"
    details = ", ".join(f"{count:,} {state}" for state, count in by_state.items())
    return f"{total:,} {'job is' if total == 1 else 'jobs are'} left for later: {details}"


@contextlib.contextmanager
def _ends_early() -> Generator[None]:
    """End in order, too, on a SIGTERM that comes while the application is still imported."""

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(OK)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
