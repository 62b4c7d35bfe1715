"""`SyncClient.recurring`: the recurring jobs of a namespace for code that isn't async."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack
from zoneinfo import ZoneInfo

from asyncjobs.job import Call
from asyncjobs.recurrence import RecurringOptions
from asyncjobs.recurring import RecurringJob
from asyncjobs.schedules import Schedule

if TYPE_CHECKING:
    from asyncjobs.job import Job
    from asyncjobs.sync import SyncClient
    from asyncjobs.sync_job import SyncJob


class SyncRecurringJobs:
    """`RecurringJobs` whose verbs block."""

    def __init__(self, client: SyncClient, job: Callable[[Job[Any]], SyncJob[Any]]) -> None:
        self._client = client
        self._job = job

    def put(
        self,
        recurring_id: str,
        schedule: str | timedelta | Schedule,
        call: Call[Any],
        /,
        **options: Unpack[RecurringOptions],
    ) -> RecurringJob:
        """See `RecurringJobs.put`."""
        return self._client.run(self._client.client.recurring.put(recurring_id, schedule, call, **options))

    def reschedule(
        self,
        recurring_id: str,
        schedule: str | timedelta | Schedule,
        /,
        *,
        timezone: str | ZoneInfo | None = None,
    ) -> RecurringJob:
        """See `RecurringJobs.reschedule`."""
        return self._client.run(
            self._client.client.recurring.reschedule(recurring_id, schedule, timezone=timezone)
        )

    def reset(self, recurring_id: str, /) -> RecurringJob:
        """See `RecurringJobs.reset`."""
        return self._client.run(self._client.client.recurring.reset(recurring_id))

    def preview(
        self,
        recurring_id: str,
        schedule: str | timedelta | Schedule | None = None,
        /,
        *,
        timezone: str | ZoneInfo | None = None,
        count: int = 5,
    ) -> builtins.list[datetime]:
        """See `RecurringJobs.preview`."""
        return self._client.run(
            self._client.client.recurring.preview(recurring_id, schedule, timezone=timezone, count=count)
        )

    def get(self, recurring_id: str, /) -> RecurringJob | None:
        """See `RecurringJobs.get`."""
        return self._client.run(self._client.client.recurring.get(recurring_id))

    def list(self, *, offset: int = 0, limit: int = 100) -> builtins.list[RecurringJob]:
        """See `RecurringJobs.list`."""
        return self._client.run(self._client.client.recurring.list(offset=offset, limit=limit))

    def count(self) -> int:
        """See `RecurringJobs.count`."""
        return self._client.run(self._client.client.recurring.count())

    def remove(self, recurring_id: str, /) -> None:
        """See `RecurringJobs.remove`."""
        self._client.run(self._client.client.recurring.remove(recurring_id))

    def pause(self, recurring_id: str, /) -> None:
        """See `RecurringJobs.pause`."""
        self._client.run(self._client.client.recurring.pause(recurring_id))

    def resume(self, recurring_id: str, /) -> None:
        """See `RecurringJobs.resume`."""
        self._client.run(self._client.client.recurring.resume(recurring_id))

    def trigger(self, recurring_id: str, /) -> SyncJob[Any]:
        """See `RecurringJobs.trigger`."""
        return self._job(self._client.run(self._client.client.recurring.trigger(recurring_id)))
