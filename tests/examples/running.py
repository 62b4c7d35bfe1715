"""An example as a reader starts it: its one command, in a process of its own, spoken to over HTTP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from asyncjobs.embedded import free_port
from tests.waiting import eventually_sync

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def environment(redis_url: str | None, **more: str) -> dict[str, str]:
    """This process' own, with the server that the example is to use; None for an embedded one."""
    settings = {name: value for name, value in os.environ.items() if name != "ASYNCJOBS_REDIS"}
    if redis_url is not None:
        settings["ASYNCJOBS_REDIS"] = redis_url
    return settings | {"PYTHONUNBUFFERED": "1", **more}


class RunningService:
    """`python examples/NAME`, and an HTTP client for it."""

    def __init__(self, name: str, redis_url: str | None, log: Path) -> None:
        self.port = free_port()
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False)
        self._log = log
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, str(EXAMPLES / name)],
                env=environment(redis_url, PORT=str(self.port)),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def wait_until_serving(self) -> None:
        def serves() -> bool:
            assert self._process.poll() is None, f"it ended:\n{self.log}"
            return bool(self.http.get("/jobs/none").status_code)

        eventually_sync(serves, 30, because="the example serves", ignoring=(httpx.TransportError,))

    def stop(self) -> int:
        """Stop it as a process manager does; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(30)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def __enter__(self) -> Self:
        try:
            self.wait_until_serving()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.http.close()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        # Shown with a test that failed.
        print(f"--- what the example said ---\n{self.log[-10_000:]}")
