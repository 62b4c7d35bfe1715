"""The demo's dashboard: on a terminal it is served while the demo runs, and afterwards until Ctrl-C."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import webbrowser
from collections.abc import Generator

from asyncjobs.client import Client
from asyncjobs.errors import OptionError

PORT = 8080
"""Where it is looked for first; if somebody else has it, any that is free."""


def wanted(asked: bool | None, *, is_terminal: bool) -> bool:
    """Whether to serve it: as asked, else where somebody looks. Raises `OptionError` if it can't be."""
    is_there = all(importlib.util.find_spec(name) for name in ("aiohttp", "asyncjobs_dashboard"))
    if asked and not is_there:
        raise OptionError("the dashboard needs its packages: pip install 'asyncjobs-redis[dashboard]'")
    return is_there and is_terminal if asked is None else asked


@contextlib.contextmanager
def served(client: Client) -> Generator[str]:
    """Serve it; gives its address."""
    from asyncjobs_dashboard import Dashboard
    from asyncjobs_dashboard.thread import in_thread

    with contextlib.ExitStack() as stack:
        try:
            url = stack.enter_context(in_thread(lambda: Dashboard(client, port=PORT, title="Demo")))
        except OSError:
            url = stack.enter_context(in_thread(lambda: Dashboard(client, port=0, title="Demo")))
        yield url


def open_in_browser(url: str) -> None:
    """Where there is a screen; a browser in the terminal would hide the demo."""
    if sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(url)
