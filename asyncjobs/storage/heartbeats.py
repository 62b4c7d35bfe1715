"""What a storage gives to a worker's heartbeat thread."""

from __future__ import annotations

from typing import Protocol

from asyncjobs.storage.transitions import HeartbeatReply


class HeartbeatLink(Protocol):
    """A worker's lease on one shard, renewed from a thread of its own.

    Its methods block, and are for that thread only.
    """

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a message to the worker (a cancel, a command): did one come?"""
        ...

    def beat(self, held: int, info: dict[str, object] | None = None) -> HeartbeatReply:
        """Renew the lease.

        `held`: how many leases the worker thinks it has. `info` replaces what it says of itself.

        Raises `WorkerGone` if its entry is absent or being reaped, `StorageUnavailable` if nothing answers.
        """
        ...

    def close(self) -> None:
        """Let go of the connection. May be called from any thread, and ends a `wait` within its time-out."""
        ...
