"""A call that can be enqueued, and a job that was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Unpack, cast

from asyncjobs.clock import to_datetime
from asyncjobs.constraints import Constraints
from asyncjobs.options import CallOptions
from asyncjobs.serialization import Output, unpack_call
from asyncjobs.storage.base import HistoryEntry, JobRecord, LogLine, Parent, State

if TYPE_CHECKING:
    from asyncjobs.control import Control
    from asyncjobs.definition import Definition

R_co = TypeVar("R_co", covariant=True)


@dataclass(slots=True, frozen=True)
class Call(Generic[R_co]):
    """A definition with the arguments and options of one call, checked and packed.

    Made by `Definition.call`.
    """

    definition: Definition[..., R_co]
    payload: bytes
    """The packed arguments, as they were when the call was made."""
    outputs: tuple[str, ...] = ()
    """The jobs whose results are among the arguments; "" for the job before, in a chain."""
    constraints: Constraints | None = None
    """Its unique key, limits, expiry and id, where it has any."""

    def options(self, **overrides: Unpack[CallOptions]) -> Call[R_co]:
        """The same call with other options; see `Definition.options`.

        Raises `OptionError`, and `CallError` if a key can't be made of its arguments.
        """
        definition = self.definition.options(**overrides)
        if definition.settings.is_free and definition.settings.secret == self.definition.settings.secret:
            return Call(definition, self.payload, self.outputs)
        # Its keys are made of the arguments themselves, and what is secret is packed with them.
        args, kwargs = self.arguments()
        return definition.call(*args, **kwargs)

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Its positional and keyword arguments: copies, with what stands for other jobs' results in place.

        Raises `SerializationError` if they can't be read.
        """
        return unpack_call(self.definition.registry.serializer, self.payload)


def _time(ms: int) -> datetime | None:
    return to_datetime(ms) if ms else None


