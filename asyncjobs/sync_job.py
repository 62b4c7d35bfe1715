"""A job, for code that isn't async."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from asyncjobs.job import Job
from asyncjobs.storage.base import HistoryEntry, LogLine, State

if TYPE_CHECKING:
    from asyncjobs.sync import SyncClient

R_co = TypeVar("R_co", covariant=True)


class SyncJob(Generic[R_co]):
    """A `Job` whose verbs block. `job` is the job itself, with all that is known of it."""

    __slots__ = ("_client", "job")

    def __init__(self, client: SyncClient, job: Job[R_co]) -> None:
        self._client = client
        self.job = job

    def __repr__(self) -> str:
        return f"<SyncJob {self.id} {self.job.name} {self.state}>"

    @property
    def id(self) -> str:
        """Its id."""
        return self.job.id

    @property
    def state(self) -> State:
        """Its state, when last looked at."""
        return self.job.state

    @property
    def output(self) -> R_co:
        """See `Job.output`."""
        return self.job.output

    def refresh(self) -> SyncJob[R_co]:
        """See `Job.refresh`."""
        self._client.run(self.job.refresh())
        return self

    def result(self, timeout: timedelta | float | None = None) -> R_co:
        """See `Job.result`."""
        return self._client.run(self.job.result(timeout))

    def cancel(self) -> bool:
        """See `Client.cancel`."""
        return self._client.run(self.job.cancel())

    def requeue(self) -> None:
        """See `Client.requeue`."""
        self._client.run(self.job.requeue())

    def run_now(self) -> None:
        """See `Client.run_now`."""
        self._client.run(self.job.run_now())

    def delete(self) -> None:
        """See `Client.delete`."""
        self._client.run(self.job.delete())

    def move(self, queue: str, /) -> None:
        """See `Client.move`."""
        self._client.run(self.job.move(queue))

    def history(self) -> list[HistoryEntry]:
        """See `Job.history`."""
        return self._client.run(self.job.history())

    def logs(self) -> list[LogLine]:
        """See `Job.logs`."""
        return self._client.run(self.job.logs())
