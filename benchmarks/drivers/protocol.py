"""What every driver speaks with the harness: JSON lines, commands on stdin, events on stdout.

A driver is one process in one of two roles. As `producer` it enqueues what it is told to and says how long
that took; as `worker` it runs jobs until its stdin closes. Standard library only: it is imported inside each
peer's own virtual environment.

Times are integer microseconds: `mono` from CLOCK_MONOTONIC (one clock for all processes of a machine), `wall`
from the epoch.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

Command = dict[str, Any]

# The peers log and print banners to stdout; the events have a descriptor of their own.
_events = os.dup(1)
os.dup2(2, 1)


def mono() -> int:
    return time.monotonic_ns() // 1000


def wall() -> int:
    return time.time_ns() // 1000


def emit(event: str, **fields: Any) -> None:
    os.write(_events, json.dumps({"event": event, **fields}).encode() + b"\n")


_started = False


def mark_start() -> None:
    """First line of every no-op job: tells the harness when the first of them began."""
    global _started
    if not _started:
        _started = True
        emit("first", mono=mono(), cpu=time.process_time())


def mark_sample(given: int) -> None:
    """The job of the latency measurements: tells when it began, and the time it was given as argument."""
    began_mono, began_wall = mono(), wall()
    emit("start", given=given, mono=began_mono, wall=began_wall)


class Driver:
    """What the two kinds of driver have in common: who they are, and how the end of a job is seen."""

    version: str
    """The peer's version, shown in the report."""
    settings: str
    """The settings chosen, in a few words, shown in the report."""
    probe: list[str]
    """A Redis command; its integer reply moves by one for each job whose end has been recorded in Redis."""
    probe_pattern: str = ""
    """For a probe that replies with text: the regular expression whose first group is the integer."""
    has_bulk: bool = False
    """Whether the peer has an API that enqueues many jobs in few round trips."""
    has_delayed: bool = True
    variant: str = ""
    """What `--variant` said, for drivers that come in several."""

    def hello(self) -> None:
        emit(
            "hello",
            version=self.version,
            settings=self.settings,
            probe=self.probe,
            probe_pattern=self.probe_pattern,
            has_bulk=self.has_bulk,
            has_delayed=self.has_delayed,
        )


class AsyncDriver(Driver):
    async def open(self, url: str) -> None: ...

    async def close(self) -> None: ...

    async def enqueue(self) -> None:
        raise NotImplementedError

    async def enqueue_sample(self, given: int) -> None:
        raise NotImplementedError

    async def enqueue_at(self, due_wall: int) -> None:
        """Schedules a sample job whose argument is the time it is due at."""
        raise NotImplementedError

    async def enqueue_bulk(self, count: int, argument: str | None) -> None:
        """By the bulk API where there is one; else the harness only uses it to fill the queue, untimed."""
        await spread(count, 100, lambda: self.enqueue_with(argument))

    async def enqueue_with(self, argument: str | None) -> None:
        """One no-op job with or without an argument, for those that have no bulk API."""
        raise NotImplementedError

    async def round_trip(self) -> None:
        """One bare round trip: only the baseline has it."""
        raise NotImplementedError

    async def work(self, url: str, measure: str) -> None:
        raise NotImplementedError


class SyncDriver(Driver):
    """For the peers whose client isn't async: threads stand for the concurrent tasks."""

    def open(self, url: str) -> None: ...

    def enqueue(self) -> None:
        raise NotImplementedError

    def enqueue_sample(self, given: int) -> None:
        raise NotImplementedError

    def enqueue_at(self, due_wall: int) -> None:
        raise NotImplementedError

    def enqueue_bulk(self, count: int, argument: str | None) -> None:
        for _ in range(count):
            self.enqueue_with(argument)

    def enqueue_with(self, argument: str | None) -> None:
        raise NotImplementedError

    def work(self, url: str, measure: str) -> None:
        raise NotImplementedError


