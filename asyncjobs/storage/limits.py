"""What crosses the storage contract of limits. Times are ms since 1970 by the storage's clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

MUTEX = "mutex"
"""The name of the limits that mutexes are."""

WINDOWS_LIMIT = 50
"""Windows of rate limits that open in one exchange."""


@dataclass(slots=True, frozen=True)
class Numbers:
    """How many of a limit's jobs may run at once, or start within any span of time."""

    most: int
    per_ms: int = 0
    """The span; 0: so many at once."""


@dataclass(slots=True, frozen=True)
class LimitUse:
    """A limit that a job is under."""

    name: str
    key: str
    """Jobs of one key are counted together; "" is a key, too."""
    numbers: Numbers
    """As its maker knows them. Those that were set by hand count more; else the last one's who made a job."""

    @property
    def id(self) -> str:
        """Name and key: what is counted."""
        return f"{self.name}:{self.key}" if self.key else self.name


@dataclass(slots=True)
class LimitRecord:
    """What is known of one key of a limit, while anything is."""

    id: str
    numbers: Numbers
    running: int
    """Jobs that hold it: those that are processing."""
    started: int
    """Of one with a span: how many have started within the last one."""
    enqueued: int
    """Jobs that are in their queues, for it has room for them."""
    throttled: int
    """Jobs that wait for it."""


@dataclass(slots=True)
class LimitSetting:
    """A limit's numbers, for all its keys."""

    name: str
    numbers: Numbers
    by_hand: bool
    """They were set by hand, and not by the last job's maker."""


class LimitStorage(Protocol):
    """What a storage does with limits. A limit is on the shard that its name hashes to (`ids.shard_for`).

    A job under limits holds them while it is `processing`: all of them, or none. It gets them in the exchange
    that grants it, and lets go of them in the very step that takes it out of that state, whatever that is. A
    limit with a span counts starts, which nobody gives back.

    While a key has no room for another job of a queue (those that it has let into that queue are counted,
    too), jobs that would be enqueued become `throttled` instead, and so do those that lose the race for it
    when they are to be granted. They wait by priority, and by when they were enqueued first. When there is
    room, the first of them are put at the tail of their queue (by priority where they have one); their
    `enqueued_ms` stays as it was. So nothing looks again and again, one key's jobs don't stand in the way of
    others, and keys take turns where there are more jobs than slots.
    """

    async def set_limit(self, name: str, numbers: Numbers | None) -> None:
        """Set a limit's numbers by hand, for all its keys; None: back to those of the next job's maker.

        Jobs that may run now are let go; of those that run too many, none is stopped. Numbers of another kind
        than those of the jobs' makers (so many at once, so many within a span) are undone by the next job.
        """
        ...

    async def limit_settings(self) -> list[LimitSetting]:
        """All limits that jobs were ever made under, by name."""
        ...

    async def limits(self, *, offset: int = 0, limit: int = 50) -> tuple[list[LimitRecord], int]:
        """A page of the keys that jobs run, are enqueued or wait under, by id, and how many there are."""
        ...
