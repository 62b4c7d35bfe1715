"""A worker as a whole process: a supervisor's child (`python -m asyncjobs.worker.process`), or the only one.

The child reads its settings from standard input, and takes the end of that as its parent's death. It tells
its parent the ids that it registers under, by lines on the file descriptor given as its argument.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from asyncjobs.client import Client
from asyncjobs.errors import AppImportError, AsyncjobsError, LifespanError
from asyncjobs.target import load_registry
from asyncjobs.worker.settings import WorkerSettings
from asyncjobs.worker.worker import Worker

logger = logging.getLogger("asyncjobs.worker")

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_NO_APP = 4
EXIT_NO_LIFESPAN = 5
"""Of a supervisor's child: its lifespan has failed."""


def run_here(settings: WorkerSettings) -> int:
    """Run one worker in this process until a signal stops it; its exit code. Raises `AsyncjobsError`."""
    return _run(serve(settings), settings.uvloop)


async def serve(
    settings: WorkerSettings,
    on_register: Callable[[str], None] | None = None,
    watch_parent: bool = False,
) -> int:
    """Be a worker until a signal, or until the queues are empty where that is asked for."""
    registry = load_registry(settings.target)
    client = Client(settings.url, registry=registry, namespace=settings.namespace, shards=settings.shards)
    worker = Worker(
        registry,
        client,
        queues=settings.queues,
        concurrency=settings.concurrency,
        lease=settings.lease,
        grace=settings.grace,
    )
    worker.on_register(on_register)
    if watch_parent:
        _stop_with_parent(worker)
    signals = asyncio.create_task(worker.stop_on_signals(), name="asyncjobs signals")
    try:
        if not settings.burst:
            await worker.run()
            return EXIT_OK
        async with worker:
            ends = [asyncio.create_task(worker.until_empty()), asyncio.create_task(worker.stopping.wait())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if ends[0].done():
                later = ends[0].result()
                logger.info("nothing is left to do now%s", f"; {later} jobs are due later" if later else "")
            for end in ends:
                end.cancel()
        return EXIT_OK
    finally:
        signals.cancel()
        if worker.running:
            failure = sys.exc_info()[1]
            if failure is not None:
                logger.error("the worker ended: %s", failure)
            _end_over(worker.running, EXIT_OK if failure is None else EXIT_FAILED)


def _end_over(running: int, code: int) -> NoReturn:
    """End the process though code of users still runs, which neither cancelling nor waiting would end."""
    logger.error(
        "%d jobs, background processes or lifespans don't stop; leases were given back, and the process ends"
        " over them",
        running,
    )
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _stop_with_parent(worker: Worker) -> None:
    loop = asyncio.get_running_loop()

    def watch() -> None:
        # The raw descriptor: nobody else reads it, and the interpreter's own lock on stdin stays out of it.
        while os.read(0, 1024):
            pass
        if not loop.is_closed():
            loop.call_soon_threadsafe(worker.stop)

    threading.Thread(target=watch, name="asyncjobs parent", daemon=True).start()


def _run(main: Coroutine[Any, Any, int], use_uvloop: bool) -> int:
    if use_uvloop:
        try:
            import uvloop
        except ImportError:
            pass
        else:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(main)
    return asyncio.run(main)


def _settings_line() -> str:
    """One line of standard input, and not a byte more: what follows is only its end."""
    line = bytearray()
    while byte := os.read(0, 1):
        if byte == b"\n":
            break
        line += byte
    return line.decode()


def main() -> int:
    """The supervisor's child."""
    settings = WorkerSettings.from_json(_settings_line())
    report_to = int(sys.argv[1])
    # Processes that jobs run in would keep it open beyond the end of this one.
    os.set_inheritable(report_to, False)
    reports = os.fdopen(report_to, "w", buffering=1)
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(process)d %(levelname)-7s %(message)s"
    )

    def tell(worker: str) -> None:
        try:
            print(worker, file=reports)
        except OSError:
            logger.warning("the supervisor is gone")

    try:
        return _run(serve(settings, tell, watch_parent=True), settings.uvloop)
    except AppImportError as error:
        logger.error("%s", error)
        return EXIT_NO_APP
    except LifespanError as error:
        logger.error("%s", error)
        return EXIT_NO_LIFESPAN
    except AsyncjobsError as error:
        logger.error("%s", error)
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
