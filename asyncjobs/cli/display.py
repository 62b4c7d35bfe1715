"""What people read: tables, times, and the text of jobs, from which a terminal must come to no harm."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from asyncjobs.cli.plaintext import clean
from asyncjobs.errors import SerializationError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from asyncjobs.job import Job

STYLES = {
    "enqueued": "cyan",
    "throttled": "cyan",
    "scheduled": "blue",
    "awaiting": "blue",
    "open": "yellow",
    "processing": "yellow",
    "retrying": "magenta",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "bright_black",
}
"""How the states of jobs and batches look."""

GAP = "  "
NARROWEST = 12
"""Characters that a column which can be made narrower keeps."""
UNREADABLE = "(of types not known here: give --app app:registry)"

_SIZES = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    align: Literal["left", "right"] = "left"
    style: str = ""
    folds: bool = False
    """In a narrow terminal its cells go on in further lines."""
    rest: bool = False
    """It gets the width that the others leave, and its cells are cut off there."""


ID = Column("ID", style="bold")


def console() -> Console:
    """Write to standard output: coloured and as wide as the terminal, else plain and 80 characters wide."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table without lines, which is easy to read, to copy from and to grep."""
    from rich.cells import cell_len
    from rich.table import Table

    out = console()
    cells = [[text(cell) for cell in row] for row in rows]
    widest = [
        max(cell_len(title) for title in (column.title, *(row[at].plain for row in cells)))
        for at, column in enumerate(columns)
    ]
    made = Table(box=None, pad_edge=False, padding=(0, len(GAP), 0, 0), header_style="bold dim")
    for column, width in zip(columns, _fit(columns, widest, out.width), strict=True):
        made.add_column(
            column.title,
            justify=column.align,
            style=column.style,
            no_wrap=not column.folds,
            overflow="fold" if column.folds else "ellipsis",
            width=width,
        )
    for row in cells:
        made.add_row(*row)
    print_table(made, out)


def print_table(what: Table, out: Console) -> None:
    """Print a table; in a file or pipe without the spaces that fill its lines up."""
    if out.is_terminal:
        out.print(what)
        return
    with out.capture() as captured:
        out.print(what)
    for line in captured.get().splitlines():
        print(line.rstrip())


def _fit(columns: Sequence[Column], widest: list[int], available: int) -> list[int]:
    """The columns' widths: first the rest is cut down, then the widest of those that fold."""
    widths = list(widest)
    least = [
        min(width, NARROWEST) if column.rest or column.folds else width
        for column, width in zip(columns, widest, strict=True)
    ]
    # Rich counts a gap after the last column, too.
    excess = sum(widths) + len(GAP) * len(widths) - available
    for wanted in ("rest", "folds"):
        while excess > 0:
            at = max(
                range(len(widths)), key=lambda at: (widths[at] - least[at]) * getattr(columns[at], wanted)
            )
            spare = (widths[at] - least[at]) * getattr(columns[at], wanted)
            if not spare:
                break
            step = min(spare, excess) if wanted == "rest" else 1
            widths[at] -= step
            excess -= step
    return widths


def text(value: str, style: str = "") -> Text:
    """Text of a job, in a style."""
    from rich.text import Text

    return Text(clean(value), style)


def span(duration: timedelta | float, *, brief: bool = False) -> str:
    """A duration: `3 min 5 s`, or `3 min` if brief; below ten seconds with fractions."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 0.9995:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for at, (size, unit) in enumerate(_SIZES[:-1]):
        if whole >= size:
            smaller, small_unit = _SIZES[at + 1]
            rest = 0 if brief else whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def relative(when: datetime | None, now: datetime, *, brief: bool = False) -> str:
    """`5 min 3 s ago`, `in 3 s`, `now`; `-` for None."""
    if when is None:
        return "-"
    seconds = (when - now).total_seconds()
    if abs(seconds) < 0.0005:
        return "now"
    return f"in {span(seconds, brief=brief)}" if seconds > 0 else f"{span(-seconds, brief=brief)} ago"


def exact(when: datetime) -> str:
    """A time by this machine's zone, to the millisecond."""
    return when.astimezone().isoformat(sep=" ", timespec="milliseconds")


def number(value: int) -> str:
    """A number with commas."""
    return f"{value:,}"


def size(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1_000_000:,.0f} MB" if count else "-"


def bar(fraction: float, width: int = 10) -> str:
    """How far something is: `####------  40%`. Full only when it is whole."""
    return f"{'#' * int(fraction * width):-<{width}} {int(fraction * 100):>3}%"


def call_text(job: Job[Any]) -> str:
    """A job's arguments as Python would write them."""
    try:
        args, kwargs = job.arguments(masked=True)
    except SerializationError:
        return UNREADABLE
    return ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])
