"""Locks for code that isn't async."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from asyncjobs.errors import LockLost
from asyncjobs.locks import Lock

if TYPE_CHECKING:
    from asyncjobs.sync import SyncClient


class SyncLock:
    """A `Lock` for a part of a thread's code: `with client.lock("ledger", ttl=30) as lock: …`.

    The client's loop renews it meanwhile. A thread can't be cancelled: call `check` where it matters, which
    raises `LockLost`; the end of the block does so too.
    """

    def __init__(self, client: SyncClient, lock: Lock) -> None:
        self.lock = lock
        """The `Lock` behind it."""
        self._client = client

    def __repr__(self) -> str:
        return f"<Sync{repr(self.lock)[1:]}"

    @property
    def name(self) -> str:
        """Its name."""
        return self.lock.name

    @property
    def token(self) -> int:
        """See `Lock.token`."""
        return self.lock.token

    @property
    def lost(self) -> bool:
        """See `Lock.lost`."""
        return self.lock.lost

    @property
    def remaining(self) -> timedelta:
        """See `Lock.remaining`."""
        return self.lock.remaining

    def check(self) -> None:
        """See `Lock.check`."""
        self.lock.check()

    def acquire(self) -> bool:
        """See `Lock.acquire`."""
        return self._client.run(self.lock.acquire())

    def release(self) -> None:
        """See `Lock.release`."""
        self._client.run(self.lock.release())

    def __enter__(self) -> Self:
        if not self.acquire():
            raise self.lock.refusal()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        lost: LockLost | None = None
        try:
            self.check()
        except LockLost as error:
            lost = error
        self.release()
        if lost is not None and exc is None:
            raise lost
