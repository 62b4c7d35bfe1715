"""SIGINT and SIGTERM as a future, so that they never break into the middle of something."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import contextmanager


class Interrupted(Exception):
    """SIGINT or SIGTERM came."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)

    @property
    def exit_code(self) -> int:
        """As shells count it."""
        return 128 + self.number


@contextmanager
def signals_heeded() -> Generator[Future[int], None, None]:
    """Gives a future that is done, with the signal's number, once SIGINT or SIGTERM has come.

    In another thread than the main one, whose signals they are, it is never done.
    """
    received: Future[int] = Future()
    received.set_running_or_notify_cancel()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def heard(number: int, _: object) -> None:
        if not received.done():
            received.set_result(number)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
