"""What is built and installed is what is meant to be."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import asyncjobs
from tests.house.sources import DASHBOARD, LUA, PACKAGE, ROOT, below, files

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("package")]


def _run(*command: str | Path, cwd: Path | None = None, timeout: float = 110) -> str:
    # Not to be found in the source directory: what is installed counts.
    settings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=settings,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", directory, cwd=ROOT)
    (built,) = directory.glob("*.whl")
    return built


def test_the_wheel_has_both_packages_with_their_types_and_scripts(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    assert wheel.name.startswith("asyncjobs_redis-")
    assert {"asyncjobs/py.typed", "asyncjobs_dashboard/py.typed", "asyncjobs_dashboard/__init__.py"} <= names
    assert {f"asyncjobs/storage/redis/lua/{path.relative_to(LUA)}" for path in below(LUA, ".lua")} <= names
    assert {str(path.relative_to(ROOT)) for path in below(PACKAGE, ".py")} <= names
    dashboard = [path for path in files() if path.is_relative_to(DASHBOARD)]
    assert {str(path.relative_to(DASHBOARD.parent)) for path in dashboard} <= names, "templates and all"
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"asyncjobs", "asyncjobs_dashboard"}, "nothing else"
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_works_in_a_fresh_environment(wheel: Path, tmp_path: Path, redis_url: str) -> None:
    """With its declared dependencies alone: no extras, nothing of what tests need."""
    _run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)

    command = tmp_path / "venv" / "bin" / "asyncjobs"
    assert "Background jobs" in _run(command, "--help", cwd=tmp_path)
    assert asyncjobs.__name__ in _run(command, "--version", cwd=tmp_path)
    (tmp_path / "app.py").write_text(
        "from asyncjobs import Registry\n\n"
        "registry = Registry()\n\n\n"
        "@registry.job\n"
        "async def add(a: int, b: int) -> int:\n"
        "    return a + b\n"
    )
    _run(command, "enqueue", "app:registry", "add", "2", "3", "--redis", redis_url, cwd=tmp_path)
    _run(command, "worker", "app:registry", "--burst", "--redis", redis_url, cwd=tmp_path)
    assert '"succeeded": 1' in _run(command, "stats", "--json", "--redis", redis_url, cwd=tmp_path)
