"""The demo's report: tables out of what its jobs returned and what is stored of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from asyncjobs.demo.display import counted, end_of, say
from asyncjobs.demo.jobs import Analysis
from asyncjobs.demo.outcome import Outcome, Recovery, percentile

ROWS = 5
PATH_WIDTH = 34
COMMAND_WIDTH = 23


def report(console: Console, outcome: Outcome, next_steps: Sequence[tuple[str, str]]) -> None:
    """Print it. The outcome has been checked to hold each file exactly once."""
    analyses = [done.analysis for done in outcome.done]
    console.print()
    for table in (
        _files("Largest files", analyses, lambda analysis: analysis.lines),
        _files("Most branching files", analyses, lambda analysis: analysis.branches),
        _latencies(outcome),
    ):
        console.print(table)
        console.print()
    _summary(console, outcome, analyses)
    console.print("\n[bold]Next[/]")
    for command, meaning in next_steps:
        # Not wrapped, so that it can be copied whole.
        console.print(f"  [cyan]{command:{COMMAND_WIDTH}}[/]  # {meaning}", soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    table.add_column(title, width=PATH_WIDTH, no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", min_width=7)
    return table


def _files(title: str, analyses: Sequence[Analysis], size: Callable[[Analysis], int]) -> Table:
    table = _table(title, "lines", "functions", "classes", "branches")
    for analysis in sorted(analyses, key=lambda analysis: (-size(analysis), analysis.path))[:ROWS]:
        numbers = analysis.lines, analysis.functions, analysis.classes, analysis.branches
        table.add_row(end_of(analysis.path, PATH_WIDTH), *(f"{number:,}" for number in numbers))
    return table


def _latencies(outcome: Outcome) -> Table:
    table = _table("From enqueued (or due) to running", "jobs", "p50", "p99")
    for what, values in (
        ("on idle workers, one by one", outcome.idle_ms),
        ("all at once, queueing for a core", outcome.waited_ms),
        ("delayed, past all that queue", outcome.late_ms),
    ):
        if values:
            table.add_row(
                what, f"{len(values):,}", _time(percentile(values, 0.5)), _time(percentile(values, 0.99))
            )
    return table


def _summary(console: Console, outcome: Outcome, analyses: Sequence[Analysis]) -> None:
    total = len(analyses)
    size = sum(analysis.size for analysis in analyses) / 1_000_000
    say(
        console,
        "totals",
        f"{sum(a.lines for a in analyses):,} lines ({size:.1f} MB), "
        f"{sum(a.functions for a in analyses):,} functions, {sum(a.classes for a in analyses):,} classes, "
        f"{sum(a.branches for a in analyses):,} branches",
    )
    unparsable = [analysis for analysis in analyses if analysis.unparsable]
    if unparsable:
        say(console, "", f"{counted(len(unparsable), 'file')} not in valid Python, as the results say")
    say(console, "speed", f"{total:,} jobs in {outcome.seconds:.1f} s: {total / outcome.seconds:,.0f} jobs/s")
    say(
        console,
        "retries",
        f"{outcome.retries} attempts failed, as they were made to, and their jobs ran again",
    )
    if outcome.recovery is not None:
        say(console, "recovery", _recovery(outcome.recovery))
    say(console, "check", f"{total:,} files, {total:,} results: every file exactly once", "green")


def _recovery(recovery: Recovery) -> str:
    text = (
        f"the killed worker had {counted(len(recovery.back_ms), 'job')}, "
        f"which were back in the queue after {_time(max(recovery.back_ms))}"
    )
    if recovery.again_ms:
        first, last = _time(min(recovery.again_ms)), _time(max(recovery.again_ms))
        text += f", and ran again {first if first == last else f'{first} to {last}'} after the kill"
    return text


def _time(ms: float) -> str:
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
