"""The states of a job, and the bounds that every storage keeps to."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The states of a job. `staging` is for members of a batch that isn't committed yet."""

    STAGING = "staging"
    AWAITING = "awaiting"
    SCHEDULED = "scheduled"
    ENQUEUED = "enqueued"
    THROTTLED = "throttled"
    PROCESSING = "processing"
    RETRYING = "retrying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """True of `succeeded`, `failed` and `cancelled`: the job runs again only if somebody requeues it."""
        return self in FINAL_STATES


FINAL_STATES = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

PRIORITY_LIMIT = 500
"""Priorities go from -500 to 500; 0 is the plain queue, higher runs earlier."""

STUB_MS = 60_000
"""How long a removed job's id is remembered, so that a create sent again doesn't bring it back."""

HISTORY_LIMIT = 100
"""Entries kept of a job's history; the oldest go first."""

LOG_LIMIT = 1_000
"""Lines kept of a job's log; the oldest go first."""

PROMOTE_LIMIT = 200
"""Due jobs moved by one exchange, of the scheduled and of the retrying ones each."""

SKIP_LIMIT = 500
"""Ids that one exchange skips in a queue because their job isn't enqueued there any more."""

FOLLOW_LIMIT = 250
"""Continuations or members of batches that one step deals with; `Storage.carry_on` does the rest."""

TRIM_LOOK = 100
"""Jobs over their list's number that one step of trimming passes over, for they are still needed."""

PIN_MS = 3_600_000
"""A job past its retention that is still needed is looked at again after this time."""
