"""`python -m benchmarks`: asyncjobs beside its peers, interleaved round by round on one Redis server."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import psutil
from rich.console import Console

from benchmarks.driver import DriverError, DriverProcess
from benchmarks.measurements import MEASUREMENTS, Measurement, UnsupportedError
from benchmarks.measurements.plan import QUICK, Plan
from benchmarks.peers import SMOKE, Peer, choose, install, unavailable
from benchmarks.report import Results, markdown, print_tables
from benchmarks.server import Server, running_server
from benchmarks.targets import print_targets

# Per cent of all CPUs, while nothing of ours runs.
BUSY = 15.0
RESULTS = Path(__file__).parent / "RESULTS.md"


def _split(context: click.Context, option: click.Parameter, value: str) -> list[str]:
    return [word.strip() for word in value.split(",") if word.strip()]


def _ready(peers: list[Peer], results: Results, console: Console) -> tuple[list[Peer], bool]:
    """Those that can run here, their environments made; and whether one failed that should have."""
    ready: list[Peer] = []
    failed = False
    for peer in peers:
        if reason := unavailable(peer):
            results.note(f"{peer.name} was left out: {reason}.")
            console.print(f"[yellow]{peer.name} is left out: {reason}")
            continue
        try:
            install(peer)
        except subprocess.CalledProcessError as error:
            failed = True
            results.note(f"{peer.name} was left out: it couldn't be installed.")
            console.print(f"[red]{peer.name} couldn't be installed:[/]\n{error.stderr}", highlight=False)
            continue
        ready.append(peer)
    return ready, failed


def _introduce(peer: Peer, server: Server, results: Results, console: Console) -> bool:
    """Asks the driver who it is; False if it doesn't start."""
    try:
        with DriverProcess(peer, "producer", server.url, "hello") as producer:
            hello = producer.event("hello", results.plan.patience)
    except DriverError as error:
        results.note(f"{peer.name} was left out: its driver didn't start.")
        console.print(str(error), markup=False, highlight=False)
        return False
    loop = "uvloop; " if peer.loop == "uvloop" else ""
    results.about[peer.name] = {"version": hello["version"], "settings": loop + hello["settings"]}
    return True


def _measure(
    measurement: Measurement, peer: Peer, server: Server, results: Results, console: Console
) -> bool:
    """One peer, once; False if it broke."""
    server.reset()
    try:
        values = measurement.run(peer, server, results.plan)
    except UnsupportedError as error:
        results.note(f"{measurement.name}: {peer.name} has {error}.")
        return True
    except DriverError as error:
        results.note(f"{measurement.name}: {peer.name} failed.")
        console.print(f"  [red]{peer.name} failed:", highlight=False)
        console.print(str(error), markup=False, highlight=False)
        return False
    if values.pop("counted", results.plan.jobs) < results.plan.jobs:
        results.note(
            f"drain: {peer.name} was cut off after {results.plan.limit:g} s; "
            "its rate is that of the jobs it had finished by then."
        )
    results.add(measurement.name, peer.name, values)
    figures = [one for one in measurement.figures if one.key in values]
    shown = ", ".join(f"{one.title} {values[one.key]:,.{one.decimals}f}" for one in figures)
    console.print(f"  {peer.name}: {shown}", markup=False, highlight=False)
    return True


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--only", default="", callback=_split, help="Measurements, comma-separated; all by default.")
@click.option("--peers", "names", default="", callback=_split, help="Peers, comma-separated; all by default.")
@click.option("--rounds", default=3, show_default=True, help="How often each peer is measured.")
@click.option("--jobs", default=20_000, show_default=True, help="Jobs of a drain; other counts follow.")
@click.option("--quick", is_flag=True, help="A smoke run: tiny counts, one round, no peers unless named.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every value to FILE.")
@click.option("--write", is_flag=True, help=f"Write the tables to benchmarks/{RESULTS.name}.")
def main(
    only: list[str],
    names: list[str],
    rounds: int,
    jobs: int,
    quick: bool,
    json_file: Path | None,
    write: bool,
) -> None:
    """Measure asyncjobs beside its peers: same machine, same Redis server, one round after the other.

    The first run makes an environment for each peer below benchmarks/.peers/ (about 500 MB).
    Figures are to be compared within a run, and none of them makes this command fail. It ends with 1 if a
    peer broke.
    """
    known = {one.name: one for one in MEASUREMENTS}
    if wrong := [name for name in only if name not in known]:
        raise click.BadParameter(f"no such measurement: {', '.join(wrong)}. There are: {', '.join(known)}.")
    measurements = [one for one in MEASUREMENTS if not only or one.name in only]
    plan = QUICK if quick else replace(Plan(), jobs=jobs)
    if quick:
        rounds = 1
    chosen = list(SMOKE) if quick and not names else choose(names)
    # Piped into a file it would be folded at 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 150)
    good = True
    with running_server() as server:
        results = Results(plan, rounds, server.version)
        peers, failed = _ready(chosen, results, console)
        good = not failed
        for peer in list(peers):
            if not _introduce(peer, server, results, console):
                peers.remove(peer)
                good = False
        console.print(f"{server.version}, {rounds} rounds, {plan.jobs:,} jobs, peers: {len(peers)}")
        for number in range(1, rounds + 1):
            if (busy := psutil.cpu_percent(interval=1)) > BUSY:
                results.note(
                    f"Other programs took {busy:.0f} % of the CPUs before round {number}: don't trust it."
                )
            for measurement in measurements:
                if number > 1 and not measurement.varies:
                    continue
                console.print(f"round {number}: {measurement.name}", style="bold")
                for peer in peers:
                    if measurement.name in peer.measures:
                        good = _measure(measurement, peer, server, results, console) and good
    print_tables(results, measurements, console)
    print_targets(results, console)
    if json_file:
        json_file.write_text(json.dumps(results.as_json(), indent=1))
    if write:
        RESULTS.write_text(markdown(results, measurements))
        console.print(f"Written to {RESULTS}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
