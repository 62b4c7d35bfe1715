"""What crosses the storage contract of locks. Times are ms since 1970 by the storage's clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

TOLD_LIMIT = 8
"""Inboxes of waiting ones that are told when a lock is released: some of them may have died."""

WAITER_MS = 90_000
"""A waiting one that hasn't tried again for so long doesn't wait any more."""

TOLD_MS = 5_000
"""The same, of one that was told of the release."""

DROP_LIMIT = 100
"""Of those that don't wait any more, so many are forgotten at a time.

And of those that do, so many are looked at to find some to tell.
"""

SWEPT = 2
"""Locks whose holders died, of which each acquiring forgets so many; so there are never many of them."""


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


def running_out(lock: LockRecord) -> tuple[int, bytes]:
    """What locks are listed by: which runs out first."""
    return lock.until_ms, lock.name.encode(errors="replace")


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

        If another holds it and an `inbox` is given, the token waits there: when the lock is released the
        longest waiting ones are told, one of each of `TOLD_LIMIT` inboxes (`Storage.receive` on the lock's
        shard gives the token), and may try again; who comes first gets it. None is told if the holder dies,
        so all have to try again anyway when the time left has passed; and now and then before, one for an
        inbox, as those that were told may have died. Each keeps its place until it acquires the lock,
        withdraws, or hasn't tried again for `WAITER_MS`, or for `TOLD_MS` after it was told: so those that
        have died are forgotten.
        """
        ...

    async def renew_lock(self, name: str, token: str, ttl_ms: int, floor: int = 0) -> bool:
        """Let the lock be held for `ttl_ms` from now on; False if it isn't this holder's (any more).

        With a `floor` above its fencing number that becomes its number, and the numbers of all later holders,
        of whatever lock of the shard, are higher: so several storages can agree on one.
        """
        ...

    async def release_lock(self, name: str, token: str, inbox: str = "") -> None:
        """Let go of the lock if it is this holder's, and tell the longest waiting ones.

        A token that waits (`inbox` as when it came) waits no longer; if the lock is free, the others are told
        as well. Sent again, it may tell some in vain, who try and wait again.
        """
        ...

    async def get_lock(self, name: str) -> LockRecord | None:
        """Who holds a lock; None if nobody does."""
        ...

    async def locks(self, *, offset: int = 0, limit: int = 50) -> list[LockRecord]:
        """A page of the locks that are held now, those that run out first before the others."""
        ...
