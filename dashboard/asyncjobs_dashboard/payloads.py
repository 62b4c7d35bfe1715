"""Arguments and results as people read them, also where the dashboard doesn't know their types."""

from __future__ import annotations

import pprint
from dataclasses import dataclass
from typing import Any, cast

import msgpack

from asyncjobs import Client
from asyncjobs.errors import AsyncjobsError, SerializationError, UnknownJob
from asyncjobs.serialization import MASKED, RESULT, MsgpackSerializer, mask, take_outputs
from asyncjobs.storage.base import JobRecord

LONGEST = 20_000
"""Characters of one value that are shown."""
LARGEST = 2_000_000
"""Bytes of packed arguments that are read for a page."""

IN_A_LIST = 50_000
"""Bytes of packed arguments that are read to be one line of a list."""
DEEPEST = 20
"""Values of unknown types inside one another that are shown."""
PRETTY = 20_000
"""Bytes up to which a value is laid out over lines; that takes its time."""

_COLLECTIONS = (2, 3, 4)
"""Tuples, sets and frozen sets: what is in them may be unknown."""
_ENUM, _DATACLASS, _OUTPUT = 11, 12, 13
_PLAIN = MsgpackSerializer()


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: its name, or its position where the function's parameters aren't known."""

    name: str
    text: str
    cut: int = 0
    """Characters that aren't shown."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments of a call."""

    items: tuple[Argument, ...]
    hint: str = ""
    """Why they aren't shown as they are, and what to do."""


class _Opaque:
    """A value of a type that isn't known here: it is shown by its name and parts."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def arguments(client: Client, record: JobRecord) -> Arguments:
    """The arguments of a job, each over as many lines as it needs."""
    args, kwargs, hint = _unpack(client, record)
    names = _names(client, record.name)
    pretty = len(record.payload) <= PRETTY
    items = [
        _argument(names[index] if index < len(names) else str(index + 1), value, pretty)
        for index, value in enumerate(args)
    ]
    items += [_argument(name, value, pretty) for name, value in kwargs.items()]
    return Arguments(tuple(items), hint)


def in_one_line(client: Client, record: JobRecord) -> str:
    """The arguments as they would be written in a call: `"ada", subject="Hi"`."""
    args, kwargs, hint = _unpack(client, record, IN_A_LIST)
    texts = [_repr(value) for value in args] + [f"{name}={_repr(value)}" for name, value in kwargs.items()]
    return ", ".join(texts) or hint


def result(client: Client, record: JobRecord) -> Argument:
    """What a job returned."""
    packed = record.result
    if len(packed) > LARGEST:
        return Argument("result", f"({len(packed):,} bytes: too much to be shown here)")
    if not packed:
        return _argument("result", None)
    if _hides_result(client, record):
        return _argument("result", MASKED)
    try:
        value = _serializer(client, record.name).unpack(packed)
    except SerializationError:
        value = _Tolerant().read(packed)
    return _argument("result", value, len(packed) <= PRETTY)


def _hides_result(client: Client, record: JobRecord) -> bool:
    """Also where the types of the arguments aren't known."""
    try:
        return client.hides_result(record)
    except (AsyncjobsError, ValueError, TypeError):
        take_outputs()
    call = _Tolerant().read(record.payload)
    # What can't be told to be public isn't shown.
    return not isinstance(call, list) or RESULT in cast(list[Any], cast(list[object], call)[2:3] or [[]])[0]


def _unpack(
    client: Client, record: JobRecord, largest: int = LARGEST
) -> tuple[list[Any], dict[str, Any], str]:
    if len(record.payload) > largest:
        return [], {}, f"({len(record.payload):,} bytes: too much to be shown here)"
    try:
        return *client.unpack_arguments(record, masked=True), ""
    except (AsyncjobsError, ValueError, TypeError):
        # What was read so far may have noted outputs, which belong to nobody now.
        take_outputs()
        hint = (
            "Some types aren't known here and are shown by their names. Start the dashboard with the "
            "registry, asyncjobs dashboard app:registry, to see them as they are."
        )
    call = _Tolerant().read(record.payload)
    if isinstance(call, list) and call:
        parts = cast(list[object], call)
        kwargs: object = parts[1] if len(parts) > 1 else {}
        marks = cast(list[object], parts[2]) if len(parts) > 2 and isinstance(parts[2], list) else []
        if isinstance(parts[0], list) and isinstance(kwargs, dict):
            return *mask(cast(list[object], parts[0]), cast(dict[str, object], kwargs), marks), hint
    return [], {}, f"(they can't be read: {record.payload[:40].hex(' ')}…, {len(record.payload):,} bytes)"


class _Tolerant:
    """Reads packed bytes, with what isn't known here by its name."""

    def __init__(self, depth: int = 0) -> None:
        self._depth = depth

    def read(self, packed: bytes) -> object:
        """The value, or something that says why there is none."""
        if self._depth > DEEPEST:
            return _Opaque("…")
        # Not `unpackb`: each one inside another takes a large piece of the thread's stack.
        unpacker = msgpack.Unpacker(ext_hook=self._extension, strict_map_key=False, max_buffer_size=0)
        try:
            unpacker.feed(packed)
            return unpacker.unpack()
        except Exception:
            return _Opaque(f"<{len(packed):,} bytes that can't be read>")

    def _extension(self, code: int, data: bytes) -> object:
        inside = _Tolerant(self._depth + 1)
        if code in (_ENUM, _DATACLASS):
            told = inside.read(data)
            if isinstance(told, _Opaque):
                return told
            if isinstance(told, list) and len(cast(list[object], told)) == 2:
                return _named(*cast(list[object], told))
        if code in _COLLECTIONS:
            told = inside.read(data)
            return tuple(cast(list[object], told)) if isinstance(told, list) else told
        if code == _OUTPUT:
            return _Opaque(f"<output of {data.decode('ascii', 'replace') or 'the job before'}>")
        try:
            return _PLAIN.unpack(msgpack.packb(msgpack.ExtType(code, data)))
        except Exception:
            return _Opaque(f"<{len(data):,} bytes of a type not known here>")


def _named(name: object, inside: object) -> _Opaque:
    """A dataclass or an enum's member."""
    if isinstance(inside, dict):
        fields = cast(dict[object, object], inside).items()
        return _Opaque(f"{name}({', '.join(f'{field}={_repr(value)}' for field, value in fields)})")
    return _Opaque(f"{name}.{inside}" if isinstance(inside, str) else f"{name}({_repr(inside)})")


def _serializer(client: Client, name: str) -> Any:
    registry = client.registry
    if registry is None:
        return _PLAIN
    try:
        return registry.get(name).registry.serializer
    except UnknownJob:
        return registry.serializer


def _names(client: Client, name: str) -> tuple[str, ...]:
    if client.registry is None:
        return ()
    try:
        return client.registry.get(name).shape.names
    except UnknownJob:
        return ()


def _argument(name: str, value: object, pretty: bool = True) -> Argument:
    try:
        text = pprint.pformat(value, width=100, sort_dicts=False) if pretty else repr(value)
    except Exception as error:
        # A class of the application may have a broken __repr__.
        text = f"<can't be shown: {type(error).__name__}>"
    return Argument(name, text[:LONGEST], max(0, len(text) - LONGEST))


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<can't be shown: {type(error).__name__}>"
