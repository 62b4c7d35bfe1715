"""What is shown while the demo runs: a progress bar on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import logging
import textwrap
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from asyncjobs.demo.interruption import Interrupted
from asyncjobs.demo.plan import Task
from asyncjobs.storage.base import State
from asyncjobs.storage.redis.connection import without_password

LABEL_WIDTH = 10
PLAIN_LINES = 4
"""Lines that tell of the progress where there is no bar."""


def say(console: Console, label: str, text: str, style: str = "") -> None:
    """Print a label and what is to be said of it, which may take several lines."""
    indent = " " * LABEL_WIDTH
    wrapped = textwrap.fill(text, console.width, initial_indent=indent, subsequent_indent=indent)
    console.print(
        Text(f"{label:{LABEL_WIDTH}}", style="bold").append(wrapped[LABEL_WIDTH:], style=f"not bold {style}")
    )


def counted(number: int, noun: str) -> str:
    """A number of things: "1 job", "2 processes"."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('s') else 's'}"


class Display:
    """Says what goes on, on standard output."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)

    def beginning(self, tasks: Sequence[Task], library: Path) -> None:
        """What the demo is about to do."""
        tests = ", with its tests" if any(task.path.startswith("test/") for task in tasks) else ""
        delayed = sum(1 for task in tasks if task.delay)
        failing = sum(1 for task in tasks if task.failures)
        self.console.print("[bold]asyncjobs demo[/]: Python's standard library, analysed by one job a file\n")
        say(self.console, "files", f"{len(tasks):,} in {library}{tests}")
        say(
            self.console,
            "jobs",
            f"{delayed} are delayed by 1 to 5 s, {failing} are made to fail at first and retried",
        )

    def started(
        self, url: str, processes: int, concurrency: int, *, embedded: bool, dashboard: str | None = None
    ) -> None:
        """What was started for it."""
        note = ", a Valkey started for this run" if embedded else ""
        say(self.console, "server", without_password(url) + note)
        say(
            self.console,
            "workers",
            f"{counted(processes, 'process')}, each with up to {counted(concurrency, 'job')} at once",
        )
        if dashboard is not None:
            say(self.console, "dashboard", dashboard)
        self.console.print()

    def staying(self, url: str) -> None:
        """What is still there when all is done."""
        self.console.print(f"\nThe dashboard stays at {url} until Ctrl-C.")

    def killed(self, pid: int, running: int) -> None:
        """A worker was killed."""
        self.console.print(
            f"[bold red]kill -9 {pid}[/]: a worker process, while it runs {counted(running, 'job')}"
        )

    def interrupted(self, interruption: Interrupted) -> None:
        """The demo has ended before its end."""
        self.console.print(f"{interruption}: stopped; nothing that was started is left running")

    @contextmanager
    def log(self) -> Generator[None, None, None]:
        """Show what the supervisor logs."""
        logger = logging.getLogger("asyncjobs")
        handler, propagate = _Lines(self.console), logger.propagate
        logger.addHandler(handler)
        logger.propagate = False
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = propagate

    @contextmanager
    def progress(self, total: int) -> Generator[Progress, None, None]:
        """Show how far it is, until the block ends."""
        if not self.console.is_terminal or self.console.is_dumb_terminal:
            yield Progress(self.console, total)
            return
        shown = LiveProgress(self.console, total)
        with Live(shown.renderable, console=self.console, refresh_per_second=10, transient=True):
            yield shown


class Progress:
    """How far it is, in plain lines."""

    is_live = False
    """Whether `show` and every single file are worth telling."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._done = 0
        self._began = time.monotonic()

    def advance(self, path: str) -> None:
        """A file is done."""
        self._done += 1
        quarter = -(-self._total // PLAIN_LINES)
        if self._done % quarter == 0 or self._done == self._total:
            self._tell()

    def _tell(self) -> None:
        took = time.monotonic() - self._began
        self._console.print(f"{self._done:,} of {self._total:,} files after {took:.1f} s")

    def show(self, counts: Mapping[State, int]) -> None:
        """The numbers of jobs by state."""


class LiveProgress(Progress):
    """How far it is, as a bar."""

    is_live = True

    def __init__(self, console: Console, total: int) -> None:
        super().__init__(console, total)
        spinner = "line" if console.options.ascii_only else "dots"
        self._bar = Bar(
            SpinnerColumn(spinner),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.description}"),
            console=console,
        )
        self._files = self._bar.add_task("", total=total)
        self._counts = Text(style="dim", no_wrap=True, overflow="crop")
        self.renderable = Group(self._bar, self._counts)

    def advance(self, path: str) -> None:
        """A file is done."""
        self._done += 1
        self._bar.update(self._files, completed=self._done, description=end_of(path, 24))
        if self._done == self._total:
            self._tell()

    def show(self, counts: Mapping[State, int]) -> None:
        """The numbers of jobs by state."""
        parts = (State.PROCESSING, "running"), (State.SCHEDULED, "delayed"), (State.RETRYING, "to be retried")
        self._counts.plain = "  " + ", ".join(f"{counts.get(state, 0)} {name}" for state, name in parts)


def end_of(path: str, width: int) -> str:
    """The part of a path that says most, in so many characters."""
    return path if len(path) <= width else "..." + path[-width + 3 :]


class _Lines(logging.Handler):
    """Log lines, set off from what the demo itself says."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        for line in textwrap.wrap(record.getMessage(), self._console.width - 4):
            self._console.print(Text(f"  | {line}", style="dim"))
