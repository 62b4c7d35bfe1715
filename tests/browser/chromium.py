"""The Chromium that the tests drive: where it is, how it is started, and which processes it has."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
"""Playwright's own has `--no-sandbox` already."""


class ChromiumMissing(Exception):
    """There is none here; says how to get it."""


def find() -> str:
    """Its path: the environment's `CHROMIUM`, or the first on the PATH. Raises `ChromiumMissing`."""
    names = (chosen,) if (chosen := os.environ.get("CHROMIUM")) else NAMES
    for name in names:
        if path := shutil.which(name):
            return path
    raise ChromiumMissing(
        f"there is no {' or '.join(names)} on the PATH: on Debian, apt install chromium; "
        "or set CHROMIUM to the path of one"
    )


@asynccontextmanager
async def launched(path: str) -> AsyncIterator[Browser]:
    """One that runs until it is left."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


def sessions() -> set[int]:
    """The process sessions of those that this process has started: Playwright gives each its own."""
    found: set[int] = set()
    own = os.getsid(0)
    for process in psutil.Process().children(recursive=True):
        try:
            session = os.getsid(process.pid)
            if session != own and "--remote-debugging-pipe" in process.cmdline():
                found.add(session)
        except (psutil.Error, ProcessLookupError):
            continue
    return found
