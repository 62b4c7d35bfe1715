"""`dashboard`: the monitoring web application; and the same in a thread beside `worker`."""

from __future__ import annotations

import contextlib
import importlib
import re
import signal
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING

import click

from asyncjobs.cli.connection import PATIENCE, Place, connection_options
from asyncjobs.cli.exits import OK

if TYPE_CHECKING:
    import asyncio

    from asyncjobs.registry import Registry

HOST, PORT = "127.0.0.1", 8080
START_SECONDS = 10.0
"""In which the thread beside a worker has to listen."""


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
    found = re.fullmatch(r"(?:(?P<host>\[[0-9a-fA-F:]+\]|[^:\s]+):)?(?P<port>[0-9]{1,5})", text)
    if found is None or int(found["port"]) > 65535:
        raise click.UsageError(f"--dashboard {text}: give a port, or host:port, as in 127.0.0.1:8080")
    return (found["host"] or HOST).strip("[]"), int(found["port"])


@contextlib.contextmanager
def beside_worker(place: Place, registry: Registry | None, where: tuple[str, int]) -> Generator[None]:
    """Serve it in a thread with a loop of its own: it answers, too, while a job blocks the worker's loop."""
    import asyncio

    ready = threading.Event()
    failed: list[BaseException] = []
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        started.append((asyncio.get_running_loop(), stop))
        await _serve(place, registry, *where, stop=stop, ready=ready)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="asyncjobs dashboard", daemon=True)
    thread.start()
    ready.wait(START_SECONDS)
    if failed:
        raise failed[0]
    try:
        yield
    finally:
        if started:
            loop, stop = started[0]
            # Its loop may have ended by itself in the meantime.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=5)


async def _serve(
    place: Place,
    registry: Registry | None,
    host: str,
    port: int,
    *,
    read_only: bool = False,
    title: str = "asyncjobs",
    stop: asyncio.Event | None = None,
    ready: threading.Event | None = None,
) -> None:
    """Until `stop`; without one, until SIGINT or SIGTERM."""
    import asyncio

    from asyncjobs.client import Client
    from asyncjobs_dashboard import Dashboard

    client = Client(
        place.url, registry=registry, namespace=place.namespace, shards=place.shards, patience=PATIENCE
    )
    until = stop or asyncio.Event()
    if stop is None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, until.set)
    async with contextlib.AsyncExitStack() as stack:
        try:
            served = await stack.enter_async_context(
                Dashboard(client, host, port, read_only=read_only, title=title)
            )
        except OSError as error:
            raise click.ClickException(
                f"The dashboard can't listen at {host}:{port}: {error.strerror or error}. Give another port."
            ) from None
        click.echo(f"The dashboard is at {served.url} (Redis is {place.shown})")
        if ready is not None:
            ready.set()
        await until.wait()
