"""What stands for a job's result before there is one: `job.output` as an argument of a continuation."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn, cast

from asyncjobs.errors import OutputError

__all__ = ["PREVIOUS", "Output", "fill_in", "take_outputs"]


class _Seen(threading.local):
    """The outputs that this thread has packed or unpacked since somebody last asked."""

    def __init__(self) -> None:
        self.ids: list[str] = []


_seen = _Seen()


class Output:
    """Stands for the result that a job will have. It can only be passed on: all else raises.

    Raises:
        OutputError: it is used as if it were the result.
    """

    __slots__ = ("_job_id",)

    def __init__(self, job_id: str) -> None:
        object.__setattr__(self, "_job_id", job_id)

    def __repr__(self) -> str:
        return f"<output of {job_of(self) or 'the job before'}>"

    def _refuse(self, *_: object) -> NoReturn:
        raise OutputError(
            f"{self!r} stands for a result that isn't there yet: all that can be done with it is to pass it"
            " as an argument of a continuation; use the result inside that job, or await job.result()"
        )

    __getattr__ = __setattr__ = __delattr__ = __getitem__ = __setitem__ = __contains__ = __call__ = _refuse
    __bool__ = __len__ = __iter__ = __next__ = __int__ = __float__ = __index__ = __str__ = __bytes__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __format__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __floordiv__ = __mod__ = __pow__ = __and__ = __or__ = __neg__ = __abs__ = __enter__ = __await__ = _refuse
    __hash__ = object.__hash__


PREVIOUS: Final[Any] = Output("")
"""In a chain: the result of the job before, as an argument of the next one."""


def job_of(output: Output) -> str:
    """The id of the job that an output is of; "" for the job before."""
    return cast(str, object.__getattribute__(output, "_job_id"))


def note(output: Output) -> str:
    """Remember that an output was packed or unpacked; its job's id."""
    job_id = job_of(output)
    _seen.ids.append(job_id)
    return job_id


def take_outputs() -> tuple[str, ...]:
    """Whose outputs this thread has packed or unpacked since this was last called."""
    if not _seen.ids:
        return ()
    ids = tuple(dict.fromkeys(_seen.ids))
    _seen.ids.clear()
    return ids


def fill_in(value: Any, results: Mapping[str, Any]) -> Any:
    """A value with its outputs replaced by the results; looks into lists, tuples, sets and dicts.

    Raises:
        OutputError: a result isn't there.
    """
    kind: type = value.__class__
    if kind is Output:
        job_id = job_of(value)
        if not job_id and len(results) == 1:
            return next(iter(results.values()))
        if job_id not in results:
            raise OutputError(
                f"the result of job {job_id or 'before'} isn't there: it keeps none (keep_result=False), or"
                " this job was requeued without that one having succeeded"
            )
        return results[job_id]
    if kind is dict:
        return {fill_in(key, results): fill_in(item, results) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        items: Iterable[Any] = value
        return cast(Any, kind(fill_in(item, results) for item in items))
    return value
