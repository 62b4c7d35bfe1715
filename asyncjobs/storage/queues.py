"""What a storage does with queues and lists as wholes."""

from __future__ import annotations

from typing import Protocol

from asyncjobs.storage.records import Bucket, QueueRecord, ServerRecord, Stats, WorkerRecord
from asyncjobs.storage.states import State
from asyncjobs.storage.transitions import Retention


class QueueStorage(Protocol):
    """The part of `Storage` that is about queues, lists and numbers."""

    async def pause(self, queue: str) -> None:
        """Nothing of the queue (perhaps one not seen yet) is granted any more; jobs can be added."""
        ...

    async def resume(self, queue: str) -> None:
        """Undo `pause`."""
        ...

    async def purge(self, shard: int, queue: str, limit: int) -> tuple[int, bool]:
        """Delete up to `limit` enqueued jobs of a queue, oldest first: (how many, whether more are there)."""
        ...

    async def clear(self, shard: int, state: State, limit: int) -> tuple[int, bool]:
        """Delete up to `limit` jobs in a state but `processing` and `enqueued`: (how many, whether more)."""
        ...

    async def trim(self, shard: int, retention: Retention, limit: int) -> bool:
        """Remove up to `limit` finished jobs that are past their retention; True if there are more."""
        ...

    async def throughput(self, unit_ms: int, count: int) -> list[Bucket]:
        """What happened in each of the last `count` hours or days (by UTC), the present one last.

        `unit_ms`: 3,600,000 or 86,400,000. Hours are kept for 8 days, days for 400.
        """
        ...

    async def server(self) -> ServerRecord:
        """What is known of the server."""
        ...

    async def queues(self) -> list[QueueRecord]:
        """All known queues, by name."""
        ...

    async def workers(self) -> list[WorkerRecord]:
        """All registered workers, by id."""
        ...

    async def stats(self) -> Stats:
        """Counts, totals, queues."""
        ...
