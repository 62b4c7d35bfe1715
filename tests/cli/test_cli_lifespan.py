"""`asyncjobs worker` with a registry whose lifespan fails."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Asyncjobs, Start, run_process

SOURCE = """
from pathlib import Path

from asyncjobs import Registry, current_context

registry = Registry()

@registry.lifespan
async def database():
    if Path("broken").exists():
        raise ConnectionError("no database")
    yield "open"
    if Path("breaks_at_the_end").exists():
        raise ConnectionError("can't be closed")

@registry.job
def look() -> str:
    return current_context().state
"""
APP = "lifespan_app:registry"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "lifespan_app.py").write_text(SOURCE)
    return tmp_path


def test_jobs_see_its_state(start: Start, redis_url: str, app: Path) -> None:
    worker = start("worker", APP, url=redis_url, cwd=app)
    assert run_process("enqueue", APP, "look", "--wait=20", url=redis_url, cwd=app).out == '"open"\n'
    assert worker.stop().code == 0


@pytest.mark.parametrize("options", [(), ("--burst",), ("--processes", "2")], ids=" ".join)
def test_one_that_fails_at_the_start_is_told_and_the_command_fails(
    asyncjobs: Asyncjobs, redis_url: str, app: Path, options: tuple[str, ...]
) -> None:
    (app / "broken").touch()
    told = run_process("worker", APP, *options, url=redis_url, cwd=app)

    assert told.code == 1
    assert "lifespan lifespan_app.database failed, so the worker doesn't start" in told.err
    assert "ConnectionError: no database" in told.err
    assert "starting another" not in told.err
    assert asyncjobs("workers", "--json").json["workers"] == []


def test_one_that_fails_at_the_end_is_logged(start: Start, redis_url: str, app: Path) -> None:
    (app / "breaks_at_the_end").touch()
    worker = start("worker", APP, url=redis_url, cwd=app)
    worker.until_serving()
    told = worker.stop()

    assert told.code == 0
    assert "lifespan lifespan_app.database failed at its end: ConnectionError: can't be closed" in told.err


def test_under_the_supervisor_one_that_fails_later_is_tried_again(
    asyncjobs: Asyncjobs, start: Start, redis_url: str, app: Path
) -> None:
    """What it needs may be away for a while; the worker that is left goes on."""
    supervisor = start("worker", APP, "--processes", 2, url=redis_url, cwd=app)
    supervisor.until(r"worker \S+ serves", times=2)
    (app / "broken").touch()
    pids = {info["pid"] for info in asyncjobs("workers", "--json").json["workers"]}
    os.kill(min(pids), signal.SIGKILL)
    supervisor.until("ended with exit code 5; starting another in ")
    (app / "broken").unlink()
    supervisor.until(r"worker \S+ serves", times=3)

    told = supervisor.stop()
    assert told.code == 0
    assert "no database" in told.err
