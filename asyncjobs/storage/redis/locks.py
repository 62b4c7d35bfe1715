"""Locks on Redis: each verb of their contract as one script."""

from __future__ import annotations

from asyncjobs.ids import shard_for
from asyncjobs.storage.locks import LockRecord, LockReply, running_out
from asyncjobs.storage.redis import scripts
from asyncjobs.storage.redis.shard import Shard


class RedisLocks:
    """What `RedisStorage` does with locks."""

    _shards: list[Shard]

    def _shard_of_lock(self, name: str) -> Shard:
        return self._shards[shard_for(name, len(self._shards))]

    async def acquire_lock(self, name: str, token: str, ttl_ms: int, inbox: str = "") -> LockReply:
        """See `LockStorage.acquire_lock`."""
        shard = self._shard_of_lock(name)
        number, left = await shard.run(scripts.ACQUIRE_LOCK, shard.now(), name, token, ttl_ms, inbox)
        return LockReply(number, left)

    async def renew_lock(self, name: str, token: str, ttl_ms: int, floor: int = 0) -> bool:
        """See `LockStorage.renew_lock`."""
        shard = self._shard_of_lock(name)
        return bool(await shard.run(scripts.RENEW_LOCK, shard.now(), name, token, ttl_ms, floor))

    async def release_lock(self, name: str, token: str, inbox: str = "") -> None:
        """See `LockStorage.release_lock`."""
        shard = self._shard_of_lock(name)
        await shard.run(scripts.RELEASE_LOCK, shard.now(), name, token, inbox)

    async def get_lock(self, name: str) -> LockRecord | None:
        """See `LockStorage.get_lock`."""
        shard = self._shard_of_lock(name)
        reply = await shard.run(scripts.GET_LOCK, shard.now(), name)
        return None if reply is None else _record(name.encode(), *reply)

    async def locks(self, *, offset: int = 0, limit: int = 50) -> list[LockRecord]:
        """See `LockStorage.locks`."""
        if len(self._shards) == 1:
            return await _locks(self._shards[0], offset, limit)
        found = [lock for shard in self._shards for lock in await _locks(shard, 0, offset + limit)]
        return sorted(found, key=running_out)[offset : offset + limit]


async def _locks(shard: Shard, offset: int, limit: int) -> list[LockRecord]:
    flat = await shard.run(scripts.LOCKS, shard.now(), offset, limit)
    return [_record(*flat[at : at + 5]) for at in range(0, len(flat), 5)]


def _record(name: bytes, holder: bytes, number: int, until: int, waiting: int) -> LockRecord:
    return LockRecord(name.decode(), holder.decode(errors="replace"), number, until, waiting)