async def spread(count: int, tasks: int, one: Callable[[], Awaitable[object]]) -> None:
    """Calls `one` `count` times from `tasks` tasks, each waiting for its call before the next."""
    left = count

    async def repeat() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await one()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(tasks, count)):
            group.create_task(repeat())


async def _obey(driver: AsyncDriver, command: Command) -> dict[str, Any]:
    count = command.get("count", 0)
    began = mono()
    match command["do"]:
        case "one_by_one":
            for _ in range(count):
                await driver.enqueue()
        case "concurrent":
            await spread(count, command["tasks"], driver.enqueue)
        case "bulk":
            await driver.enqueue_bulk(count, "x" * command["size"] if command["size"] else None)
        case "samples":
            for _ in range(count):
                await driver.enqueue_sample(mono())
                await asyncio.sleep(command["gap"] / 1e6)
        case "round_trips":
            times: list[int] = []
            for _ in range(count):
                left = mono()
                await driver.round_trip()
                times.append(mono() - left)
                if command["gap"]:
                    await asyncio.sleep(command["gap"] / 1e6)
            return {"took": mono() - began, "times": times}
        case "delayed":
            first = wall() + command["lead"]
            for n in range(count):
                await driver.enqueue_at(first + n * command["step"])
        case unknown:
            raise ValueError(f"unknown command {unknown!r}")
    return {"took": mono() - began}


def _obey_sync(driver: SyncDriver, command: Command) -> dict[str, Any]:
    count = command.get("count", 0)
    began = mono()
    match command["do"]:
        case "one_by_one":
            for _ in range(count):
                driver.enqueue()
        case "concurrent":
            tasks = command["tasks"]
            with ThreadPoolExecutor(tasks) as pool:
                for future in [pool.submit(driver.enqueue) for _ in range(count)]:
                    future.result()
        case "bulk":
            driver.enqueue_bulk(count, "x" * command["size"] if command["size"] else None)
        case "samples":
            for _ in range(count):
                driver.enqueue_sample(mono())
                time.sleep(command["gap"] / 1e6)
        case "delayed":
            first = wall() + command["lead"]
            for n in range(count):
                driver.enqueue_at(first + n * command["step"])
        case unknown:
            raise ValueError(f"unknown command {unknown!r}")
    return {"took": mono() - began}


async def _produce(driver: AsyncDriver, url: str) -> None:
    await driver.open(url)
    driver.hello()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        emit("done", **await _obey(driver, json.loads(line)))
    await driver.close()


def _produce_sync(driver: SyncDriver, url: str) -> None:
    driver.open(url)
    driver.hello()
    for line in sys.stdin:
        emit("done", **_obey_sync(driver, json.loads(line)))


def _end_with_the_harness() -> None:
    """A worker must not outlive a harness that was killed: its stdin closes, and it goes at once."""

    def wait() -> None:
        # Not sys.stdin: its lock would be held for ever in a child that a peer forks.
        os.read(0, 1)
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def serve(driver: AsyncDriver | SyncDriver) -> None:
    """The whole of a driver's main program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["producer", "worker"])
    parser.add_argument("--url", required=True)
    parser.add_argument("--loop", choices=["asyncio", "uvloop"], default="asyncio")
    parser.add_argument("--measure", default="drain", help="what the worker is started for")
    parser.add_argument("--variant", default="")
    options = parser.parse_args()
    driver.variant = options.variant
    # Production level: a line of log for each job would be measured as well.
    logging.basicConfig(level=logging.WARNING)
    if options.role == "worker":
        _end_with_the_harness()
    if isinstance(driver, SyncDriver):
        if options.role == "producer":
            _produce_sync(driver, options.url)
        else:
            driver.work(options.url, options.measure)
        return
    if options.loop == "uvloop":
        import uvloop

        new_loop: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    else:
        new_loop = None
    with asyncio.Runner(loop_factory=new_loop) as runner:
        if options.role == "producer":
            runner.run(_produce(driver, options.url))
        else:
            runner.run(driver.work(options.url, options.measure))
