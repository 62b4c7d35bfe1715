"""A call's arguments and its result as bytes, with errors that name the argument."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from asyncjobs.errors import PayloadTooLarge, SerializationError
from asyncjobs.serialization.outputs import fill_in, take_outputs
from asyncjobs.serialization.refusals import shown
from asyncjobs.serialization.serializer import Serializer

__all__ = ["check_size", "pack_call", "pack_result", "unpack_call", "unpack_result"]

_LONGEST_PATH = 200
_DEEPEST_SEARCH = 100


def pack_call(
    serializer: Serializer,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: Sequence[str] | Callable[[], Sequence[str]] = (),
    secret: Sequence[int | str] = (),
) -> bytes:
    """A call's arguments as bytes; none at all cost nothing (`b""`).

    `names` are the parameters that `args` are for, in order, or a function that gives them: they are only
    needed for an error's message. `secret`: see `SecretsOf.marks`.

    Raises:
        SerializationError: one can't be packed; the message names it, where in it, and what to do.
    """
    if not args and not kwargs and not secret:
        return b""
    try:
        if secret:
            return serializer.pack([list(args), kwargs, list(secret)])
        return serializer.pack([list(args), kwargs] if kwargs else [list(args)])
    except Exception as exc:
        try:
            for name, value in _named(args, kwargs, names() if callable(names) else names):
                _explain(serializer, value, f"argument {name!r}", name)
        finally:
            take_outputs()
        raise SerializationError(f"the arguments can't be packed: {_reason(exc)}") from exc


def unpack_call(
    serializer: Serializer, blob: bytes, outputs: Mapping[str, bytes] | None = None
) -> tuple[list[Any], dict[str, Any]]:
    """The positional and the keyword arguments that `pack_call` made these bytes of.

    `outputs`: the packed results, by their jobs' ids, that take the place of what stands for them; None
    leaves that as it is.

    Raises:
        SerializationError: the bytes can't be read.
        OutputError: a result isn't there.
    """
    if not blob:
        return [], {}
    call = serializer.unpack(blob)
    if take_outputs() and outputs is not None:
        call = fill_in(call, {job: unpack_result(serializer, packed) for job, packed in outputs.items()})
    if call.__class__ is list and call and call[0].__class__ is list:
        if len(call) == 1:
            return call[0], {}
        marked = len(call) == 3 and call[2].__class__ is list
        if (len(call) == 2 or marked) and call[1].__class__ is dict:
            return call[0], call[1]
    raise SerializationError("the bytes aren't the arguments of a call: were they written by something else?")


def pack_result(serializer: Serializer, value: Any) -> bytes:
    """A job's result as bytes; None costs nothing (`b""`).

    Raises:
        SerializationError: it can't be packed; the message says where in it, and what to do.
    """
    if value is None:
        return b""
    try:
        blob = serializer.pack(value)
    except Exception as exc:
        take_outputs()
        _explain(serializer, value, "the result", "result")
        raise SerializationError(f"the result can't be packed: {_reason(exc)}") from exc
    if ids := take_outputs():
        raise SerializationError(
            f"the result holds the output of job {ids[0]}, which isn't there: await job.result()"
        )
    return blob


def unpack_result(serializer: Serializer, blob: bytes) -> Any:
    """The result that `pack_result` made these bytes of.

    Raises:
        SerializationError: the bytes can't be read.
    """
    return serializer.unpack(blob) if blob else None


def check_size(blob: bytes, limit: int, what: str) -> None:
    """Refuse bytes beyond `limit`. `what` begins the message: "the arguments of mail.send".

    Raises:
        PayloadTooLarge: there are more.
    """
    if len(blob) > limit:
        raise PayloadTooLarge(
            f"{what}: {len(blob):,} bytes packed, and the limit is {limit:,}. Store what is large elsewhere "
            f"(a file, an object store, a table) and pass a reference to it, or raise the limit"
        )


def _named(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], names: Sequence[str]
) -> Iterator[tuple[str, Any]]:
    for index, value in enumerate(args):
        yield (names[index] if index < len(names) else f"args[{index}]"), value
    yield from kwargs.items()


def _explain(serializer: Serializer, value: Any, label: str, path: str) -> None:
    """Raise the error of the smallest part of `value` that can't be packed; return if it can be packed."""
    problem = _failure(serializer, value)
    if problem is None:
        return
    # The values are held so that no later one can be given the id of one that is gone.
    above: dict[int, tuple[str, Any]] = {}
    while len(above) < _DEEPEST_SEARCH:
        above[id(value)] = (path, value)
        for step, part in _parts(value, path):
            step = step if len(step) <= _LONGEST_PATH else f"{step[:_LONGEST_PATH]}…"
            if id(part) in above:
                raise SerializationError(
                    f"{label} can't be packed: {step} is {above[id(part)][0]}, which contains it. Pass data "
                    f"without circles: put an id in the place of one of the references"
                ) from problem
            deeper = _failure(serializer, part)
            if deeper is not None:
                value, path, problem = part, step, deeper
                break
        else:
            raise SerializationError(
                f"{label} can't be packed: {path} ({shown(value)}): {_reason(problem)}"
            ) from problem
    raise SerializationError(f"{label} can't be packed, deep in {path}: {_reason(problem)}") from problem


def _failure(serializer: Serializer, value: Any) -> Exception | None:
    try:
        serializer.pack(value)
    except Exception as exc:
        return exc
    return None


def _parts(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    whole: object = value
    kind = type(whole)
    if issubclass(kind, dict):
        for key, item in value.items():
            yield f"a key of {path}", key
            yield f"{path}[{key!r}]", item
    elif issubclass(kind, (list, tuple)):
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item
    elif issubclass(kind, (set, frozenset)):
        for item in value:
            yield f"an element of {path}", item
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if hasattr(value, field.name):
                yield f"{path}.{field.name}", getattr(value, field.name)


def _reason(exc: Exception) -> str:
    return str(exc) if isinstance(exc, SerializationError) else f"{type(exc).__name__}: {exc}"
