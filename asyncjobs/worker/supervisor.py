"""Several workers in child processes.

1. Starts each child, and starts it again if it dies, after a pause that grows while it keeps dying young. It
   gives up if the application can't be imported, or its lifespan fails before any child has served.
2. Has a dead child's jobs taken back at once, without waiting for its lease to run out.
3. Passes on SIGINT and SIGTERM; children are in sessions of their own, so that Ctrl-C in a terminal reaches
   them once, through here.
4. With `reload`, starts all children anew when a source file changes.

It runs no event loop and imports nothing of the application: whatever that does, the supervisor stays up.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from asyncjobs.client import Client
from asyncjobs.errors import AsyncjobsError, OptionError
from asyncjobs.worker.maintenance import reap_once
from asyncjobs.worker.process import EXIT_FAILED, EXIT_NO_APP, EXIT_NO_LIFESPAN, EXIT_OK, run_here
from asyncjobs.worker.settings import WorkerSettings

logger = logging.getLogger("asyncjobs.supervisor")

YOUNG = 10.0
"""Seconds of life under which a death makes the pause before the next start longer."""
LONGEST_PAUSE = 30.0
EXTRA_GRACE = 10.0
"""Seconds beyond the children's own grace after which they are killed."""
LAST_WORDS = 0.2
"""Seconds that a dead child's last report may take to arrive."""


def run_workers(settings: WorkerSettings, *, processes: int = 1, reload: Sequence[Path] = ()) -> int:
    """Run workers until they are stopped; the exit code. One without `reload` runs in this very process."""
    if processes < 1:
        raise OptionError(f"processes must be 1 or more, not {processes}")
    if processes == 1 and not reload:
        return run_here(settings)
    return Supervisor(settings, processes, reload).run()


class Child:
    """A worker process, and the threads that hear from it."""

    def __init__(
        self, settings: WorkerSettings, number: int, events: queue.SimpleQueue[tuple[str, object]]
    ) -> None:
        self.number = number
        self.workers: list[str] = []
        """The ids that it registered under."""
        self.began = time.monotonic()
        self.reloading = False
        self.taken_back = False
        """It died and its jobs were taken back; another one is about to start in its place."""
        read, write = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asyncjobs.worker.process", str(write)],
            stdin=subprocess.PIPE,
            pass_fds=[write],
            start_new_session=True,
        )
        os.close(write)
        assert self.process.stdin is not None
        # Not closed until the child is to end: its end tells the child that the parent is gone.
        # A child that has died already is heard of like any other.
        with suppress(BrokenPipeError):
            self.process.stdin.write(settings.to_json().encode() + b"\n")
            self.process.stdin.flush()
        self._events = events
        self._hearing = threading.Thread(target=self._hear, args=(read,), daemon=True)
        self._hearing.start()
        threading.Thread(target=self._await_end, daemon=True).start()

    def _hear(self, read: int) -> None:
        with os.fdopen(read) as reports:
            for line in reports:
                self.workers.append(line.strip())

    def _await_end(self) -> None:
        self.process.wait()
        # A process that a job has forked may hold the pipe open: what the child said has been heard by then.
        self._hearing.join(LAST_WORDS)
        self._events.put(("exit", self))

    def signal(self, number: int) -> None:
        """Send it a signal, if it is alive."""
        if self.process.poll() is None:
            self.process.send_signal(number)


