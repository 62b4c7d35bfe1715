"""Workers in processes of their own, and the ledger that their jobs write."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.faults.ledger import Ledger
from tests.faults.worker_process import WorkerProcess

COUNTED = "tests.faults.apps.counted"
SEED_VARIABLE = "ASYNCJOBS_TEST_SEED"


class ProcessFactory(Protocol):
    def __call__(self, *arguments: str) -> WorkerProcess: ...


class WorkerFactory(Protocol):
    def __call__(
        self, url: str, *, app: str = COUNTED, wait: bool = True, **options: Any
    ) -> WorkerProcess: ...


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def start_process(tmp_path: Path, ledger: Ledger) -> Iterator[ProcessFactory]:
    """Start processes that end with the test: `start_process("-m", "asyncjobs", "worker", …)`."""
    started: list[WorkerProcess] = []

    def start(*arguments: str) -> WorkerProcess:
        started.append(WorkerProcess([*arguments], tmp_path / f"worker{len(started)}.log", ledger))
        return started[-1]

    yield start
    for worker in started:
        worker.close()
    for worker in started:
        # Shown with a test that failed.
        print(f"--- log of {worker.pid} ---\n{worker.log[-20_000:]}")


@pytest.fixture
def start_worker(start_process: ProcessFactory) -> WorkerFactory:
    """Start workers that end with the test: `start_worker(url, concurrency=10, lease=3)`."""

    def start(url: str, *, app: str = COUNTED, wait: bool = True, **options: Any) -> WorkerProcess:
        worker = start_process("-m", "tests.faults.apps.worker", app, url, json.dumps(options))
        if wait:
            worker.wait_until_serving()
        return worker

    return start


@pytest.fixture
def moments() -> random.Random:
    """Chance for the moments of faults; its seed is shown with a test that failed, and can be given again."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1 << 32))
    print(f"{SEED_VARIABLE}={seed}")
    return random.Random(seed)
