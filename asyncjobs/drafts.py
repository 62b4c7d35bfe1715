"""Jobs that are about to be created, as the middleware of a client sees them and may change them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from asyncjobs.control import Control
from asyncjobs.creation import check_call, job_of, new_job
from asyncjobs.errors import MiddlewareError, OptionError
from asyncjobs.ids import shard_of
from asyncjobs.job import Call, Job
from asyncjobs.lifespan import name_of
from asyncjobs.middleware import pass_through
from asyncjobs.storage.base import NewJob, State

if TYPE_CHECKING:
    from asyncjobs.client import Client


class JobDraft:
    """A job that is about to be created."""

    __slots__ = ("_call", "_control", "_sent", "job", "new")

    def __init__(self, control: Control, new: NewJob, job: Job[Any], call: Call[Any]) -> None:
        self.new = new
        """What will be stored."""
        self.job = job
        """The job as who enqueues gets it."""
        self._control = control
        self._call = call
        self._sent = False

    def __repr__(self) -> str:
        return f"<JobDraft {self.id} {self.name} {self.state}>"

    @property
    def id(self) -> str:
        """The id that the job will have, unless one that holds its unique key is there instead."""
        return self.new.id

    @property
    def name(self) -> str:
        """The name of its definition."""
        return self.new.name

    @property
    def queue(self) -> str:
        """The queue that it will wait in."""
        return self.new.queue

    @property
    def priority(self) -> int:
        """Its priority inside the queue; higher runs earlier."""
        return self.new.priority

    @property
    def state(self) -> State:
        """How it will begin: `enqueued`, `scheduled` or `awaiting`."""
        return self.job.state

    @property
    def batch(self) -> str | None:
        """The id of the batch that it will be a member of."""
        return self.new.batch or None

    @property
    def call(self) -> Call[Any]:
        """The definition, options and arguments.

        Set it to another call of the same job to change them: `job.call = job.call.options(queue="bulk")`.
        Raises `OptionError` for another job's call, or another id, or one that takes other jobs' outputs than
        before, and `MiddlewareError` once the job is sent.
        """
        return self._call

    @call.setter
    def call(self, call: Call[Any]) -> None:
        check_call(call)
        if self._sent:
            raise MiddlewareError(f"job {self.id} is sent already: change it before `await call_next()`")
        if call.definition.name != self.name:
            raise OptionError(f"this is a {self.name}, and can't become a {call.definition.name}")
        if set(call.outputs) != set(self._call.outputs):
            raise OptionError(f"{self.name} takes outputs of its parents: hand on each, and no other")
        if _job_id(call) != _job_id(self._call):
            raise OptionError(f"{self.name} has its id already: job_id= is for who enqueues it")
        old, shards = self.new, self._control.storage.shards
        shard = shard_of(old.id, shards)
        new = new_job(call, shard, old.delay_ms, old.due_ms, old.parents, old.batch, shards=shards)
        if shard_of(new.id, shards) != shard:
            raise OptionError(
                f"{self.name} has its shard already: with several, what a unique key, a mutex or limits want"
                " can't be changed any more"
            )
        new.id = old.id
        self.new = new
        self._call = call
        # Who enqueues may have it in hands already.
        self.job.stand_for(job_of(self._control, new, call.definition).record)

    def seal(self) -> NewJob:
        """What is to be stored; it can't be changed any more."""
        self._sent = True
        return self.new


class EnqueueContext:
    """Jobs that are about to be created together: all of them, or none."""

    __slots__ = ("_control", "jobs")

    def __init__(self, control: Control, jobs: Sequence[JobDraft]) -> None:
        self._control = control
        self.jobs: Sequence[JobDraft] = jobs
        """The jobs: one, or those of a chunk of `enqueue_many`, of a chain, or of a whole batch."""

    @property
    def client(self) -> Client:
        """The client that creates them. What is enqueued with it passes through its middleware again."""
        return cast("Client", self._control)


def drafts_of(
    control: Control, new: Sequence[NewJob], jobs: Sequence[Job[Any]], calls: Sequence[Call[Any]]
) -> list[JobDraft]:
    """Drafts of new jobs, with the calls that they were made of."""
    return [JobDraft(control, *each) for each in zip(new, jobs, calls, strict=True)]


async def send_drafts(
    control: Control,
    drafts: Sequence[JobDraft],
    send: Callable[[list[NewJob], list[Job[Any]], list[Call[Any]]], Awaitable[object]],
) -> None:
    """Send what becomes of drafts through the middleware of a client.

    Raises what the middleware raises, and what `send` raises even if a middleware doesn't let that pass: who
    enqueues is never told that something was created which wasn't.
    """
    sent = False
    failure: BaseException | None = None

    async def inmost() -> None:
        nonlocal sent, failure
        try:
            _check_parents(drafts)
            new = [draft.seal() for draft in drafts]
            await send(new, [draft.job for draft in drafts], [draft.call for draft in drafts])
            sent = True
        except BaseException as error:
            failure = error
            raise

    await pass_through(control.middleware, EnqueueContext(control, drafts), inmost)
    if failure is not None:
        raise failure
    if not sent:
        names = ", ".join(map(name_of, control.middleware))
        raise MiddlewareError(
            f"nothing was created, for an enqueue middleware returned without calling call_next ({names}): to"
            " keep jobs from being created, raise an error that tells the caller why"
        )


def _job_id(call: Call[Any]) -> str | None:
    return None if call.constraints is None else call.constraints.job_id


def _check_parents(drafts: Sequence[JobDraft]) -> None:
    """Raise `OptionError` if a job that may be left out, by now, is to be continued by one beside it."""
    left_out = {
        draft.id
        for draft in drafts
        if draft.call.constraints is not None and draft.call.constraints.may_be_left_out
    }
    for draft in drafts if left_out else ():
        for parent in draft.new.parents:
            if parent.id in left_out:
                raise OptionError(
                    f"{draft.name} can't continue what is created with it and a middleware has made unique,"
                    " for another job may be there instead: use on_conflict='replace'"
                )