class Supervisor:
    """Keeps `processes` children alive: `run` until a signal, or `supervise` in any thread until `stop`."""

    def __init__(self, settings: WorkerSettings, processes: int, reload: Sequence[Path] = ()) -> None:
        self._settings = settings
        self._processes = processes
        self._reload = list(reload)
        self._events: queue.SimpleQueue[tuple[str, object]] = queue.SimpleQueue()
        self._children: dict[int, Child] = {}
        self._young_deaths: dict[int, int] = {}
        self._stopping = False
        self._served = False
        """One of its children has come so far as to register."""
        self._exit_code = EXIT_OK

    def run(self) -> int:
        """`supervise`, heeding SIGINT and SIGTERM: only in a main thread."""
        with self._signals():
            return self.supervise()

    def supervise(self) -> int:
        """Run until told to stop, or until every child has ended by itself; the exit code."""
        with self._watching():
            try:
                for number in range(self._processes):
                    self._start(number)
                while self._children:
                    kind, value = self._events.get()
                    if kind == "exit":
                        assert isinstance(value, Child)
                        self._exited(value)
                    elif kind == "signal":
                        assert isinstance(value, int)
                        self._stop(value)
                    elif kind == "start":
                        assert isinstance(value, int)
                        self._start(value)
                    elif kind == "changed":
                        self._start_anew(str(value))
            finally:
                self._kill_all()
        return self._exit_code

    def stop(self, *, now: bool = False) -> None:
        """Have the children stop, or with `now` kill them. From any thread; it doesn't wait for their end."""
        self._events.put(("signal", signal.SIGKILL if now else signal.SIGTERM))

    @property
    def pids(self) -> list[int]:
        """The process ids of the children that are alive."""
        return [child.process.pid for child in list(self._children.values()) if child.process.poll() is None]

    def _start(self, number: int) -> None:
        if self._stopping:
            self._children.pop(number, None)
            return
        self._children[number] = Child(self._settings, number, self._events)

    def _exited(self, child: Child) -> None:
        code = child.process.returncode
        self._served |= any(known.workers for known in self._children.values())
        if self._children.get(child.number) is not child:
            return
        if code == EXIT_OK or self._stopping:
            if code != EXIT_OK:
                self._take_back(child)
                # One that was still starting has no handler for the signal that it was told to stop with.
                if code not in (-signal.SIGINT, -signal.SIGTERM):
                    self._exit_code = self._exit_code or (code if code > 0 else 1)
            if child.reloading:
                self._start(child.number)
            else:
                del self._children[child.number]
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        # A lifespan that has never come about is a fault of the application or its settings, which starting
        # again doesn't mend; one that fails later may lack something that comes back.
        hopeless = code == EXIT_NO_APP or (code == EXIT_NO_LIFESPAN and not self._served)
        if hopeless and not self._reload:
            self._exit_code = EXIT_FAILED if code == EXIT_NO_LIFESPAN else code
            del self._children[child.number]
            self._stop(signal.SIGTERM)
            return
        self._take_back(child)
        child.taken_back = True
        young = time.monotonic() - child.began < YOUNG
        deaths = self._young_deaths[child.number] = (
            self._young_deaths.get(child.number, 0) + 1 if young else 0
        )
        pause = min(LONGEST_PAUSE, 0.1 * 4 ** (deaths - 1)) if deaths else 0.0
        logger.error(
            "worker process %d %s; starting another%s",
            child.process.pid,
            how,
            f" in {pause:g} s" if pause else "",
        )
        self._later(pause, "start", child.number)

    def _take_back(self, child: Child) -> None:
        """Put a dead child's jobs back in their queues now."""
        if not child.workers:
            return

        async def reap() -> int:
            settings = self._settings
            taken = 0
            async with Client(
                settings.url, namespace=settings.namespace, shards=settings.shards, patience=2
            ) as client:
                for worker in child.workers:
                    for shard in range(settings.shards):
                        taken += await reap_once(client.storage, shard, worker)
            return taken

        try:
            asyncio.run(reap())
        except AsyncjobsError as error:
            logger.warning("its jobs come back when its lease has run out: %s", error)

    def _stop(self, number: int) -> None:
        if not self._stopping:
            self._stopping = True
            self._later(self._settings.grace + EXTRA_GRACE, "signal", signal.SIGKILL)
        for key, child in list(self._children.items()):
            if child.process.poll() is None:
                child.signal(number)
            elif child.taken_back:
                # Nothing more is heard of it; one that has died just now is yet to be.
                self._children.pop(key)

    def _start_anew(self, what: str) -> None:
        logger.info("%s changed: starting all workers anew", what)
        for child in self._children.values():
            child.reloading = True
            child.signal(signal.SIGTERM)

    def _kill_all(self) -> None:
        for child in self._children.values():
            child.signal(signal.SIGKILL)

    def _later(self, delay: float, kind: str, value: object) -> None:
        timer = threading.Timer(delay, self._events.put, ((kind, value),))
        timer.daemon = True
        timer.start()

    @contextmanager
    def _signals(self) -> Generator[None]:
        def heard(number: int, _: object) -> None:
            self._events.put(("signal", number))

        before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def _watching(self) -> Generator[None]:
        """Watch the source files, if that is wanted."""
        if not self._reload:
            yield
            return
        try:
            import watchfiles
        except ImportError:
            raise OptionError("--reload needs watchfiles: pip install 'asyncjobs-redis[reload]'") from None
        ended = threading.Event()

        def watch() -> None:
            for changes in watchfiles.watch(
                *self._reload, stop_event=ended, watch_filter=watchfiles.PythonFilter()
            ):
                self._events.put(("changed", sorted(path for _, path in changes)[0]))

        thread = threading.Thread(target=watch, name="asyncjobs reload", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=5)
