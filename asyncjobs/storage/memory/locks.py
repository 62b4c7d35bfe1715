"""Locks: taking, renewing, releasing, and whose turn is next."""

from __future__ import annotations

from itertools import islice

from asyncjobs.ids import shard_for
from asyncjobs.storage.locks import (
    DROP_LIMIT,
    SWEPT,
    TOLD_LIMIT,
    TOLD_MS,
    WAITER_MS,
    LockRecord,
    LockReply,
    running_out,
)
from asyncjobs.storage.memory.entries import LockWaiter
from asyncjobs.storage.memory.shard import Shard


class MemoryLocks:
    """What `MemoryStorage` does with locks."""

    _shards: list[Shard]

    def _shard_of_lock(self, name: str) -> Shard:
        return self._shards[shard_for(name, len(self._shards))]

    async def acquire_lock(self, name: str, token: str, ttl_ms: int, inbox: str = "") -> LockReply:
        """See `LockStorage.acquire_lock`."""
        with (shard := self._shard_of_lock(name)).lock:
            now = shard.now()
            _drop(shard, name)
            held = _held(shard, name)
            if held and held.holder != token:
                if inbox:
                    waiters = shard.lock_waiters.setdefault(name, {})
                    waiter = waiters.setdefault((token, inbox), LockWaiter(token, inbox, now))
                    waiter.until_ms = now + WAITER_MS
                return LockReply(0, held.until_ms - now)
            if held is None:
                _sweep(shard)
                shard.fence = max(shard.fence + 1, now)
                held = shard.locks[name] = LockRecord(name, token, shard.fence, 0, 0)
            held.until_ms = now + ttl_ms
            _withdraw(shard, name, token, inbox)
            return LockReply(held.number, ttl_ms)

    async def renew_lock(self, name: str, token: str, ttl_ms: int, floor: int = 0) -> bool:
        """See `LockStorage.renew_lock`."""
        with (shard := self._shard_of_lock(name)).lock:
            held = _held(shard, name)
            if held is None or held.holder != token:
                return False
            held.until_ms = shard.now() + ttl_ms
            held.number = max(held.number, floor)
            shard.fence = max(shard.fence, floor)
            return True

    async def release_lock(self, name: str, token: str, inbox: str = "") -> None:
        """See `LockStorage.release_lock`."""
        with (shard := self._shard_of_lock(name)).lock:
            _withdraw(shard, name, token, inbox)
            _drop(shard, name)
            held = _held(shard, name)
            if held and held.holder != token:
                return
            shard.locks.pop(name, None)
            waiters = shard.lock_waiters.get(name, {}).values()
            heard: set[str] = set()
            for waiter in sorted(waiters, key=lambda one: (one.since_ms, one.token, one.inbox))[:DROP_LIMIT]:
                if len(heard) < TOLD_LIMIT and waiter.inbox not in heard:
                    heard.add(waiter.inbox)
                    waiter.until_ms = min(waiter.until_ms, shard.now() + TOLD_MS)
                    shard.tell(waiter.token, [waiter.inbox])

    async def get_lock(self, name: str) -> LockRecord | None:
        """See `LockStorage.get_lock`."""
        with (shard := self._shard_of_lock(name)).lock:
            return _told(shard, name)

    async def locks(self, *, offset: int = 0, limit: int = 50) -> list[LockRecord]:
        """See `LockStorage.locks`."""
        found: list[LockRecord] = []
        for shard in self._shards:
            with shard.lock:
                found += [lock for name in shard.locks if (lock := _told(shard, name)) is not None]
        return sorted(found, key=running_out)[offset : offset + limit]


def _told(shard: Shard, name: str) -> LockRecord | None:
    held = _held(shard, name)
    if held is None:
        return None
    now = shard.now()
    waiting = sum(one.until_ms > now for one in shard.lock_waiters.get(name, {}).values())
    return LockRecord(name, held.holder, held.number, held.until_ms, waiting)


def _held(shard: Shard, name: str) -> LockRecord | None:
    held = shard.locks.get(name)
    return held if held and held.until_ms > shard.now() else None


def _withdraw(shard: Shard, name: str, token: str, inbox: str) -> None:
    waiters = shard.lock_waiters.get(name, {})
    waiters.pop((token, inbox), None)
    if not waiters:
        shard.lock_waiters.pop(name, None)


def _drop(shard: Shard, name: str) -> None:
    """Forget those who haven't tried again for too long."""
    now = shard.now()
    for waiter in list(shard.lock_waiters.get(name, {}).values()):
        if waiter.until_ms <= now:
            _withdraw(shard, name, waiter.token, waiter.inbox)


def _sweep(shard: Shard) -> None:
    for name in list(islice(shard.locks, SWEPT)):
        held = shard.locks.pop(name)
        if held.until_ms > shard.now():
            # To the end, so that others are looked at next time.
            shard.locks[name] = held
