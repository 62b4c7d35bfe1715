"""Every example, started by the one command at its top."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.examples.running import EXAMPLES, RunningService, environment
from tests.waiting import eventually_sync

ServiceStarter = Callable[[str, str | None], RunningService]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[ServiceStarter]:
    running: list[RunningService] = []

    def start(name: str, redis_url: str | None) -> RunningService:
        service = RunningService(name, redis_url, tmp_path / "example.log")
        running.append(service)
        return service.__enter__()

    yield start
    for service in running:
        service.__exit__(None, None, None)


@pytest.fixture(params=["own server", "embedded server"])
def url(request: pytest.FixtureRequest, redis_url: str) -> str | None:
    return redis_url if request.param == "own server" else None


def test_the_readmes_example_says_hello() -> None:
    done = _run("readme.py", None)

    assert (done.returncode, done.stdout, done.stderr) == (0, "HELLO, ADA!\n", "")


def _run(example: str, url: str | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / example)],
        env=environment(url),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_workflow_goes_through_to_its_end(url: str | None) -> None:
    done = _run("workflow.py", url)

    assert (done.returncode, done.stderr) == (0, "")
    said, everywhere, here, batch = done.stdout.splitlines()
    assert said == "All files are counted."
    assert len(everywhere.split(", ")) == len(here.split(", ")) == 3
    assert "batch" in here
    files = len(list(EXAMPLES.glob("*.py")))
    assert batch == f"batch 'count words': succeeded, {files + 1} of {files + 1} jobs"


def test_the_background_process_has_a_successor(url: str | None) -> None:
    done = _run("background_process.py", url)

    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "the first one collects: True\nthe second one took over: True\nits token is higher: True\n",
        "",
    )


def test_middleware_and_lifespan_around_orders(url: str | None) -> None:
    done = _run("middleware.py", url)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "the last one's priority: 10",
        "its log: took",
        "refused: we don't sell poison",
        "orders: [('ada', 'gears'), ('grace', 'moths'), ('ada', 'punch cards')]",
    ]


def test_the_limits_are_kept(url: str | None) -> None:
    done = _run("limits.py", url)

    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "calls of the big tenant that still wait: True\n"
        "calls at once: 2 of the big tenant, 2 of the small one\n"
        "booked: 100\n"
        "saved: Dear Ada; replaced: 2\n",
        "",
    )


def test_the_recurring_jobs_run_again_and_again(url: str | None) -> None:
    done = _run("recurring.py", url)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "feeding the cat" in lines
    # The last one is fired, but needn't have run.
    assert lines.count("tick") >= 2
    assert any(line.startswith("clock: * * * * * * (Europe/Berlin), last job ") for line in lines)
    assert any(line.startswith("cat: every 0:00:02, last job ") for line in lines)


def test_the_aiohttp_service_shows_a_job_from_its_order_to_its_result(
    start: ServiceStarter, url: str | None
) -> None:
    service = start("aiohttp_service.py", url)

    ordered = service.http.post("/calendars/2026")

    assert ordered.status_code == 202
    assert ordered.json()["state"] == "enqueued"
    seen: list[tuple[str, float | None]] = []

    def succeeded() -> dict[str, Any]:
        answer: dict[str, Any] = service.http.get(f"/jobs/{ordered.json()['job']}").json()
        seen.append((answer["state"], answer["progress"]))
        return answer if answer["state"] == "succeeded" else {}

    answer = eventually_sync(succeeded, 30)
    assert answer["result"]["February"] == 4
    assert sum(answer["result"].values()) == 52
    assert any(state == "processing" and 0 < (progress or 0) < 1 for state, progress in seen), seen
    assert service.http.get("/jobs/nobody").status_code == 404
    assert service.stop() == 0
    assert re.search(r"worker \S+ has stopped", service.log)


def test_the_aiohttp_service_cancels_a_job(start: ServiceStarter, redis_url: str) -> None:
    service = start("aiohttp_service.py", redis_url)
    job = service.http.post("/calendars/2027").json()["job"]

    assert service.http.delete(f"/jobs/{job}").json() == {"cancelled": True}

    eventually_sync(lambda: service.http.get(f"/jobs/{job}").json()["state"] == "cancelled", 15)
    assert service.stop() == 0


def test_the_worker_in_a_fastapi_application_runs_what_it_enqueues(
    start: ServiceStarter, url: str | None
) -> None:
    service = start("fastapi_worker.py", url)

    ordered = service.http.post("/letters", params={"to": "Ada"})

    assert ordered.status_code == 202
    job = ordered.json()["job"]

    def letter() -> dict[str, Any]:
        answer: dict[str, Any] = service.http.get(f"/letters/{job}").json()
        return answer if answer["state"] == "succeeded" else {}

    assert eventually_sync(letter, 15) == {
        "job": job,
        "state": "succeeded",
        "text": "Dear Ada, all is well here.",
    }
    assert service.http.get("/letters/nobody").status_code == 404
    # uvicorn ends by the very signal that it was stopped with.
    assert service.stop() == -signal.SIGTERM
    assert "Application shutdown complete" in service.log


# The README states its own example's.
@pytest.mark.parametrize(
    "path", sorted({*EXAMPLES.glob("*.py")} - {EXAMPLES / "readme.py"}), ids=lambda path: path.name
)
def test_an_example_states_its_command(path: Path) -> None:
    assert f"\n    python examples/{path.name}\n" in path.read_text()
