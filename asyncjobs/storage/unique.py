"""What crosses the storage contract of unique jobs. Times are ms since 1970 by the storage's clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Until(Enum):
    """For how long a job holds its unique key."""

    STARTED = "s"
    """Until its first attempt begins."""
    FINISHED = "f"
    """Until it is final."""
    PERIOD = "p"
    """For a time, whatever becomes of the job meanwhile."""


@dataclass(slots=True, frozen=True)
class UniqueClaim:
    """A key that only one job holds at a time.

    A key counts as free if its holder is gone, or has ended, `PERIOD` excepted. It is let go of in the very
    step that ends, starts or removes its holder. A job that is enqueued again by hand claims it again, but
    for `PERIOD`; one that is retried, released or recovered doesn't. A member of a batch that is removed
    while that is staging lets go of it even if it is for a `PERIOD`, as it never appeared.

    Nor does a holder count that is sure never to run again: one that waits and is past its deadline, which
    then becomes `cancelled` as `expired`, and one that runs and is to be cancelled. (`PERIOD` excepted.)
    """

    key: str
    until: Until = Until.FINISHED
    period_ms: int = 0
    """Of `PERIOD`: how long, from the job's creation."""
    replaces: bool = False
    """True: takes the key from a job that holds it. If that waits, it becomes `cancelled`; if it runs, or has
    ended, it is left alone. False: while another holds the key, the job isn't created; nor is it with True
    while one that waits holds it which the job itself is to wait for, directly or behind others."""


@dataclass(slots=True, frozen=True)
class Conflict:
    """What a create came to whose unique key another job holds: nothing was written."""

    holder: str
    """The job that holds it."""
