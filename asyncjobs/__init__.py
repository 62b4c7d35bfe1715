"""Background jobs for asyncio on Redis: atomic, fenced, fast, typed."""

from asyncjobs.client import Client
from asyncjobs.context import JobContext, current_context
from asyncjobs.job import Call, Job
from asyncjobs.options import Exponential, Retention, Retry
from asyncjobs.recurring import RecurringJob
from asyncjobs.registry import Registry
from asyncjobs.schedules import Cron, Every
from asyncjobs.storage.base import State
from asyncjobs.sync import SyncClient, SyncJob
from asyncjobs.worker import Worker

__all__ = [
    "Call",
    "Client",
    "Cron",
    "Every",
    "Exponential",
    "Job",
    "JobContext",
    "RecurringJob",
    "Registry",
    "Retention",
    "Retry",
    "State",
    "SyncClient",
    "SyncJob",
    "Worker",
    "current_context",
]
