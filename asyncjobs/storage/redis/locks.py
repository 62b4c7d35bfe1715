"""Locks on Redis: each verb of their contract as one script."""

from __future__ import annotations

from asyncjobs.ids import shard_for
from asyncjobs.storage.locks import LockRecord, LockReply
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

    async def renew_lock(self, name: str, token: str, ttl_ms: int) -> bool:
        """See `LockStorage.renew_lock`."""
        shard = self._shard_of_lock(name)
        return bool(await shard.run(scripts.RENEW_LOCK, shard.now(), name, token, ttl_ms))

    async def release_lock(self, name: str, token: str, inbox: str = "") -> None:
        """See `LockStorage.release_lock`."""
        shard = self._shard_of_lock(name)
        await shard.run(scripts.RELEASE_LOCK, shard.now(), name, token, inbox)

    async def get_lock(self, name: str) -> LockRecord | None:
        """See `LockStorage.get_lock`."""
        shard = self._shard_of_lock(name)
        reply = await shard.run(scripts.GET_LOCK, shard.now(), name)
        if reply is None:
            return None
        holder, number, until, waiting = reply
        return LockRecord(name, holder.decode(errors="replace"), number, until, waiting)