class Job(Generic[R_co]):
    """A job in the storage. Its properties are what was known when it was created or last refreshed."""

    __slots__ = ("_client", "_definition", "_record", "id")

    def __init__(self, client: Control, record: JobRecord, definition: Definition[..., R_co] | None) -> None:
        self.id = record.id
        self._client = client
        self._record = record
        self._definition = definition

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.name} {self.state}>"

    # -- what is known of it --

    @property
    def name(self) -> str:
        """The name of its definition."""
        return self._record.name

    @property
    def queue(self) -> str:
        """The queue it is run from."""
        return self._record.queue

    @property
    def priority(self) -> int:
        """Its priority inside the queue; higher runs earlier."""
        return self._record.priority

    @property
    def state(self) -> State:
        """Its state, when last looked at."""
        return self._record.state

    @property
    def attempt(self) -> int:
        """The number of its last attempt, from 1; 0 before the first."""
        return self._record.attempt

    @property
    def failures(self) -> int:
        """Failed attempts that count against its retries."""
        return self._record.failures

    @property
    def recoveries(self) -> int:
        """How many times it was taken back from a worker that died."""
        return self._record.recoveries

    @property
    def worker(self) -> str | None:
        """The worker of its last attempt; None before the first."""
        return self._record.worker or None

    @property
    def created_at(self) -> datetime | None:
        """When it was created, by the storage's clock; None until refreshed."""
        return _time(self._record.created_ms)

    @property
    def enqueued_at(self) -> datetime | None:
        """When it last became `enqueued`."""
        return _time(self._record.enqueued_ms)

    @property
    def due_at(self) -> datetime | None:
        """When it is due, while `scheduled` or `retrying`."""
        return _time(self._record.due_ms)

    @property
    def started_at(self) -> datetime | None:
        """When its last attempt began."""
        return _time(self._record.started_ms)

    @property
    def finished_at(self) -> datetime | None:
        """When it reached its final state."""
        return _time(self._record.finished_ms)

    @property
    def cancel_requested(self) -> bool:
        """True while it runs on though its cancellation was asked for."""
        return self._record.cancel_requested

    @property
    def progress(self) -> float | None:
        """From 0 to 1, as it last said; None if it never did."""
        return self._record.progress

    @property
    def progress_message(self) -> str:
        """What it said with its progress."""
        return self._record.progress_message

    @property
    def keeps_result(self) -> bool:
        """Whether what it returns will be stored, as far as its definition is known here."""
        return self._definition is None or self._definition.settings.keep_result

    @property
    def batch(self) -> str | None:
        """The id of the batch that it is a member of."""
        return self._record.batch or None

    @property
    def parents(self) -> Sequence[Parent]:
        """What it waits for, or waited for."""
        return self._record.parents

    @property
    def unique(self) -> str | None:
        """The unique key that it claims, or claimed; None if it isn't unique."""
        return self._record.unique or None

    @property
    def limits(self) -> tuple[str, ...]:
        """The limits that it is under: names, and keys after a colon."""
        return tuple(use.id for use in self._record.limits)

    @property
    def throttled_by(self) -> str | None:
        """The limit that it waits for, while `throttled`."""
        return self._record.throttled_by or None

    @property
    def expires_at(self) -> datetime | None:
        """When it isn't worth starting any more; None: it always is, or it still waits for its parents."""
        return _time(self._record.deadline_ms)

    @property
    def output(self) -> R_co:
        """Stands for what it will return, as an argument of a continuation: `archive.call(job.output)`.

        To a type checker it is the result. It can be inside lists, tuples, sets and dicts, too; any other use
        raises `OutputError`. The job has to be a parent of the continuation, with `on="succeeded"`.
        """
        return cast(R_co, Output(self.id))

    @property
    def record(self) -> JobRecord:
        """Everything that was read of it, as it is stored."""
        return self._record

    def is_of(self, name: str) -> bool:
        """Whether its definition runs jobs of that name."""
        known = self._definition
        return known is not None and name in (known.name, *known.aliases)

    def stand_for(self, record: JobRecord) -> None:
        """Be the job that is there instead of a new one: it holds the unique key, or the id."""
        self.id, self._record = record.id, record

    # -- what can be done --

    async def refresh(self) -> Job[R_co]:
        """Look at it again; the same object, up to date. Raises `JobNotFound` if it is gone."""
        self._record = await self._client.read(self.id)
        return self

    async def result(self, timeout: timedelta | float | None = None) -> R_co:
        """Wait until it has ended, and return what it returned.

        `timeout`: a `timedelta` or seconds; None waits for as long as it takes, 0 not at all. Raises
        `ResultTimeout`, `JobFailed` (with the error and traceback of the last attempt), `JobCancelled`,
        `ResultNotKept`, or `JobNotFound` if it is removed meanwhile.
        """
        self._record = await self._client.wait_for_end(self.id, timeout)
        return await self._client.outcome(self._record, self._definition)

    async def cancel(self) -> bool:
        """See `Client.cancel`."""
        return await self._client.cancel(self.id)

    async def requeue(self) -> None:
        """See `Client.requeue`."""
        await self._client.requeue(self.id)

    async def run_now(self) -> None:
        """See `Client.run_now`."""
        await self._client.run_now(self.id)

    async def delete(self) -> None:
        """See `Client.delete`."""
        await self._client.delete(self.id)

    async def move(self, queue: str, /) -> None:
        """See `Client.move`."""
        await self._client.move(self.id, queue)

    async def history(self) -> list[HistoryEntry]:
        """Its failed attempts, recoveries and other unusual transitions, oldest first."""
        return await self._client.storage.history(self.id)

    async def logs(self) -> list[LogLine]:
        """What it logged through its context, oldest first."""
        return await self._client.storage.logs(self.id)

    def arguments(self, *, masked: bool = False) -> tuple[list[Any], dict[str, Any]]:
        """Its positional and keyword arguments. `masked`: with dots in place of what is `secret`.

        Raises `SerializationError` if their types aren't known here.
        """
        return self._client.unpack_arguments(self._record, masked=masked)
