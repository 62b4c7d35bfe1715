"""Tables of medians: on the terminal, and as Markdown."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psutil
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measurements import Figure, Measurement, Plan
from benchmarks.peers import REFERENCE


@dataclass
class Results:
    """All that a run found out."""

    plan: Plan
    rounds: int
    server: str
    figures: dict[str, dict[str, dict[str, list[float]]]] = field(
        default_factory=dict[str, dict[str, dict[str, list[float]]]]
    )
    """Measurement → peer → figure → a value a round."""
    about: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """Peer → its version and settings."""
    notes: list[str] = field(default_factory=list[str])

    def add(self, measurement: str, peer: str, values: dict[str, float]) -> None:
        known = self.figures.setdefault(measurement, {}).setdefault(peer, {})
        for name, value in values.items():
            known.setdefault(name, []).append(value)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def median(self, measurement: str, peer: str, figure: str) -> float | None:
        values = self.figures.get(measurement, {}).get(peer, {}).get(figure)
        return statistics.median(values) if values else None

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": machine(),
            "server": self.server,
            "rounds": self.rounds,
            "plan": vars(self.plan),
            "peers": self.about,
            "figures": self.figures,
            "notes": self.notes,
        }


def machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    cores = f"{psutil.cpu_count()} cores, {memory:.0f} GiB"
    return f"{platform.system()} {platform.machine()}, {cores}, Python {platform.python_version()}"


def _number(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}"


def _cell(figure: Figure, values: list[float] | None) -> str:
    if not values:
        return "–"
    middle = _number(statistics.median(values), figure.decimals)
    if len(values) == 1 or not figure.compared:
        return middle
    return f"{middle} ({_number(min(values), figure.decimals)}–{_number(max(values), figure.decimals)})"


def _ratio(results: Results, measurement: str, peer: str, figure: str) -> str:
    own, other = results.median(measurement, REFERENCE, figure), results.median(measurement, peer, figure)
    if not own or not other:
        return "–"
    return f"{own / other:.2f}"


def tables(results: Results, measurements: list[Measurement]) -> Iterator[tuple[str, list[list[str]]]]:
    """Title and rows of every table that has something in it."""
    for one in measurements:
        found = results.figures.get(one.name, {})
        if found:
            yield one.title, list(_rows(results, one.name, one.figures))
        if found and one.costs:
            yield f"{one.name}: what a job takes", list(_rows(results, one.name, one.costs))


def _rows(results: Results, measurement: str, figures: tuple[Figure, ...]) -> Iterator[list[str]]:
    """The header, then a line a peer: median (min–max), and asyncjobs' figure divided by the peer's."""
    found = results.figures[measurement]
    header = ["peer"]
    for figure in figures:
        header.append(figure.title)
        if figure.compared:
            header.append(f"{REFERENCE} ÷ it")
    yield header
    for peer, values in found.items():
        line = [peer]
        for figure in figures:
            line.append(_cell(figure, values.get(figure.key)))
            if figure.compared:
                line.append(_ratio(results, measurement, peer, figure.key))
        yield line


def print_tables(results: Results, measurements: list[Measurement], console: Console) -> None:
    for title, (header, *lines) in tables(results, measurements):
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold")
        for column in header:
            table.add_column(column, justify="left" if column == "peer" else "right", overflow="fold")
        for line in lines:
            table.add_row(*line)
        console.print(table)
    for note in results.notes:
        console.print(f"• {note}", markup=False)


def markdown(results: Results, measurements: list[Measurement]) -> str:
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    parts = [
        "# Results",
        f"{day}, {machine()}, {results.server}, {results.rounds} rounds, {results.plan.jobs:,} jobs. "
        "Medians (lowest–highest). The column after a figure is what asyncjobs reached, divided by it. "
        "What each figure means: [README](README.md).",
    ]
    for title, (header, *lines) in tables(results, measurements):
        table = ["| " + " | ".join(line) + " |" for line in (header, *lines)]
        table.insert(1, "| --- |" + " ---: |" * (len(header) - 1))
        parts += [f"## {title[0].upper()}{title[1:]}", "\n".join(table)]
    if results.notes:
        parts += ["## Notes", "\n".join(f"* {note}" for note in results.notes)]
    about = [f"| {name} | {one['version']} | {one['settings']} |" for name, one in results.about.items()]
    parts += ["## Who took part", "\n".join(["| peer | version | settings |", "| --- | --- | --- |", *about])]
    return "\n\n".join(parts) + "\n"
