"""Locks: taking, renewing, releasing, and whose turn is next."""

from __future__ import annotations

from itertools import islice

from asyncjobs.ids import shard_for
from asyncjobs.storage.locks import LockRecord, LockReply
from asyncjobs.storage.memory.shard import Shard

SWEPT = 2
"""Locks that each acquiring looks at, to forget those whose holders died; so there are never many of them."""


class MemoryLocks:
    """What `MemoryStorage` does with locks."""

    _shards: list[Shard]

    def _shard_of_lock(self, name: str) -> Shard:
        return self._shards[shard_for(name, len(self._shards))]

    async def acquire_lock(self, name: str, token: str, ttl_ms: int, inbox: str = "") -> LockReply:
        """See `LockStorage.acquire_lock`."""
        with (shard := self._shard_of_lock(name)).lock:
            now = shard.now()
            held = _held(shard, name)
            if held and held.holder != token:
                if inbox:
                    shard.lock_waiters.setdefault(name, {}).setdefault((token, inbox), now)
                return LockReply(0, held.until_ms - now)
            if held is None:
                _sweep(shard)
                shard.fence = max(shard.fence + 1, now)
                held = shard.locks[name] = LockRecord(name, token, shard.fence, 0, 0)
            held.until_ms = now + ttl_ms
            _withdraw(shard, name, token, inbox)
            return LockReply(held.number, ttl_ms)

    async def renew_lock(self, name: str, token: str, ttl_ms: int) -> bool:
        """See `LockStorage.renew_lock`."""
        with (shard := self._shard_of_lock(name)).lock:
            held = _held(shard, name)
            if held is None or held.holder != token:
                return False
            held.until_ms = shard.now() + ttl_ms
            return True

    async def release_lock(self, name: str, token: str, inbox: str = "") -> None:
        """See `LockStorage.release_lock`."""
        with (shard := self._shard_of_lock(name)).lock:
            _withdraw(shard, name, token, inbox)
            held = _held(shard, name)
            if held and held.holder != token:
                return
            shard.locks.pop(name, None)
            waiters = shard.lock_waiters.get(name)
            if waiters:
                _, first = min((since, waiter) for waiter, since in waiters.items())
                _withdraw(shard, name, *first)
                shard.tell(first[0], [first[1]])

    async def get_lock(self, name: str) -> LockRecord | None:
        """See `LockStorage.get_lock`."""
        with (shard := self._shard_of_lock(name)).lock:
            held = _held(shard, name)
            if held is None:
                return None
            waiting = len(shard.lock_waiters.get(name, ()))
            return LockRecord(name, held.holder, held.number, held.until_ms, waiting)


def _held(shard: Shard, name: str) -> LockRecord | None:
    held = shard.locks.get(name)
    return held if held and held.until_ms > shard.now() else None


def _withdraw(shard: Shard, name: str, token: str, inbox: str) -> None:
    waiters = shard.lock_waiters.get(name, {})
    waiters.pop((token, inbox), None)
    if not waiters:
        shard.lock_waiters.pop(name, None)


def _sweep(shard: Shard) -> None:
    for name in list(islice(shard.locks, SWEPT)):
        held = shard.locks.pop(name)
        if held.until_ms > shard.now():
            # To the end, so that others are looked at next time.
            shard.locks[name] = held
