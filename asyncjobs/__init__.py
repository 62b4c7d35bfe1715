"""Background jobs for asyncio on Redis: atomic, fenced, fast, typed."""

from asyncjobs.batch import Batch
from asyncjobs.batch_builder import BatchBuilder
from asyncjobs.client import Client
from asyncjobs.context import JobContext, current_context
from asyncjobs.drafts import EnqueueContext, JobDraft
from asyncjobs.job import Call, Job
from asyncjobs.limit import Limit
from asyncjobs.limits import LimitInfo, LimitNumbers
from asyncjobs.locks import Lock
from asyncjobs.middleware import CallNext
from asyncjobs.monitoring import LockInfo
from asyncjobs.options import Exponential, Retention, Retry
from asyncjobs.processes import ProcessContext
from asyncjobs.recurring import RecurringJob
from asyncjobs.redlock import Redlock
from asyncjobs.registry import Registry
from asyncjobs.schedules import Cron, Every
from asyncjobs.serialization import PREVIOUS
from asyncjobs.storage.base import BatchState, State
from asyncjobs.sync import SyncClient
from asyncjobs.sync_batch import SyncBatch
from asyncjobs.sync_job import SyncJob
from asyncjobs.sync_lock import SyncLock
from asyncjobs.unique import Unique
from asyncjobs.worker import Worker

__all__ = [
    "PREVIOUS",
    "Batch",
    "BatchBuilder",
    "BatchState",
    "Call",
    "CallNext",
    "Client",
    "Cron",
    "EnqueueContext",
    "Every",
    "Exponential",
    "Job",
    "JobContext",
    "JobDraft",
    "Limit",
    "LimitInfo",
    "LimitNumbers",
    "Lock",
    "LockInfo",
    "ProcessContext",
    "RecurringJob",
    "Redlock",
    "Registry",
    "Retention",
    "Retry",
    "State",
    "SyncBatch",
    "SyncClient",
    "SyncJob",
    "SyncLock",
    "Unique",
    "Worker",
    "current_context",
]
