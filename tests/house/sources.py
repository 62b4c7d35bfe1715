"""The repository's own files, as git knows them (or as they lie there, in a copy without git)."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "asyncjobs"
DASHBOARD = ROOT / "dashboard" / "asyncjobs_dashboard"
LUA = PACKAGE / "storage" / "redis" / "lua"

_MADE = {".venv", "dist", "build", "node_modules", "__pycache__", ".peers", ".git"}


@cache
def files() -> tuple[Path, ...]:
    """Every file that belongs to the repository, those not yet added included."""
    told = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if told.returncode == 0:
        found = [ROOT / name for name in told.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not _MADE & set(path.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in found if path.is_file()))


def below(directory: Path, suffix: str) -> list[Path]:
    """The files with a suffix below a directory."""
    return [path for path in files() if path.suffix == suffix and path.is_relative_to(directory)]


def name(path: Path) -> str:
    """As it is shown in messages and test ids."""
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    """The dotted name of a module of one of the packages."""
    root = DASHBOARD.parent if path.is_relative_to(DASHBOARD) else ROOT
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)
