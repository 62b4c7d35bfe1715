"""Progress and log lines of running jobs, collected and sent a few times a second."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import cast

from asyncjobs.errors import StorageError
from asyncjobs.storage.base import LOG_LIMIT, Note, Storage

logger = logging.getLogger("asyncjobs.worker")

FLUSH_DELAY = 0.1
"""Seconds for which notes are collected."""
LINE_LIMIT = 4_000
"""Characters kept of a log line."""


class Notes:
    """Takes notes from any thread; the last progress of a job wins, lines are kept in order."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._pending: dict[tuple[str, str, int], Note] = {}
        self._lock = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def add(self, worker: str, note: Note) -> None:
        """Take a note of a job that `worker` runs."""
        if threading.get_ident() == self._thread:
            self._add(worker, note)
        elif not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._add, worker, note)

    def _add(self, worker: str, note: Note) -> None:
        lines = [line[:LINE_LIMIT] for line in note.lines]
        key = (worker, note.id, note.exchange)
        known = self._pending.get(key)
        if known is None:
            self._pending[key] = Note(note.id, note.exchange, note.progress, note.message, lines)
        else:
            kept = cast(list[str], known.lines)
            kept += lines
            if len(kept) > 2 * LOG_LIMIT:
                # The storage would keep no more of them.
                del kept[:-LOG_LIMIT]
            if note.progress is not None:
                known.progress, known.message = note.progress, note.message
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_DELAY, self._start)

    def has(self, worker: str, job_id: str, exchange: int) -> bool:
        """Whether notes of an attempt are still to be sent."""
        return bool(self._pending) and (worker, job_id, exchange) in self._pending

    def _start(self) -> None:
        self._timer = None
        self._task = self._loop.create_task(self.flush(), name="asyncjobs notes")

    async def flush(self) -> None:
        """Send what was taken up to now. Never raises: a note isn't worth a job."""
        async with self._lock:
            pending, self._pending = self._pending, {}
            by_worker: dict[str, list[Note]] = {}
            for (worker, _, _), note in pending.items():
                by_worker.setdefault(worker, []).append(note)
            for worker, notes in by_worker.items():
                try:
                    await self._storage.annotate(worker, notes)
                except StorageError as error:
                    logger.warning("progress and logs of %d jobs are lost: %s", len(notes), error)
