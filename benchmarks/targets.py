"""What asyncjobs aims at, as ratios to what was measured beside it. For reading; nothing fails by it."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.peers import REFERENCE
from benchmarks.report import Results


@dataclass(frozen=True)
class Target:
    """asyncjobs' figure, divided by the peer's if one is named, is to be at least, or at most, so much."""

    measurement: str
    figure: str
    bound: float
    peers: tuple[str, ...] = ()
    at_most: bool = False
    best_of: bool = False
    """Compare with the highest of the peers instead of each of them."""


LOOPS = {"asyncio": REFERENCE, "uvloop": f"{REFERENCE} (uvloop)"}
ASYNCIO_PEERS = ("streaq", "saq", "arq", "taskiq", "docket")
PYTHON_PEERS = (*ASYNCIO_PEERS, "dramatiq", "celery", "rq")

TARGETS = (
    Target("drain", "rate", 10, ("saq", "streaq")),
    Target("drain", "rate", 5, ("taskiq", "dramatiq", "dramatiq (prefetch 100)")),
    Target("drain", "rate", 1, ("bullmq",)),
    Target("enqueue", "one_by_one", 1, ASYNCIO_PEERS, best_of=True),
    Target("enqueue", "one_by_one", 0.8, ("redis-py EVALSHA",)),
    Target("enqueue", "concurrent", 3, PYTHON_PEERS, best_of=True),
    Target("bulk", "bulk", 4, ("streaq",)),
    Target("latency", "p50", 2.5, ("redis-py EVALSHA",), at_most=True),
    Target("latency", "p99", 5, at_most=True),
    Target("delayed", "p50", 3, at_most=True),
    Target("delayed", "p99", 8, at_most=True),
    Target("delayed", "early", 0, at_most=True),
    Target("memory", "queued", 220, at_most=True),
    Target("memory", "finished", 400, at_most=True),
)


def _lines(results: Results, target: Target) -> list[tuple[str, dict[str, float]]]:
    """The figure's name, and the values reached on each of the loops that were measured."""
    own = {
        loop: value
        for loop, name in LOOPS.items()
        if (value := results.median(target.measurement, name, target.figure)) is not None
    }
    if not own:
        return []
    if not target.peers:
        return [(f"{target.measurement}: {target.figure}", own)]
    others = {
        peer: value
        for peer in target.peers
        if (value := results.median(target.measurement, peer, target.figure))
    }
    if target.best_of and others:
        best = max(others, key=lambda peer: others[peer])
        others = {best: others[best]}
    lines: list[tuple[str, dict[str, float]]] = []
    for peer, value in others.items():
        ratios: dict[str, float] = {}
        for loop, one in own.items():
            # The bare client is compared on the same loop.
            twin = results.median(target.measurement, f"{peer} ({loop})", target.figure)
            ratios[loop] = one / (twin or value)
        lines.append((f"{target.measurement}: {target.figure} ÷ {peer}'s", ratios))
    return lines


def _verdict(target: Target, value: float | None) -> str:
    if value is None:
        return "–"
    reached = value <= target.bound if target.at_most else value >= target.bound
    return f"{value:,.2f} " + ("[green]reached[/]" if reached else "[yellow]missed[/] ")


def print_targets(results: Results, console: Console) -> None:
    table = Table(title=f"What {REFERENCE} aims at", box=box.SIMPLE_HEAD, title_justify="left")
    for title in ("figure", "aim", *LOOPS):
        table.add_column(title, justify="left" if title == "figure" else "right")
    for target in TARGETS:
        for name, values in _lines(results, target):
            aim = f"{'≤' if target.at_most else '≥'} {target.bound:g}"
            table.add_row(name, aim, *(_verdict(target, values.get(loop)) for loop in LOOPS))
    if table.row_count:
        console.print(table)
