"""What a running job knows of itself, and can say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from asyncjobs.clock import to_datetime
from asyncjobs.errors import NotInJob, OptionError, Snooze
from asyncjobs.lifespan import NO_STATE, state_or_error
from asyncjobs.serialization import unpack_call
from asyncjobs.storage.base import Grant, Note

if TYPE_CHECKING:
    from asyncjobs.batch import Batch
    from asyncjobs.client import Client
    from asyncjobs.definition import Definition
    from asyncjobs.sync import SyncClient
    from asyncjobs.sync_batch import SyncBatch

_NO_CLIENT = "a job that runs in a process of its own has no client; open one, or return what to enqueue"
_STATE_ELSEWHERE = (
    "a job that runs in a process of its own doesn't see what the worker's lifespan has yielded: open what it"
    " needs in the job, or at the top of its module"
)

_current: ContextVar[JobContext] = ContextVar("asyncjobs_context")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all jobs have in common that run in a worker's own process."""

    client: Client
    make_sync_client: Callable[[], SyncClient]
    state: Any = NO_STATE
    """What the lifespan has yielded."""


class JobContext:
    """A running attempt. A job declared with `context=True` gets it as its first argument."""

    __slots__ = ("_arguments", "_definition", "_grant", "_sink", "_surroundings", "cancelled")

    def __init__(
        self,
        grant: Grant,
        definition: Definition[..., Any],
        sink: Callable[[Note], None],
        surroundings: Surroundings | None,
    ) -> None:
        self._grant = grant
        self._definition = definition
        self._sink = sink
        self._surroundings = surroundings
        self.cancelled: bool = False
        """True once the attempt is to stop (cancelled, timed out, shutdown).

        For plain functions, which can't be interrupted.
        """

    @property
    def id(self) -> str:
        """The job's id."""
        return self._grant.id

    @property
    def name(self) -> str:
        """The name of its definition."""
        return self._grant.name

    @property
    def queue(self) -> str:
        """The queue it came from."""
        return self._grant.queue

    @property
    def attempt(self) -> int:
        """This attempt's number, from 1."""
        return self._grant.attempt

    @property
    def failures(self) -> int:
        """How many attempts have failed before."""
        return self._grant.failures

    @property
    def enqueued_at(self) -> datetime:
        """When the job became `enqueued` for this attempt."""
        return to_datetime(self._grant.enqueued_ms)

    @property
    def arguments(self) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The positional and the keyword arguments of the job, results of its parents filled in.

        They are copies: changing one changes nothing for the job. Raises `SerializationError` if they can't
        be read, and `OutputError` if a parent's result isn't there.
        """
        # Not prepared by every attempt, for few are asked.
        if not hasattr(self, "_arguments"):
            serializer = self._definition.registry.serializer
            args, kwargs = unpack_call(serializer, self._grant.payload, self._grant.outputs or {})
            self._arguments: tuple[tuple[Any, ...], Mapping[str, Any]] = tuple(args), MappingProxyType(kwargs)
        return self._arguments

    @property
    def state(self) -> Any:
        """What the registry's lifespan has yielded in this worker.

        Raises `LifespanError` if the registry has none, and `NotInJob` in jobs that run in a process of their
        own.
        """
        return state_or_error(self._within(_STATE_ELSEWHERE).state)

    @property
    def client(self) -> Client:
        """The worker's client, to enqueue further jobs. Not in jobs that run in a process of their own."""
        return self._within(_NO_CLIENT).client

    @property
    def batch(self) -> Batch | None:
        """The batch that the job is a member of, to add further jobs to; None if it isn't in one.

        Not in jobs that run in a process of their own.
        """
        return self.client.batch_of(self._grant.batch) if self._grant.batch else None

    @property
    def sync_client(self) -> SyncClient:
        """The worker's client with verbs that block, for plain functions that run in a thread."""
        return self._within(_NO_CLIENT).make_sync_client()

    @property
    def sync_batch(self) -> SyncBatch | None:
        """The batch that the job is a member of, with verbs that block, for plain functions in a thread."""
        return self.sync_client.batch_of(self._grant.batch) if self._grant.batch else None

    def progress(self, fraction: float, message: str = "") -> None:
        """Say how far it is: from 0 to 1, with a message. May be called from any thread; it never waits."""
        if not 0 <= fraction <= 1:
            raise OptionError(f"progress is a number from 0 to 1, not {fraction!r}")
        self._sink(Note(self._grant.id, self._grant.exchange, float(fraction), _storable(message)))

    def log(self, *values: object) -> None:
        """Add a line to the job's log, made of the values as `print` does.

        From any thread; it never waits.
        """
        line = _storable(" ".join(map(str, values)))
        self._sink(Note(self._grant.id, self._grant.exchange, lines=(line,)))

    def snooze(self, delay: timedelta | float) -> NoReturn:
        """End this attempt, and run the job after `delay` (a `timedelta` or seconds); it uses no retry."""
        raise Snooze(delay)

    def _within(self, otherwise: str) -> Surroundings:
        if self._surroundings is None:
            raise NotInJob(otherwise)
        return self._surroundings


def _storable(text: str) -> str:
    """A text without what UTF-8 can't say: the lone surrogates of file names that aren't text."""
    return text.encode(errors="backslashreplace").decode()


def current_context() -> JobContext:
    """The context of the job that is running here. Raises `NotInJob` outside one."""
    try:
        return _current.get()
    except LookupError:
        raise NotInJob("current_context() works inside a running job only") from None


set_current_context = _current.set
