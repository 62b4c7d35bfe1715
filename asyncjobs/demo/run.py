"""The demo from its first line to its last: it starts everything, reports, and sees that everything ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, TypeVar

from asyncjobs.client import Client
from asyncjobs.demo import dashboard as dashboards
from asyncjobs.demo.course import Course, DemoError, clean
from asyncjobs.demo.display import Display
from asyncjobs.demo.interruption import Interrupted, signals_heeded
from asyncjobs.demo.jobs import LIBRARY, QUEUES, registry
from asyncjobs.demo.plan import Task, sources
from asyncjobs.demo.report import report
from asyncjobs.demo.workers import WorkerProcesses
from asyncjobs.embedded import EmbeddedServer
from asyncjobs.errors import OptionError
from asyncjobs.storage.redis.connection import without_password
from asyncjobs.worker.settings import WorkerSettings

T = TypeVar("T")

NAMESPACE = "asyncjobs-demo"
"""Its own, so that in a Redis that is in use nothing else is touched."""
CONCURRENCY = 2
"""Jobs that a worker runs at once, each in a process of its own."""
PATIENCE = 3.0
"""Seconds that the server has to answer at first."""
GRACE = 1.0
"""Seconds that running jobs have when the demo is interrupted."""


def run(*, kill: bool, processes: int, url: str | None, dashboard: bool | None) -> int:
    """See `asyncjobs.demo.run_demo`."""
    if processes < 1:
        raise OptionError(f"processes must be 1 or more, not {processes}")
    display = Display()
    is_served = dashboards.wanted(dashboard, is_terminal=display.console.is_terminal)
    with signals_heeded() as interrupted:
        try:
            with ExitStack() as started:
                tasks = [Task.of(path) for path in sources(LIBRARY)]
                if not tasks:
                    raise DemoError(f"there are no .py files in {LIBRARY}, this Python's standard library")
                display.beginning(tasks, LIBRARY)
                address = url or started.enter_context(EmbeddedServer()).url
                client = Client(address, namespace=NAMESPACE, patience=PATIENCE)
                asyncio.run(_unless_ended(clean(client), interrupted))
                settings = WorkerSettings(
                    target="asyncjobs.demo.jobs:registry",
                    url=address,
                    namespace=NAMESPACE,
                    queues=QUEUES,
                    concurrency=CONCURRENCY,
                    grace=GRACE,
                    log_level="ERROR",
                )
                started.enter_context(display.log())
                workers = started.enter_context(WorkerProcesses(settings, processes))
                looking = Client(address, registry=registry, namespace=NAMESPACE)
                seen_at = started.enter_context(dashboards.served(looking)) if is_served else None
                display.started(address, processes, CONCURRENCY, embedded=url is None, dashboard=seen_at)
                if seen_at is not None:
                    dashboards.open_in_browser(seen_at)
                client = Client(address, registry=registry, namespace=NAMESPACE)
                course = Course(client, tasks, workers, processes, display)
                outcome = asyncio.run(_unless_ended(course.run(kill=kill), interrupted, workers.ended))
                report(display.console, outcome, next_steps(kill=kill, url=url))
                if interrupted.done():
                    raise Interrupted(interrupted.result())
                if seen_at is not None:
                    display.staying(seen_at)
                    interrupted.result()
        except Interrupted as interruption:
            display.interrupted(interruption)
            return interruption.exit_code
    return 0


def next_steps(*, kill: bool, url: str | None) -> list[tuple[str, str]]:
    """Commands worth trying after the demo, and what they do."""
    steps = [("asyncjobs worker --help", "run jobs of your own")]
    if not kill:
        steps.insert(0, ("asyncjobs demo --kill", "kill a worker with -9 in the middle of it"))
    if url is not None:
        command = f"asyncjobs stats --namespace {NAMESPACE} --redis {without_password(url)}"
        steps.insert(0, (command, "what is stored of it"))
    return steps


async def _unless_ended(work: Coroutine[Any, Any, T], interrupted: Future[int], *workers: Future[int]) -> T:
    """Do the work, or raise why it can't be done."""
    task = asyncio.create_task(work)
    ends: list[asyncio.Future[Any]] = [asyncio.wrap_future(end) for end in (interrupted, *workers)]
    try:
        await asyncio.wait([task, *ends], return_when=asyncio.FIRST_COMPLETED)
        if interrupted.done():
            raise Interrupted(interrupted.result())
        if task.done():
            return task.result()
        raise DemoError(
            f"the workers have ended by themselves, with exit code {ends[1].result()}: see above why"
        )
    finally:
        # Else they would be told of later ends, when this loop is closed.
        for end in ends:
            end.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
