"""The dashboard in a thread with a loop of its own: beside what blocks, or isn't asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future

from asyncjobs_dashboard.server import Dashboard

STOP_SECONDS = 5.0
"""For which its end is waited for."""


@contextlib.contextmanager
def in_thread(make: Callable[[], Dashboard]) -> Generator[str]:
    """Serve the dashboard that `make` gives, which is called in its thread; gives its URL.

    Raises what making or starting it raises.
    """
    url: Future[str] = Future()
    started: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stop = asyncio.Event()
        started.append((asyncio.get_running_loop(), stop))
        async with make() as dashboard:
            url.set_result(dashboard.url)
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if url.done():
                raise
            url.set_exception(error)

    thread = threading.Thread(target=run, name="asyncjobs dashboard", daemon=True)
    thread.start()
    try:
        yield url.result()
    finally:
        if started:
            loop, stop = started[0]
            # Its loop may have ended by itself in the meantime.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=STOP_SECONDS)
