"""A driver's process, seen from the harness: started, told what to do, listened to, ended."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from types import TracebackType
from typing import Any

import psutil

from benchmarks.peers import ROOT, Peer

Event = dict[str, Any]


class DriverError(Exception):
    """A driver ended, or kept silent; the message has the end of what it said on stderr."""


class DriverProcess:
    """Use as a context manager: at the end of the block the process and its children are gone."""

    def __init__(self, peer: Peer, role: str, url: str, measure: str) -> None:
        self.peer = peer
        self.role = role
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            peer.command(role, url, measure),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=peer.environment(),
            cwd=ROOT,
            # A group of its own, so that what it forks can be ended with it.
            start_new_session=True,
        )
        self._events: queue.Queue[Event | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(json.loads(line))
        self._events.put(None)

    def __enter__(self) -> DriverProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Nothing is measured of the end, so it is the surest one.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._stderr.close()

    def event(self, kind: str, timeout: float) -> Event:
        """The next event of this kind.

        Raises:
            DriverError: none came in time, or the process ended.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise self._error(f"no {kind!r} within {timeout:g} s") from None
            if event is None:
                raise self._error(f"ended before its {kind!r}")
            if event["event"] == kind:
                return event

    def do(self, timeout: float, **command: Any) -> Event:
        """Sends a command to a producer and waits until it is done."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._error("ended") from None
        return self.event("done", timeout)

    def cpu(self) -> float:
        """Seconds of CPU used so far by the process, all its threads included."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def _error(self, what: str) -> DriverError:
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - 3000))
        said = self._stderr.read().decode(errors="replace").strip()
        return DriverError(f"{self.peer.name} ({self.role}): {what}\n{said}".strip())
