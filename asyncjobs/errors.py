"""Every error that asyncjobs raises, one class per thing a caller can act on.

    AsyncjobsError
    ├── OptionError                 a setting or option that can't be right (also a ValueError)
    ├── DefinitionError             a job declared wrongly (also a TypeError)
    ├── CallError                   arguments that don't fit the job's signature (also a TypeError)
    ├── UnknownJob                  no definition of that name in the registry
    ├── SerializationError          a value that can't be packed or unpacked
    │   └── PayloadTooLarge         packed arguments or a result over the size limit
    ├── StorageError                Redis (or another storage) refused or can't be used
    │   ├── StorageUnavailable      no answer within the time allowed
    │   ├── StorageFull             Redis is at its memory limit and refuses to grow
    │   ├── NotReplicated           stored, but not confirmed by a replica (durability="replicated")
    │   ├── SchemaMismatch          the namespace was written by an incompatible version
    │   └── WorkerGone              the worker's entry was reaped: it has to register anew
    ├── JobNotFound                 no job of that id (never made, deleted, or past its retention)
    ├── RecurringNotFound           no recurring job of that id
    ├── WrongDefinition             the job is of another definition than the one given
    ├── JobStateError               the job's state doesn't allow what was asked
    ├── ResultTimeout               the job didn't finish in the time given (also a TimeoutError)
    ├── JobFailed                   the job ended `failed`
    ├── JobCancelled                the job ended `cancelled`
    ├── ResultNotKept               the job succeeded, but its result isn't kept
    ├── OutputError                 `job.output` used as if it were the result, or a result that isn't there
    ├── ParentGone                  a job or batch to be continued isn't there (any more)
    ├── BatchNotFound               no batch of that id (any more)
    ├── BatchClosed                 the batch is cancelled: nothing can be added to it
    ├── UniqueConflict              another job holds the unique key
    ├── LockNotAcquired             a lock that wasn't free in time (also a TimeoutError)
    ├── LockLost                    a lock that can't be relied on any more
    ├── NotInJob                    `current_context()` outside a job
    ├── LifespanError               a registry's lifespan failed, or there is none whose state is asked for
    ├── MiddlewareError             a middleware called `call_next` too often, or not at all
    ├── AppImportError              `module:object` on the command line can't be imported
    └── EmbeddedServerError         the packaged Valkey can't be started

`RetryLater` and `Snooze` aren't errors of asyncjobs: a job raises them to say what should become of it.
"""

from __future__ import annotations

from datetime import timedelta

__all__ = [
    "AppImportError",
    "AsyncjobsError",
    "BatchClosed",
    "BatchNotFound",
    "CallError",
    "DefinitionError",
    "EmbeddedServerError",
    "JobCancelled",
    "JobFailed",
    "JobNotFound",
    "JobStateError",
    "JobTimeout",
    "LifespanError",
    "LockLost",
    "LockNotAcquired",
    "MiddlewareError",
    "NotInJob",
    "NotReplicated",
    "OptionError",
    "OutputError",
    "ParentGone",
    "PayloadTooLarge",
    "RecurringNotFound",
    "ResultNotKept",
    "ResultTimeout",
    "RetryLater",
    "SchemaMismatch",
    "SerializationError",
    "Snooze",
    "StorageError",
    "StorageFull",
    "StorageUnavailable",
    "UniqueConflict",
    "UnknownJob",
    "WorkerGone",
    "WrongDefinition",
]


class AsyncjobsError(Exception):
    """Base of every error that asyncjobs raises."""


class OptionError(AsyncjobsError, ValueError):
    """A setting or option that can't be right; the message says which and what would be."""


class DefinitionError(AsyncjobsError, TypeError):
    """A job that is declared wrongly; raised where it is declared."""


class CallError(AsyncjobsError, TypeError):
    """Arguments that don't fit the job's signature; raised by `enqueue`, not in the worker."""


class UnknownJob(AsyncjobsError, LookupError):
    """A job's name is in no definition of the registry."""


class SerializationError(AsyncjobsError):
    """A value can't be packed, or packed bytes can't be read; the message names the argument."""


class PayloadTooLarge(SerializationError):
    """Packed arguments, or a packed result, are larger than the limit allows."""


class StorageError(AsyncjobsError):
    """The storage refused a request or can't be used as it is."""


class StorageUnavailable(StorageError):
    """The storage gave no answer within the time allowed; the request may or may not have been carried out.

    Every request of asyncjobs can safely be sent again.
    """


class StorageFull(StorageError):
    """Redis has reached `maxmemory` and refuses to store more. Nothing of the request was written."""


class NotReplicated(StorageError):
    """With `durability="replicated"`: the master has stored the job, but no replica confirmed it in time.

    It will run; it is lost only if the master is lost before a replica has it.
    """


class SchemaMismatch(StorageError):
    """The namespace's data has a schema version that this version of asyncjobs can't work with."""


class WorkerGone(StorageError):
    """The worker's entry is gone or being reaped: its leases are lost and it must register under a new id."""


