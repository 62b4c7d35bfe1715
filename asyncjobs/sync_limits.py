"""`SyncClient.limits`: the limits of a namespace for code that isn't async."""

from __future__ import annotations

import builtins
from datetime import timedelta
from typing import TYPE_CHECKING

from asyncjobs.limits import LimitInfo, LimitNumbers, Limits

if TYPE_CHECKING:
    from asyncjobs.sync import SyncClient


class SyncLimits:
    """`Limits` whose verbs block."""

    def __init__(self, client: SyncClient) -> None:
        self._client = client

    @property
    def _limits(self) -> Limits:
        return self._client.client.limits

    def list(self, *, offset: int = 0, limit: int = 100) -> builtins.list[LimitInfo]:
        """See `Limits.list`."""
        return self._client.run(self._limits.list(offset=offset, limit=limit))

    def count(self) -> int:
        """See `Limits.count`."""
        return self._client.run(self._limits.count())

    def numbers(self) -> builtins.list[LimitNumbers]:
        """See `Limits.numbers`."""
        return self._client.run(self._limits.numbers())

    def set(
        self,
        name: str,
        /,
        *,
        concurrency: int | None = None,
        rate: int | None = None,
        per: timedelta | float = 1.0,
    ) -> None:
        """See `Limits.set`."""
        self._client.run(self._limits.set(name, concurrency=concurrency, rate=rate, per=per))

    def reset(self, name: str, /) -> None:
        """See `Limits.reset`."""
        self._client.run(self._limits.reset(name))
