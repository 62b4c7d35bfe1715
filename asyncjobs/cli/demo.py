"""`demo`: the whole of it at work, on this machine's own files."""

from __future__ import annotations

import click


@click.command(short_help="See it at work on this machine; nothing else to install.")
@click.option(
    "--kill", is_flag=True, help="Kill a worker with -9 in the middle; nothing is lost or done twice."
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="Worker processes.",
)
@click.option(
    "--redis",
    "url",
    metavar="URL",
    help="A server of your own, where only the namespace `asyncjobs-demo` is touched. "
    "Default: the packaged Valkey, started for this run.",
)
@click.option(
    "--dashboard/--no-dashboard",
    default=None,
    help="Serve the dashboard meanwhile, and then until Ctrl-C. Default: on a terminal.",
)
def demo(kill: bool, processes: int, url: str | None, dashboard: bool | None) -> int:
    """Analyse the Python standard library's own sources, one job a file, and watch it in the dashboard.

    \b
    Examples:
      asyncjobs demo
      asyncjobs demo --kill --processes 4
    """
    from asyncjobs.demo import run_demo

    return run_demo(kill=kill, processes=processes, url=url, dashboard=dashboard)
