"""The log of a worker: in colours on a terminal, else plain lines, on standard error."""

from __future__ import annotations

import logging
import sys

PLAIN = "%(asctime)s %(process)d %(levelname)-7s %(message)s"
"""As the processes under a supervisor write."""


def set_up_logging(level: str, *, colours: bool) -> None:
    """Write records from `level` on. `colours`: where standard error is a terminal."""
    if colours and sys.stderr.isatty():
        from rich.console import Console
        from rich.logging import RichHandler

        handler: logging.Handler = RichHandler(
            console=Console(stderr=True),
            show_path=False,
            log_time_format="%H:%M:%S",
            omit_repeated_times=False,
        )
        logging.basicConfig(level=level, format="%(message)s", handlers=[handler])
    else:
        logging.basicConfig(level=level, format=PLAIN)
    for chatty in ("asyncio", "watchfiles"):
        logging.getLogger(chatty).setLevel("INFO" if level == "DEBUG" else level)
