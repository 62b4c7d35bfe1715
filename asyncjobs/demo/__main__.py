"""`python -m asyncjobs.demo [--kill]`."""

from __future__ import annotations

import argparse
import sys

from asyncjobs.demo import run_demo
from asyncjobs.errors import AsyncjobsError


def main() -> int:
    """Run the demo as the command line says; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m asyncjobs.demo", description="Analyse Python's standard library, one job a file."
    )
    parser.add_argument("--kill", action="store_true", help="kill a worker with -9 in the middle of it")
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="worker processes (default: 2)")
    parser.add_argument("--redis", metavar="URL", help="a server to use (default: one started for this run)")
    options = parser.parse_args()
    try:
        return run_demo(kill=options.kill, processes=options.processes, url=options.redis)
    except KeyboardInterrupt:
        # Before the demo itself heeds signals.
        return 130
    except AsyncjobsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
