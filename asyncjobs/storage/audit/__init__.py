"""Does a namespace contradict itself? What is looked at, and what counts as a contradiction.

A storage takes a `Snapshot` of a shard; `contradictions` judges it, a file a subject. A snapshot of a large
namespace can't be taken in one step, so that on a busy one a contradiction may be one of two moments: what is
found in several snapshots in turn, and confirmed by whoever would mend it, is real.
"""

from __future__ import annotations

from asyncjobs.storage.audit.batches import (
    Counters,
    Tally,
    batches,
    counters_of,
    right_counters,
    tally_of,
)
from asyncjobs.storage.audit.continuations import continuations, unasked
from asyncjobs.storage.audit.facts import (
    KINDS,
    MEND_LIMIT,
    AuditStorage,
    BatchFacts,
    Finding,
    JobFacts,
    LimitFacts,
    Mending,
    RecurringFacts,
    Snapshot,
    WorkerFacts,
)
from asyncjobs.storage.audit.jobs import jobs, places
from asyncjobs.storage.audit.limits import limits
from asyncjobs.storage.audit.queues import queues
from asyncjobs.storage.audit.recurrences import recurrences
from asyncjobs.storage.audit.unique import unique
from asyncjobs.storage.audit.workers import workers

__all__ = [
    "KINDS",
    "MEND_LIMIT",
    "AuditStorage",
    "BatchFacts",
    "Counters",
    "Finding",
    "JobFacts",
    "LimitFacts",
    "Mending",
    "RecurringFacts",
    "Snapshot",
    "Tally",
    "WorkerFacts",
    "contradictions",
    "counters_of",
    "right_counters",
    "tally_of",
    "unasked",
]


def contradictions(found: Snapshot) -> list[Finding]:
    """All contradictions in a snapshot."""
    return [
        *found.findings,
        *jobs(found),
        *places(found),
        *workers(found),
        *queues(found),
        *limits(found),
        *unique(found),
        *batches(found),
        *continuations(found),
        *recurrences(found),
    ]
