"""Batches and continuations on Redis: see `BatchStorage`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from asyncjobs.ids import shard_of
from asyncjobs.storage.base import BatchRecord, Members, NewBatch, Opened
from asyncjobs.storage.redis import replies, scripts
from asyncjobs.storage.redis.connection import EncodableArg
from asyncjobs.storage.redis.shard import Shard

logger = logging.getLogger("asyncjobs.redis")

MESSAGES = 200
"""Messages for other shards after which a further look for more is made by whoever carries on next."""


class RedisBatches:
    """The part of `RedisStorage` that deals with batches, and with what follows from the ends of jobs."""

    _shards: list[Shard]

    def _shard_of(self, node: str) -> Shard:
        return self._shards[shard_of(node, len(self._shards))]

    async def open_batches(self, batches: Sequence[NewBatch]) -> Opened:
        """See `BatchStorage.open_batches`."""
        shard = self._shard_of(batches[0].id)
        args: list[EncodableArg] = [shard.now()]
        for batch in batches:
            args += (batch.id, batch.name, batch.parent)
        return Opened(await shard.run(scripts.OPEN_BATCHES, *args))

    async def commit_batch(self, batch_id: str) -> Opened:
        """See `BatchStorage.commit_batch`."""
        shard = self._shard_of(batch_id)
        return Opened(await shard.run(scripts.COMMIT_BATCH, shard.now(), batch_id))

    async def cancel_batch(self, batch_id: str) -> Opened:
        """See `BatchStorage.cancel_batch`."""
        shard = self._shard_of(batch_id)
        return Opened(await shard.run(scripts.CANCEL_BATCH, shard.now(), batch_id))

    async def get_batch(self, batch_id: str) -> BatchRecord | None:
        """See `BatchStorage.get_batch`."""
        return await self.watch_batch(batch_id, "")

    async def watch_batch(self, batch_id: str, inbox: str) -> BatchRecord | None:
        """See `BatchStorage.watch_batch`."""
        flat = await self._shard_of(batch_id).run(scripts.GET_BATCH, batch_id, inbox)
        return replies.batch_record(batch_id, flat)

    async def continuations(self, node: str, *, offset: int = 0, limit: int = 50) -> Members:
        """See `BatchStorage.continuations`."""
        shard = self._shards[shard_of(node, len(self._shards))]
        total, ids = await shard.run(scripts.CONTINUATIONS, node, offset, limit)
        return Members([job.decode() for job in ids], total)

    async def members(self, batch_id: str, *, offset: int = 0, limit: int = 50) -> Members:
        """See `BatchStorage.members`."""
        total, ids = await self._shard_of(batch_id).run(scripts.MEMBERS, batch_id, offset, limit)
        return Members([member.decode() for member in ids], total)

    async def batches(self, *, offset: int = 0, limit: int = 50) -> list[BatchRecord]:
        """See `BatchStorage.batches`."""
        found: list[BatchRecord] = []
        for shard in self._shards:
            # Any of them may have the whole page.
            reply = await shard.run(scripts.BATCHES, 0, offset + limit)
            for at in range(0, len(reply), 2):
                record = replies.batch_record(reply[at].decode(), reply[at + 1])
                if record is not None:
                    found.append(record)
        found.sort(
            key=lambda batch: (not batch.state.is_finished, batch.finished_ms or batch.created_ms, batch.id),
            reverse=True,
        )
        return found[offset : offset + limit]

    async def carry_on(self, shard: int) -> bool:
        """See `BatchStorage.carry_on`."""
        part = self._shards[shard]
        more, messages, dropped = await part.run(scripts.CARRY_ON, part.now())
        if dropped:
            logger.error(
                "work that was to be carried on can't be, and is dropped (asyncjobs check --repair mends"
                " what that leaves): %s",
                dropped.decode(errors="replace"),
            )
        if messages:
            messages = messages[: 2 * MESSAGES]
            for message, value in sorted(zip(messages[::2], messages[1::2], strict=True)):
                if message.count(b" ") == 2:
                    await self._deliver(message.decode(errors="replace"), value)
                else:
                    logger.error("a message to another shard can't be read, and is dropped: %r", message)
            await part.run(scripts.ACKNOWLEDGE, *messages)
        return bool(more)

    async def _deliver(self, message: str, value: bytes) -> None:
        """Bring a message to the shard that it is for. It may come twice."""
        kind, to, other = message.split(" ")
        shard = self._shard_of(to.removeprefix("~"))
        if kind == "A":
            await shard.run(scripts.ATTACH, shard.now(), to, other, value)
        elif kind == "D":
            await shard.run(scripts.LEAVE, to, other)
        else:
            ending, _, output = value.partition(b"\n")
            await shard.run(scripts.HEAR, shard.now(), to, other, ending, output[:1], output[1:])

    async def sweep_batches(self, shard: int) -> bool:
        """See `BatchStorage.sweep_batches`."""
        part = self._shards[shard]
        return bool(await part.run(scripts.SWEEP_BATCHES, part.now()))
