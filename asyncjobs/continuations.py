"""What a continuation waits for, as its caller says it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

from asyncjobs.creation import call_of, check_call
from asyncjobs.definition import Definition
from asyncjobs.errors import OptionError
from asyncjobs.job import Call, Job
from asyncjobs.storage.base import On, Parent

MAX_CHAIN = 250
"""Jobs of a chain: it is created by one script, which mustn't hold up Redis."""
MAX_PARENTS = 10_000
"""Jobs and batches that one job waits for: that, too, is written by one script."""

OnEnd: TypeAlias = Literal["succeeded", "failed", "finished"]
"""Which end of its parents lets a continuation run; `finished` is any."""
OnParentFailed: TypeAlias = Literal["wait", "cancel"]
"""Whether a continuation whose parent doesn't succeed waits until that is requeued, or is cancelled."""


@runtime_checkable
class BatchLike(Protocol):
    """A batch that is being built, or is stored."""

    @property
    def batch_id(self) -> str:
        """Its id."""
        ...


@runtime_checkable
class BatchInTheMaking(BatchLike, Protocol):
    """A batch that is being built, or was."""

    @property
    def is_committed(self) -> bool:
        """Whether it has appeared."""
        ...


@runtime_checkable
class JobHolder(Protocol):
    """A job for code that isn't async."""

    @property
    def job(self) -> Job[Any]:
        """The job itself."""
        ...


Continuable: TypeAlias = Job[Any] | JobHolder | BatchLike
"""What can be continued: jobs, and batches."""


def parents_of(
    what: Continuable | Sequence[Continuable],
    call: Call[Any],
    on: OnEnd = "succeeded",
    on_parent_failed: OnParentFailed = "wait",
    *,
    within: Collection[str] = (),
    later: bool = False,
) -> tuple[Parent, ...]:
    """The parents of a continuation. Raises `OptionError`.

    `within`: the batches that it is going to be a member of, as far as they are known.
    `later`: it isn't sent yet, so batches that aren't either may still be there before it.
    """
    if on not in tuple(On):
        raise OptionError(f"on is {on!r}: give 'succeeded', 'failed' or 'finished'")
    if on_parent_failed not in ("wait", "cancel"):
        raise OptionError(f"on_parent_failed is {on_parent_failed!r}: give 'wait' or 'cancel'")
    cancel = on_parent_failed == "cancel"
    if cancel and on != "succeeded":
        raise OptionError(
            "on_parent_failed is for on='succeeded': other continuations don't wait for what can't be"
        )
    single = isinstance(what, (Job, JobHolder, BatchLike)) or not isinstance(cast(object, what), Iterable)
    listed: list[object] = [what] if single else list(cast("Iterable[object]", what))
    if not listed:
        raise OptionError("a continuation needs at least one parent")
    wanted = set(call.outputs)
    if "" in wanted:
        raise OptionError("PREVIOUS is for chain(); here give job.output")
    parents: dict[tuple[bool, str], Parent] = {}
    for given in listed:
        parent = given.job if isinstance(given, JobHolder) else given
        if isinstance(parent, Job):
            job = cast("Job[Any]", cast(object, parent))
            takes = job.id in wanted
            if takes and on != "succeeded":
                raise OptionError(
                    f"the output of {job!r} is only there if it succeeds: on={on!r} can't take it"
                )
            if takes and not job.keeps_result:
                raise OptionError(f"{job.name} has keep_result=False, so there is no output of it to take")
            parents[False, job.id] = Parent(job.id, On(on), output=takes, cancel=cancel)
        elif isinstance(parent, BatchLike):
            if parent.batch_id in within:
                raise OptionError(
                    f"a job in batch {parent.batch_id} can't wait for that batch, which waits for all that is"
                    " in it: continue it from outside, with client.continue_with, once it is committed"
                )
            if not later and isinstance(parent, BatchInTheMaking) and not parent.is_committed:
                raise OptionError(
                    f"batch {parent.batch_id} isn't committed: continue it when its block has ended well (if"
                    " it is nested, the outermost one), or after commit()"
                )
            parents[True, parent.batch_id] = Parent(parent.batch_id, On(on), batch=True, cancel=cancel)
        else:
            raise OptionError(f"{parent!r} can't be continued: give a job or a batch, or a list of them")
    if len(parents) > MAX_PARENTS:
        raise OptionError(
            f"a job has at most {MAX_PARENTS:,} parents, not {len(parents):,}: create them in a batch, and"
            " continue that"
        )
    refuse_outputs(call, {job_id for is_batch, job_id in parents if not is_batch})
    return tuple(parents.values())


def refuse_outputs(call: Call[Any], parents: set[str] | None = None) -> None:
    """Raise `OptionError` if a call takes the result of a job that isn't among its parents."""
    for job_id in call.outputs:
        if parents is None or job_id not in parents:
            raise OptionError(
                f"{call.definition.name} takes the output of job {job_id or 'before'}, not waiting for it:"
                " use continue_with, with that job among the parents"
            )


def continuation_of(
    what: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Call[Any], dict[str, Any]]:
    """A continuation's call, and the keywords of ours that were given with it."""
    if isinstance(what, Definition):
        return call_of(cast("Definition[..., Any]", what), args, kwargs), {}
    unknown = sorted(kwargs.keys() - {"on", "on_parent_failed"})
    if unknown:
        raise OptionError(
            f"there is no option {', '.join(unknown)} of a continuation: give on, on_parent_failed"
        )
    return call_of(what, args, {}), kwargs


def check_chain(calls: Sequence[Call[Any]]) -> None:
    """Raise `OptionError` if calls can't follow each other."""
    if not calls:
        raise OptionError("a chain needs at least one call")
    keys: set[str] = set()
    if len(calls) > MAX_CHAIN:
        raise OptionError(
            f"a chain has at most {MAX_CHAIN} calls, not {len(calls):,}: use continue_with in a batch"
        )
    for number, call in enumerate(calls):
        check_call(call)
        if set(call.outputs) - {""}:
            raise OptionError("in a chain, PREVIOUS stands for the result of the job before")
        if call.constraints is not None and call.constraints.may_be_left_out and number < len(calls) - 1:
            raise OptionError(
                f"{call.definition.name} is unique, so that another job may be there instead, which what"
                " comes after it in a chain can't wait for: use on_conflict='replace', or continue_with"
            )
        if call.constraints is not None and call.constraints.unique is not None:
            key = call.constraints.unique.key
            if key in keys:
                raise OptionError(
                    f"two jobs of this chain have the unique key {key!r}, so the later one can't be there"
                    " while the earlier one waits: give them keys of their own, or use continue_with once"
                    " that has ended"
                )
            keys.add(key)
        if call.outputs and number == 0:
            raise OptionError("PREVIOUS can't be an argument of a chain's first job: there is none before it")
        if call.outputs and not calls[number - 1].definition.settings.keep_result:
            before = calls[number - 1].definition.name
            raise OptionError(f"{before} has keep_result=False, so there is no result of it for PREVIOUS")
