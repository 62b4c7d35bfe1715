"""The demo's worker processes: a supervisor in a thread, while the demo itself has the main one."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from asyncjobs.worker.settings import WorkerSettings
from asyncjobs.worker.supervisor import Supervisor

PATIENCE = 3.0
"""Seconds that the workers have to stop before they are killed."""


class WorkerProcesses:
    """Worker processes that run while the block runs; a dead one is replaced."""

    def __init__(self, settings: WorkerSettings, processes: int) -> None:
        self._supervisor = Supervisor(settings, processes)
        self._thread = threading.Thread(target=self._supervise, name="asyncjobs demo workers", daemon=True)
        self.ended: Future[int] = Future()
        """Done, with an exit code, once all of them have ended."""
        self.ended.set_running_or_notify_cancel()

    @property
    def pids(self) -> list[int]:
        """The process ids of those that are alive."""
        return self._supervisor.pids

    def _supervise(self) -> None:
        try:
            self.ended.set_result(self._supervisor.supervise())
        except BaseException as error:
            self.ended.set_exception(error)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._supervisor.stop()
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._supervisor.stop(now=True)
            self._thread.join()
