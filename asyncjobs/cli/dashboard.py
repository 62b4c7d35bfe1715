"""`dashboard`: the monitoring web application; and the same in a thread beside `worker`."""

from __future__ import annotations

import contextlib
import importlib
import re
import signal
from collections.abc import Generator
from typing import TYPE_CHECKING

import click

from asyncjobs.cli.connection import PATIENCE, Place, connection_options
from asyncjobs.cli.exits import OK

if TYPE_CHECKING:
    from asyncjobs.registry import Registry
    from asyncjobs_dashboard import Dashboard

HOST, PORT = "127.0.0.1", 8080


@click.command(short_help="Serve the dashboard: jobs, queues and workers in a browser.")
@click.argument("target", metavar="[APP:REGISTRY]", required=False)
@click.option("--host", default=HOST, show_default=True, metavar="HOST", help="Where it listens.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    metavar="PORT",
    help="Where it listens; 0 takes one that is free.",
)
@click.option("--read-only", is_flag=True, help="Nothing can be changed there.")
@click.option("--title", default="asyncjobs", show_default=True, metavar="TEXT", help="Shown on every page.")
@connection_options
def dashboard(place: Place, target: str | None, host: str, port: int, read_only: bool, title: str) -> int:
    """Serve the dashboard, which lets in only who is on this machine.

    With `app:registry`, arguments of the application's own types are shown as they are. To let in others,
    serve it from Python with `authorize` (see docs/dashboard.md), or forward the port with ssh.

    \b
    Examples:
      asyncjobs dashboard
      asyncjobs dashboard app:registry --port 9000
      asyncjobs dashboard --read-only
      ssh -L 8080:localhost:8080 HOST     and open http://localhost:8080/
    """
    check_installed()
    import asyncio

    from asyncjobs.cli.logs import set_up_logging

    set_up_logging("WARNING", colours=True)
    registry: Registry | None = None
    if target is not None:
        from asyncjobs.target import load_registry

        registry = load_registry(target)
    asyncio.run(_serve(place, registry, host, port, read_only=read_only, title=title))
    return OK


def check_installed() -> None:
    """Raise a usage error if the extra isn't there."""
    try:
        importlib.import_module("asyncjobs_dashboard")
    except ImportError as error:
        raise click.UsageError(
            f"The dashboard needs {error.name}: pip install 'asyncjobs-redis[dashboard]'"
        ) from None


def address(text: str) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`. Raises a usage error."""
    found = re.fullmatch(r"(?:(?P<host>\[[0-9a-fA-F:]+\]|[^:\s]*):)?(?P<port>[0-9]{1,5})", text)
    if found is None or int(found["port"]) > 65535:
        raise click.UsageError(f"--dashboard {text}: give a port, or host:port, as in 127.0.0.1:8080")
    return (found["host"] or HOST).strip("[]"), int(found["port"])


@contextlib.contextmanager
def beside_worker(place: Place, registry: Registry | None, where: tuple[str, int]) -> Generator[None]:
    """Serve it in a thread with a loop of its own: it answers, too, while a job blocks the worker's loop."""
    from asyncjobs_dashboard.thread import in_thread

    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(in_thread(lambda: _make(place, registry, *where)))
        except OSError as error:
            raise _taken(*where, error) from None
        click.echo(_told(place, url))
        yield


async def _serve(
    place: Place, registry: Registry | None, host: str, port: int, *, read_only: bool, title: str
) -> None:
    """Until SIGINT or SIGTERM."""
    import asyncio

    until = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, until.set)
    async with contextlib.AsyncExitStack() as stack:
        made = _make(place, registry, host, port, read_only=read_only, title=title)
        try:
            served = await stack.enter_async_context(made)
        except OSError as error:
            raise _taken(host, port, error) from None
        click.echo(_told(place, served.url))
        await until.wait()


def _make(
    place: Place,
    registry: Registry | None,
    host: str,
    port: int,
    *,
    read_only: bool = False,
    title: str = "asyncjobs",
) -> Dashboard:
    from asyncjobs.client import Client
    from asyncjobs_dashboard import Dashboard

    client = Client(
        place.url, registry=registry, namespace=place.namespace, shards=place.shards, patience=PATIENCE
    )
    return Dashboard(client, host, port, read_only=read_only, title=title)


def _told(place: Place, url: str) -> str:
    return f"The dashboard is at {url} (Redis is {place.shown})"


def _taken(host: str, port: int, error: OSError) -> click.ClickException:
    return click.ClickException(
        f"The dashboard can't listen at {host}:{port}: {error.strerror or error}. Give another port."
    )
