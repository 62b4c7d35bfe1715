"""Waiting for jobs to end, and what they ended with. One inbox a client; whatever ends a job tells it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from asyncjobs.errors import JobCancelled, JobFailed, JobNotFound, ResultNotKept, ResultTimeout, StorageError
from asyncjobs.ids import shard_of
from asyncjobs.serialization import Serializer, unpack_result
from asyncjobs.storage.base import BatchRecord, JobRecord, State, Storage

logger = logging.getLogger("asyncjobs.client")

T = TypeVar("T")

RECHECK = 5.0
"""Seconds after which a waiter looks again by itself: a message can be lost with a connection."""
BLOCK = 5.0
"""Seconds that one read of the inbox waits."""


class ResultWaiter:
    """Waits for the ends of jobs for all tasks of a client."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._inbox = secrets.token_hex(8)
        self._waiting: dict[str, list[asyncio.Event]] = {}
        self._readers: dict[int, asyncio.Task[None]] = {}

    async def wait(self, job_id: str, timeout: float | None) -> JobRecord:
        """The record of a job once it is final; with a time-out of 0, if it is by now.

        Raises `ResultTimeout` or `JobNotFound`.
        """
        if timeout == 0:
            record = await self._storage.get(job_id)
            if record is None:
                raise _gone(job_id)
            if not record.state.is_final:
                raise ResultTimeout(f"job {job_id} has not ended by now; it goes on")
            return record

        async def look() -> JobRecord | None:
            record = await self._storage.watch(job_id, self._inbox)
            if record is None:
                raise _gone(job_id)
            return record if record.state.is_final else None

        try:
            return await self._wait_until(job_id, timeout, look)
        except TimeoutError:
            raise ResultTimeout(f"job {job_id} has not ended within {timeout:g} s; it goes on") from None

    async def wait_for_batch(self, batch_id: str, timeout: float | None) -> BatchRecord | None:
        """The record of a batch once it has finished; None if there is none.

        With a time-out of 0, if it has by now. Raises `ResultTimeout`.
        """
        if timeout == 0:
            record = await self._storage.get_batch(batch_id)
            if record is not None and not record.state.is_finished:
                raise ResultTimeout(f"batch {batch_id} has not finished by now; it goes on")
            return record

        async def look() -> tuple[BatchRecord | None] | None:
            record = await self._storage.watch_batch(batch_id, self._inbox)
            return (record,) if record is None or record.state.is_finished else None

        try:
            return (await self._wait_until(batch_id, timeout, look))[0]
        except TimeoutError:
            raise ResultTimeout(
                f"batch {batch_id} has not finished within {timeout:g} s; it goes on"
            ) from None

    async def _wait_until(
        self, node: str, timeout: float | None, look: Callable[[], Awaitable[T | None]]
    ) -> T:
        """What `look` gives, as soon as that isn't None: looked again when word of the node's end comes."""
        ended = asyncio.Event()
        self._waiting.setdefault(node, []).append(ended)
        try:
            async with asyncio.timeout(timeout):
                while True:
                    self._read(shard_of(node, self._storage.shards))
                    found = await look()
                    if found is not None:
                        return found
                    try:
                        async with asyncio.timeout(RECHECK):
                            await ended.wait()
                    except TimeoutError:
                        continue
                    ended.clear()
        finally:
            events = self._waiting[node]
            events.remove(ended)
            if not events:
                del self._waiting[node]

    def _read(self, shard: int) -> None:
        reader = self._readers.get(shard)
        if reader is None or reader.done():
            self._readers[shard] = asyncio.create_task(
                self._deliver(shard), name=f"asyncjobs results {shard}"
            )

    async def _deliver(self, shard: int) -> None:
        """Runs while anybody waits."""
        while self._waiting:
            try:
                for job_id in await self._storage.receive(shard, self._inbox, BLOCK):
                    for ended in self._waiting.get(job_id, ()):
                        ended.set()
            except StorageError as error:
                logger.warning("can't wait for results: %s", error)
                await asyncio.sleep(1)

    async def close(self) -> None:
        """Stop reading."""
        readers = list(self._readers.values())
        self._readers.clear()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


async def outcome(storage: Storage, record: JobRecord, serializer: Serializer) -> Any:
    """What an ended job returned; raises `JobFailed`, `JobCancelled` or `ResultNotKept`."""
    if record.state is State.SUCCEEDED:
        if not record.result_kept:
            raise ResultNotKept(f"job {record.id} succeeded, but {record.name} has keep_result=False")
        return unpack_result(serializer, record.result)
    history = await storage.history(record.id)
    if record.state is State.CANCELLED:
        by = next((entry for entry in reversed(history) if entry.event in ("cancelled", "expired")), None)
        why = "" if by is None else by.error_message
        if by is not None and by.event == "expired":
            why = "it wasn't started before it expired"
        raise JobCancelled(f"job {record.id} was cancelled" + (f": {why}" if why else ""))
    last = next((entry for entry in reversed(history) if entry.error_type), None)
    if last is None:
        raise JobFailed(record.id)
    raise JobFailed(record.id, last.error_type, last.error_message, last.traceback)


def _gone(job_id: str) -> JobNotFound:
    return JobNotFound(f"there is no job {job_id} (any more): its result can't be had")
