"""What people read: tables, times, and the text of jobs, from which a terminal must come to no harm."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from asyncjobs.errors import SerializationError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from asyncjobs.job import Job

STYLES = {
    "enqueued": "cyan",
    "scheduled": "blue",
    "processing": "yellow",
    "retrying": "magenta",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "bright_black",
}
"""How the states look."""

UNREADABLE = "(of types not known here: give --app app:registry)"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SIZES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Column:
    """A column of a table. `folds`: what doesn't fit goes on in a further line; else it is cut off."""

    title: str
    align: Literal["left", "right"] = "left"
    style: str = ""
    folds: bool = False
    least: int | None = None
    """Characters that it never gets narrower than."""


ID = Column("ID", style="bold", least=20)


def console() -> Console:
    """Write to standard output: coloured and as wide as the terminal, else plain and 80 characters wide."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table without lines, which is easy to read, to copy from and to grep."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for column in columns:
        made.add_column(
            column.title,
            justify=column.align,
            style=column.style,
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
            min_width=column.least,
        )
    for row in rows:
        made.add_row(*(Text(clean(cell)) for cell in row))
    console().print(made)


def text(value: str, style: str = "") -> Text:
    """Text of a job, in a style."""
    from rich.text import Text

    return Text(clean(value), style)


def clean(value: str) -> str:
    """Text with its control characters made visible: a job's text mustn't get at the reader's terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), value)


def one_line(value: str) -> str:
    """The first line of a text that has any."""
    return next((line.strip() for line in value.splitlines() if line.strip()), "")


def span(duration: timedelta | float) -> str:
    """A duration in its two largest units: `3 min 5 s`; below ten seconds with fractions."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for at, (size, unit) in enumerate(_SIZES[:-1]):
        if whole >= size:
            smaller, small_unit = _SIZES[at + 1]
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def relative(when: datetime | None, now: datetime) -> str:
    """`5 min ago`, `in 3 s`, `now`; `-` for None."""
    if when is None:
        return "-"
    seconds = (when - now).total_seconds()
    if abs(seconds) < 0.0005:
        return "now"
    return f"in {span(seconds)}" if seconds > 0 else f"{span(-seconds)} ago"


def exact(when: datetime) -> str:
    """A time by this machine's zone, to the millisecond."""
    return when.astimezone().isoformat(sep=" ", timespec="milliseconds")


def number(value: int) -> str:
    """A number with commas."""
    return f"{value:,}"


def size(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1_000_000:,.0f} MB" if count else "-"


def call_text(job: Job[Any]) -> str:
    """A job's arguments as Python would write them."""
    try:
        args, kwargs = job.arguments()
    except SerializationError:
        return UNREADABLE
    return ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])
