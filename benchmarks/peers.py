"""Who takes part, and where they live: each peer in a virtual environment of its own, below `.peers/`.

The versions are pinned, so that a run can be repeated; to measure newer ones, change the pins and delete
`.peers/`. Everything that uses redis-py gets hiredis, which is faster for all of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

HOME = Path(__file__).parent / ".peers"
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Peer:
    """One line of the tables."""

    name: str
    driver: str
    """The module below `drivers`, or a .mjs file for Node."""
    loop: str = "asyncio"
    packages: tuple[str, ...] = ()
    """What goes into its environment; none: it runs in ours."""
    variant: str = ""
    measures: frozenset[str] = field(
        default_factory=lambda: frozenset({"drain", "enqueue", "bulk", "latency", "delayed", "memory"})
    )

    @property
    def is_node(self) -> bool:
        return self.driver.endswith(".mjs")

    @property
    def directory(self) -> Path:
        return HOME / self.driver.removesuffix(".mjs")

    def command(self, role: str, url: str, measure: str) -> list[str]:
        if self.is_node:
            script = Path(__file__).parent / "drivers" / self.driver
            program = ["node", str(script), f"--modules={self.directory}"]
        else:
            # -P keeps the drivers' directory off the path: its files have the names of the peers' packages.
            python = str(self.directory / "bin" / "python") if self.packages else sys.executable
            program = [python, "-P", "-m", f"benchmarks.drivers.{self.driver}"]
        options = [f"--url={url}", f"--loop={self.loop}", f"--measure={measure}", f"--variant={self.variant}"]
        return [*program, role, *options]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}


BASELINE = frozenset({"enqueue", "latency"})
DRAMATIQ = ("dramatiq[redis]==2.2.1", "hiredis")

# uvloop for every asyncio peer: taskiq takes it by itself where it is installed, streaQ documents the switch,
# and for the others it is one line. So no peer is held back by its loop, and asyncjobs is shown with both.
PEERS = (
    Peer("asyncjobs", "asyncjobs"),
    Peer("asyncjobs (uvloop)", "asyncjobs", "uvloop"),
    Peer("redis-py EVALSHA", "baseline", measures=BASELINE, variant="evalsha"),
    Peer("redis-py PING", "baseline", measures=BASELINE, variant="ping"),
    Peer("redis-py EVALSHA (uvloop)", "baseline", "uvloop", measures=BASELINE, variant="evalsha"),
    Peer("bullmq", "bullmq.mjs", packages=("bullmq@6.7.0", "ioredis@5")),
    Peer("streaq", "streaq", "uvloop", ("streaq==7.2.0", "uvloop")),
    # typing_extensions: imported by this SAQ, and missing from its requirements.
    Peer("saq", "saq", "uvloop", ("saq[redis,hiredis]==0.26.4", "typing_extensions", "uvloop")),
    Peer("arq", "arq", "uvloop", ("arq==0.28.0", "hiredis", "uvloop")),
    Peer("taskiq", "taskiq", "uvloop", ("taskiq==0.13.0", "taskiq-redis==1.2.4", "hiredis", "uvloop")),
    Peer("docket", "docket", "uvloop", ("pydocket==0.27.0", "hiredis", "uvloop")),
    Peer("dramatiq", "dramatiq", packages=DRAMATIQ),
    # The prefetch is the worker's, and only under load.
    Peer("dramatiq (prefetch 100)", "dramatiq", "asyncio", DRAMATIQ, "prefetch", frozenset({"drain"})),
    Peer("celery", "celery", packages=("celery[redis]==5.7.0", "hiredis")),
    Peer("rq", "rq", packages=("rq==3.0.0", "hiredis")),
)
REFERENCE = "asyncjobs"
# Enough to see that the harness and our own driver work, without installing anything.
SMOKE = tuple(peer for peer in PEERS if peer.name in (REFERENCE, "redis-py EVALSHA"))


def choose(names: list[str]) -> list[Peer]:
    """The peers whose name or driver is given; all of them if none is.

    Raises:
        SystemExit: a name that no peer has.
    """
    if not names:
        return list(PEERS)
    chosen: list[Peer] = []
    for name in names:
        found = [peer for peer in PEERS if name in (peer.name, peer.driver.removesuffix(".mjs"))]
        if not found:
            known = ", ".join(dict.fromkeys(peer.driver.removesuffix(".mjs") for peer in PEERS))
            raise SystemExit(f"No peer is called {name!r}. There are: {known}.")
        chosen += [peer for peer in found if peer not in chosen]
    return chosen


def unavailable(peer: Peer) -> str:
    """Why this peer can't run here, or an empty string."""
    if peer.is_node and not (shutil.which("npm") and shutil.which("node")):
        return "needs Node: npm isn't on the PATH"
    if not peer.packages and peer.loop == "uvloop" and find_spec("uvloop") is None:
        return "needs uvloop, which isn't installed"
    if peer.driver == "asyncjobs":
        code = "from asyncjobs import Client, Registry, Worker"
        tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
        if tried.returncode:
            return tried.stderr.strip().splitlines()[-1]
    return ""


def install(peer: Peer) -> None:
    """Makes the peer's environment, unless it is there already with the same packages.

    Raises:
        subprocess.CalledProcessError: pip or npm failed; their output is in it.
    """
    if not peer.packages:
        return
    stamp = peer.directory / "packages.json"
    wanted = json.dumps(peer.packages)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(peer.directory, ignore_errors=True)
    peer.directory.mkdir(parents=True)
    if peer.is_node:
        (peer.directory / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--no-audit", "--no-fund", *peer.packages]
    else:
        venv.create(peer.directory, with_pip=True, symlinks=True)
        python = str(peer.directory / "bin" / "python")
        command = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *peer.packages]
    subprocess.run(command, cwd=peer.directory, check=True, capture_output=True, text=True)
    stamp.write_text(wanted)