class JobNotFound(AsyncjobsError, LookupError):
    """There is no job of that id: it was never created, was deleted, or is past its retention."""


class RecurringNotFound(AsyncjobsError, LookupError):
    """There is no recurring job of that id: it was never put or declared, or was removed."""


class WrongDefinition(AsyncjobsError, TypeError):
    """The job with that id belongs to another definition than the one that was given."""


class JobStateError(AsyncjobsError):
    """What was asked can't be done to a job in its present state; nothing was changed."""


class ResultTimeout(AsyncjobsError, TimeoutError):
    """The job didn't reach a final state within the time-out; it goes on as before."""


class JobFailed(AsyncjobsError):
    """The job ended `failed`.

    `error_type`, `error_message` and `traceback` are those of its last attempt, as text.
    """

    def __init__(
        self, job_id: str, error_type: str = "", error_message: str = "", traceback: str = ""
    ) -> None:
        self.job_id = job_id
        self.error_type = error_type
        self.error_message = error_message
        self.traceback = traceback
        reason = f"{error_type}: {error_message}" if error_type else "no reason was recorded"
        super().__init__(f"job {job_id} failed: {reason}")

    def __reduce__(self) -> tuple[type[JobFailed], tuple[str, str, str, str]]:
        return JobFailed, (self.job_id, self.error_type, self.error_message, self.traceback)


class JobCancelled(AsyncjobsError):
    """The job ended `cancelled`."""


class ResultNotKept(AsyncjobsError):
    """The job succeeded, but was declared with `keep_result=False`, so its return value isn't stored."""


class OutputError(AsyncjobsError):
    """`job.output` was used other than as an argument of a continuation, or its result isn't there."""


class ParentGone(AsyncjobsError, LookupError):
    """A job or batch that was to be continued isn't there: never created, deleted, or past its retention.

    Nothing was created.
    """


class BatchNotFound(AsyncjobsError, LookupError):
    """There is no batch of that id: it was never committed, or is past its retention."""


class BatchClosed(AsyncjobsError):
    """The batch is cancelled: nothing can be added to it. Nothing was created."""


class UniqueConflict(AsyncjobsError):
    """Another job holds the unique key, and `on_conflict="raise"`. Nothing was created.

    Also with `"replace"`, if the new job is to wait for that other one, which it would have cancelled.
    `job_id` is the other job's id, `key` the unique key.
    """

    def __init__(self, name: str, key: str, job_id: str, why: str = "") -> None:
        self.name = name
        self.key = key
        self.job_id = job_id
        self._why = why
        super().__init__(f"{name} wasn't created: job {job_id} holds its unique key {key!r}{why}")

    def __reduce__(self) -> tuple[type[UniqueConflict], tuple[str, str, str, str]]:
        return UniqueConflict, (self.name, self.key, self.job_id, self._why)


class LockNotAcquired(AsyncjobsError, TimeoutError):
    """A lock wasn't free in the time that its `wait` allows, or too few of a `Redlock`'s servers answered."""


class LockLost(AsyncjobsError):
    """A lock can't be relied on any more: it wasn't renewed in time, or was released by hand.

    Another may hold it. What was done under it and can't be done twice has to be looked at.
    """


class NotInJob(AsyncjobsError, RuntimeError):
    """`current_context()` was called outside a running job."""


class LifespanError(AsyncjobsError, RuntimeError):
    """A registry's lifespan failed at a worker's start, so that it doesn't run, or ended before the worker.

    `__cause__` is what it raised. Also: `context.state` was asked for where the registry has no lifespan.
    """


class MiddlewareError(AsyncjobsError, RuntimeError):
    """A middleware called `call_next` a second time; or, around an enqueue, returned without calling it."""


class AppImportError(AsyncjobsError, ImportError):
    """`module:object` can't be imported, or isn't what is needed; the message says why."""


class EmbeddedServerError(AsyncjobsError):
    """The packaged Valkey can't be started; the message says why and what to do instead."""


class JobTimeout(AsyncjobsError, TimeoutError):
    """An attempt ran longer than its job's `timeout` and was stopped. Recorded as the attempt's error."""


class RetryLater(Exception):
    """Raise it in a job to fail this attempt and have the next one at a time of your choosing.

    It uses up one retry; with none left the job fails. `delay` is a `timedelta` or seconds.
    """

    def __init__(self, delay: timedelta | float, reason: str = "") -> None:
        self.delay = delay
        self.reason = reason
        super().__init__(reason or f"asked to be retried in {delay}")

    def __reduce__(self) -> tuple[type[RetryLater], tuple[timedelta | float, str]]:
        return RetryLater, (self.delay, self.reason)


class Snooze(BaseException):
    """What `context.snooze(delay)` raises: the job runs again after `delay`, with no attempt used.

    It derives from `BaseException` so that a job's own `except Exception` doesn't swallow it.
    """

    def __init__(self, delay: timedelta | float) -> None:
        self.delay = delay
        super().__init__(delay)
