"""The demo's report: tables out of what its jobs returned and what is stored of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from asyncjobs.demo.display import labelled
from asyncjobs.demo.jobs import Analysis
from asyncjobs.demo.outcome import Outcome, Recovery, percentile

ROWS = 5
PATH_WIDTH = 34


def report(console: Console, outcome: Outcome, next_steps: Sequence[tuple[str, str]]) -> None:
    """Print it. The outcome has been checked to hold each file exactly once."""
    analyses = [done.analysis for done in outcome.done]
    console.print(_files("Largest files", analyses, lambda analysis: analysis.lines))
    console.print(_files("Most branching files", analyses, lambda analysis: analysis.branches))
    console.print(_latencies(outcome))
    console.print(_summary(outcome, analyses))
    console.print("\n[bold]Next[/]")
    steps = Table.grid(padding=(0, 3, 0, 0))
    for command, meaning in next_steps:
        steps.add_row(f"  [bold cyan]{command}[/]", meaning)
    console.print(steps)


def _table(title: str, *columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column(title, width=PATH_WIDTH, no_wrap=True, overflow="ellipsis")
    for column in columns:
        table.add_column(column, justify="right", min_width=7)
    return table


def _files(title: str, analyses: Sequence[Analysis], size: Callable[[Analysis], int]) -> Table:
    table = _table(title, "lines", "functions", "classes", "branches")
    for analysis in sorted(analyses, key=lambda analysis: (-size(analysis), analysis.path))[:ROWS]:
        numbers = analysis.lines, analysis.functions, analysis.classes, analysis.branches
        table.add_row(analysis.path, *(f"{number:,}" for number in numbers))
    return table


def _latencies(outcome: Outcome) -> Table:
    table = _table("From enqueued (or due) to running", "jobs", "p50", "p99")
    for what, values in (
        ("on idle workers, one by one", outcome.idle_ms),
        ("all at once, queueing for a core", outcome.waited_ms),
        ("delayed, past all that queue", outcome.late_ms),
    ):
        if values:
            table.add_row(what, f"{len(values):,}", _time(percentile(values, 0.5)), _time(percentile(values, 0.99)))
    return table


def _summary(outcome: Outcome, analyses: Sequence[Analysis]) -> Table:
    grid = labelled()
    total = len(analyses)
    size = sum(analysis.size for analysis in analyses) / 1_000_000
    grid.add_row(
        "sum",
        f"{sum(a.lines for a in analyses):,} lines ({size:.1f} MB), {sum(a.functions for a in analyses):,} functions, "
        f"{sum(a.classes for a in analyses):,} classes, {sum(a.branches for a in analyses):,} branches",
    )
    unparsable = [analysis for analysis in analyses if analysis.unparsable]
    if unparsable:
        grid.add_row("", f"{len(unparsable)} files can't be parsed, and say why: a result like others")
    grid.add_row("speed", f"{total:,} jobs in {outcome.seconds:.1f} s, {total / outcome.seconds:,.0f} jobs/s")
    grid.add_row("retries", f"{outcome.retries} attempts failed, and each was followed by another")
    if outcome.recovery is not None:
        grid.add_row("kill -9", _recovery(outcome.recovery))
    grid.add_row("check", f"[bold green]{total:,} files, {total:,} results: every file exactly once[/]")
    return grid


def _recovery(recovery: Recovery) -> str:
    count = len(recovery.back_ms)
    text = (
        f"worker process {recovery.pid} died with {count} jobs; they were back in their queues after "
        f"{_time(max(recovery.back_ms))}"
    )
    if recovery.again_ms:
        text += f", and ran again {_time(min(recovery.again_ms))} to {_time(max(recovery.again_ms))} after the kill"
    return text


def _time(ms: float) -> str:
    if ms < 10:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"
