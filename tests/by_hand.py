"""A worker that does what a test tells it, step by step."""

from __future__ import annotations

from collections.abc import Sequence

from asyncjobs import Client
from asyncjobs.storage.base import ExchangeRequest, Finish, Grant, Outcome

LEASE_MS = 10_000


class HandWorker:
    """It takes jobs and ends them, on one shard, without running their code."""

    def __init__(self, client: Client, name: str = "hand-1-1", shard: int = 0) -> None:
        self._storage = client.storage
        self._name = name
        self._shard = shard
        self._number = 0
        self.held: dict[str, Grant] = {}

    async def take(self, slots: int = 100, *queues: str) -> list[str]:
        """Fetch jobs of the queues (without any: of "default"); their ids."""
        if not self._number:
            await self._storage.register(self._shard, self._name, {}, LEASE_MS)
        return await self._exchange(slots, queues or ("default",))

    async def end(self, *job_ids: str, outcome: Outcome = Outcome.SUCCEEDED, delay_ms: int = 0) -> None:
        """End some of the jobs that it holds, or all."""
        ended = [self.held.pop(job_id) for job_id in job_ids or tuple(self.held)]
        finishes = [Finish(grant.id, grant.exchange, outcome, delay_ms=delay_ms) for grant in ended]
        await self._exchange(0, (), finishes)

    async def run(self, *queues: str, outcome: Outcome = Outcome.SUCCEEDED, delay_ms: int = 0) -> list[str]:
        """Fetch whatever there is, and end it; their ids."""
        taken = await self.take(100, *queues)
        if taken:
            await self.end(*taken, outcome=outcome, delay_ms=delay_ms)
        return taken

    async def _exchange(
        self, slots: int, queues: Sequence[str], finishes: Sequence[Finish] = ()
    ) -> list[str]:
        self._number += 1
        request = ExchangeRequest(self._name, self._number, slots, queues, finishes=finishes)
        reply = await self._storage.exchange(self._shard, request)
        self.held.update({grant.id: grant for grant in reply.grants})
        return [grant.id for grant in reply.grants]
