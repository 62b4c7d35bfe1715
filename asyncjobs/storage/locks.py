"""What crosses the storage contract of locks. Times are ms since 1970 by the storage's clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class LockReply:
    """What became of acquiring a lock."""

    number: int
    """Its fencing number, if it is the caller's now; 0 if another holds it."""
    left_ms: int
    """For how long it is held by whoever has it, unless that renews it."""


@dataclass(slots=True)
class LockRecord:
    """A lock that is held."""

    name: str
    holder: str
    """The token that it was acquired with."""
    number: int
    """The fencing number."""
    until_ms: int
    """When it is free again unless it is renewed."""
    waiting: int
    """How many wait to be told when it is released."""


class LockStorage(Protocol):
    """What a storage does with locks. A lock is on the shard that its name hashes to (`ids.shard_for`).

    Whoever wants one makes up a token, which no other holder ever uses. A lock that nobody holds is not kept,
    but fencing numbers only grow, on each shard: a holder's is higher than all of the holders before it. They
    go on growing even where the storage has lost its last writes, for they are no lower than the storage's
    time in ms when the lock was acquired.

    None of these needs room in a storage that is full.
    """

    async def acquire_lock(self, name: str, token: str, ttl_ms: int, inbox: str = "") -> LockReply:
        """Take the lock for `ttl_ms`, if nobody holds it.

        Its holder is answered with its number once more, and has `ttl_ms` from now on.

        If another holds it and an `inbox` is given, the token waits there: the longest waiting one is told
        when the lock is released (`Storage.receive` on the lock's shard gives the token), and may try again.
        It isn't told if the holder dies, so it has to try again anyway when the time left has passed; it
        keeps its place until it acquires the lock, is told, or withdraws. One that has died is told in vain,
        which costs the others no more than that time.
        """
        ...

    async def renew_lock(self, name: str, token: str, ttl_ms: int) -> bool:
        """Let the lock be held for `ttl_ms` from now on; False if it isn't this holder's (any more)."""
        ...

    async def release_lock(self, name: str, token: str, inbox: str = "") -> None:
        """Let go of the lock if it is this holder's, and tell the longest waiting one.

        A token that waits (`inbox` as when it came) waits no longer; if it was told and the lock is still
        free, the next one is told in its place. Sent again, it may tell one more in vain, who tries and waits
        again.
        """
        ...

    async def get_lock(self, name: str) -> LockRecord | None:
        """Who holds a lock; None if nobody does."""
        ...
