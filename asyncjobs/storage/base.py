"""The storage contract: the list of transitions. What crosses it is in `records.py`, and can be had here too.

Every method of `Storage` is one whole transition (or one read), never a key operation. Each is atomic per
shard, and each may be sent twice: the second time changes nothing and gives the same answer. Rules that
hold for all of them:

* Time is the storage's own clock, in milliseconds since 1970; a caller's clock decides nothing.
* A transition reads the job's state first and never trusts the caller's idea of it.
* A job is on the shard that its id names (`ids.shard_of`); a worker registers on every shard separately.
* A method that can't reach the storage raises `StorageUnavailable`; the caller may send the same again.

Nothing above this module imports `redis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from asyncjobs.storage.audit import AuditStorage
from asyncjobs.storage.batches import (
    BATCH_RETENTION_MS,
    NEST_LIMIT,
    STAGING_MS,
    SWEEP_LIMIT,
    BatchRecord,
    BatchState,
    BatchStorage,
    Members,
    NewBatch,
    Opened,
)
from asyncjobs.storage.dependencies import Follow, On, Parent
from asyncjobs.storage.heartbeats import HeartbeatLink
from asyncjobs.storage.limits import (
    MUTEX,
    WINDOWS_LIMIT,
    LimitRecord,
    LimitSetting,
    LimitStorage,
    LimitUse,
    Numbers,
)
from asyncjobs.storage.locks import (
    DROP_LIMIT,
    TOLD_LIMIT,
    TOLD_MS,
    WAITER_MS,
    LockRecord,
    LockReply,
    LockStorage,
)
from asyncjobs.storage.queues import QueueStorage
from asyncjobs.storage.records import (
    Bucket,
    HistoryEntry,
    JobRecord,
    LogLine,
    Note,
    Page,
    QueueRecord,
    ServerRecord,
    Stats,
    WorkerRecord,
)
from asyncjobs.storage.recurrences import (
    ALIVE_MS,
    OPEN_LIMIT,
    ORPHAN_MS,
    WAIT_MS,
    Changed,
    Due,
    DueReply,
    Fired,
    Firing,
    NewRecurring,
    Put,
    RecurringPage,
    RecurringRecord,
    RecurringStorage,
    Renewed,
    Triggered,
)
from asyncjobs.storage.states import (
    FINAL_STATES,
    FOLLOW_LIMIT,
    HISTORY_LIMIT,
    LOG_LIMIT,
    PIN_MS,
    PRIORITY_LIMIT,
    PROMOTE_LIMIT,
    SKIP_LIMIT,
    STUB_MS,
    TRIM_LOOK,
    State,
)
from asyncjobs.storage.transitions import (
    Cancelled,
    Created,
    Deleted,
    ExchangeReply,
    ExchangeRequest,
    Finish,
    Finished,
    Grant,
    HeartbeatReply,
    Moved,
    NewJob,
    Outcome,
    ReapReply,
    Requeued,
    Retention,
)
from asyncjobs.storage.unique import Conflict, UniqueClaim, Until

__all__ = [
    "ALIVE_MS",
    "BATCH_RETENTION_MS",
    "DROP_LIMIT",
    "FINAL_STATES",
    "FOLLOW_LIMIT",
    "HISTORY_LIMIT",
    "LOG_LIMIT",
    "MUTEX",
    "NEST_LIMIT",
    "OPEN_LIMIT",
    "ORPHAN_MS",
    "PIN_MS",
    "PRIORITY_LIMIT",
    "PROMOTE_LIMIT",
    "SKIP_LIMIT",
    "STAGING_MS",
    "STUB_MS",
    "SWEEP_LIMIT",
    "TOLD_LIMIT",
    "TOLD_MS",
    "TRIM_LOOK",
    "WAITER_MS",
    "WAIT_MS",
    "WINDOWS_LIMIT",
    "BatchRecord",
    "BatchState",
    "BatchStorage",
    "Bucket",
    "Cancelled",
    "Changed",
    "Conflict",
    "Created",
    "Deleted",
    "Due",
    "DueReply",
    "ExchangeReply",
    "ExchangeRequest",
    "Finish",
    "Finished",
    "Fired",
    "Firing",
    "Follow",
    "Grant",
    "HeartbeatLink",
    "HeartbeatReply",
    "HistoryEntry",
    "JobRecord",
    "LimitRecord",
    "LimitSetting",
    "LimitStorage",
    "LimitUse",
    "LockRecord",
    "LockReply",
    "LockStorage",
    "LogLine",
    "Members",
    "Moved",
    "NewBatch",
    "NewJob",
    "NewRecurring",
    "Note",
    "Numbers",
    "On",
    "Opened",
    "Outcome",
    "Page",
    "Parent",
    "Put",
    "QueueRecord",
    "QueueStorage",
    "ReapReply",
    "RecurringPage",
    "RecurringRecord",
    "RecurringStorage",
    "Renewed",
    "Requeued",
    "Retention",
    "ServerRecord",
    "State",
    "Stats",
    "Storage",
    "Triggered",
    "UniqueClaim",
    "Until",
    "WorkerRecord",
]


@runtime_checkable
class Storage(
    QueueStorage, BatchStorage, RecurringStorage, LimitStorage, LockStorage, AuditStorage, Protocol
):
    """All that asyncjobs asks of a storage."""

    @property
    def shards(self) -> int:
        """How many parts the namespace has."""
        ...

    async def open(self) -> None:
        """Connect, and check that the namespace's data is of a version this code knows. Idempotent."""
        ...

    async def close(self) -> None:
        """Let go of everything. Idempotent."""
        ...

    # -- jobs --

    async def create(self, jobs: Sequence[NewJob]) -> list[Created | Conflict]:
        """Create jobs: → `enqueued` (at the queue's tail or among its priority); → `scheduled` if due later.

        One with parents → `awaiting` until all of them are met (see `dependencies`), and then as above, its
        delay counted from then; a parent that has ended counts at once. One whose batch is staging →
        `staging`; one that is added to a batch that has finished opens that again. Parents come before their
        children, and may be on other shards. One whose unique key another holds isn't made, or takes the
        other's place (see `UniqueClaim`). One for which its limits have no room → `throttled` where it would
        be enqueued (see `LimitStorage`).
        A new queue becomes known, and the queue's marker is put unless it is paused. A scheduled job that is
        now the earliest puts the marker as well, so that an idle worker learns of it.
        Raises `StorageFull` if the storage is full: then nothing of the refused shard's jobs was written.
        """
        ...

    async def cancel(self, job_id: str, request_id: str) -> Cancelled:
        """Any state that isn't final → `cancelled`; `processing` is told to its worker instead.

        The same `request_id` again is answered as the first time, and does nothing.
        An enqueued job's id may stay in its queue's list, where `exchange` skips it.
        """
        ...

    async def requeue(self, job_id: str, request_id: str) -> Requeued:
        """A final state → `enqueued`, at the tail. A batch that it is a member of is open again.

        In vain if that is cancelled, and refused (`WRONG_STATE`) while that is staging; refused also while
        another job holds its unique key. It doesn't expire any more.

        Its failures, recoveries and result are forgotten; attempts go on counting.
        A cancelled job whose id still lies in its queue takes up its old place.
        The same `request_id` again is answered as the first time, and does nothing.
        """
        ...

    async def promote(self, job_id: str, request_id: str) -> Requeued:
        """`scheduled` or `retrying` → `enqueued` now, whatever its due time."""
        ...

    async def move(self, job_id: str, queue: str) -> Moved:
        """Any state but `processing` → the same, but of another queue; `enqueued`: to the tail of that.

        A throttled one waits for its limits there, or is let in. A recovered job stays a suspect. One that
        comes back to a queue is at its tail as well, and nowhere else in it.
        """
        ...

    async def delete(self, job_id: str, request_id: str = "") -> Deleted:
        """Remove a job in any state but `processing`, with its history and log.

        Its id stays known for `STUB_MS`. Continuations that still wait for it are cancelled. A member of a
        batch that hadn't ended counts as cancelled.

        As long as it is, the same `request_id` again is answered as the first time.
        """
        ...

    async def get(self, job_id: str) -> JobRecord | None:
        """The job, or None if there is none (any more)."""
        ...

    async def history(self, job_id: str) -> list[HistoryEntry]:
        """Its unusual transitions, oldest first."""
        ...

    async def logs(self, job_id: str) -> list[LogLine]:
        """What it logged, oldest first."""
        ...

    async def jobs(
        self,
        state: State,
        *,
        queue: str | None = None,
        offset: int = 0,
        limit: int = 50,
        newest_first: bool = False,
    ) -> Page:
        """A page of the jobs in a state, in the order of their list.

        `enqueued`: as they'll be run, one queue's (queue given) or queue by queue; `scheduled`, `retrying`:
        by due time; `processing`: by worker; `awaiting` and final states: by the time they became so. `queue`
        is for `enqueued` only.
        """
        ...

    async def held(self, worker: str, *, limit: int = 50) -> Page:
        """The jobs that a worker has leases on: the first by id, and how many there are."""
        ...

    async def annotate(self, worker: str, notes: Sequence[Note]) -> None:
        """Store progress and log lines of running attempts; those not leased to `worker` are dropped."""
        ...

    # -- waiting for a job's end --

    async def watch(self, job_id: str, inbox: str) -> JobRecord | None:
        """Ask that `inbox` be told when the job ends. The job as it is now; None if there is none.

        A job that is final already isn't registered.
        """
        ...

    async def receive(self, shard: int, inbox: str, timeout: float) -> list[str]:
        """Wait up to `timeout` seconds for ends of watched jobs on a shard; ids of some, or an empty list."""
        ...

    # -- running jobs --

    async def register(self, shard: int, worker: str, info: dict[str, object], lease_ms: int) -> int:
        """Make a worker's entry, with a lease of `lease_ms`; the storage's time. Ids are never reused."""
        ...

    async def unregister(self, shard: int, worker: str) -> bool:
        """Remove a worker's entry if it holds no lease; else False, and nothing is changed."""
        ...

    def heartbeat_link(self, shard: int, worker: str, lease_ms: int) -> HeartbeatLink:
        """A link for the worker's heartbeat thread. Connects when first used."""
        ...

    async def exchange(self, shard: int, request: ExchangeRequest) -> ExchangeReply:
        """Finish what is done and fetch as many as there are free slots, in one step.

        In order: (1) each finish whose lease is this worker's is carried out (`processing` → `succeeded`,
        `failed`, `retrying`, `scheduled`, `cancelled` or `enqueued`), else it is `LOST`; a job asked to be
        cancelled becomes `cancelled` where it would be retried, snoozed or released; (2) due jobs of the
        shard → `enqueued`, in bounded chunks; (3) up to `slots` jobs of the named queues that aren't paused →
        `processing`, priorities above 0 first, then the plain queue, then those below; ids whose job isn't
        enqueued there any more are skipped; a recovered job (a suspect) goes before all others of its queue,
        but only one at a time per worker; one whose limits have no room → `throttled`, one that has expired →
        `cancelled`; (4) the marker of every named queue that isn't paused and still has
        jobs is put back (suspects count only if this exchange granted one of that queue: they wake the next
        worker, not this one again and again); (5) of each final list that this exchange added to, jobs past
        their retention are removed, at most twice as many as it added.

        Released jobs go to the head of their queue (a suspect, to the head of the suspects) one after
        another, so the last of them ends up first.

        Raises `WorkerGone` if the worker's entry is absent or being reaped; a `number` lower than the last
        one is refused with `StorageError`.
        """
        ...

    async def wait_for_work(self, shard: int, queues: Sequence[str], timeout: float) -> str | None:
        """Take the marker of one of the queues, waiting up to `timeout` seconds; the queue's name, or None.

        Whoever takes a marker owes an exchange that names it. So does whoever cancels this call.
        """
        ...

    async def reap(self, shard: int, worker: str | None = None, *, limit: int = 100) -> ReapReply:
        """Take back up to `limit` leases of a worker whose lease has run out, or of `worker`, known dead.

        A job asked to be cancelled → `cancelled`. If the dead worker was running it as its suspect, that is a
        death of its own: the job's `max_recoveries`-th one → `failed`. Else → `enqueued` as a suspect.
        When all are taken back, the entry is removed. After a time in which no worker at all could renew its
        lease (longer than half a lease), nothing is reaped for one full lease, `worker` excepted.
        """
        ...

    async def command(self, worker: str, command: str) -> bool:
        """Tell a worker "quiet" or "stop"; False if there is no such worker."""
        ...
