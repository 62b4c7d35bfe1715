"""Arguments and results as people read them, also where the dashboard doesn't know their types."""

from __future__ import annotations

import pprint
from dataclasses import dataclass
from typing import Any, cast

import msgpack

from asyncjobs import Client
from asyncjobs.errors import AsyncjobsError, SerializationError, UnknownJob
from asyncjobs.serialization import MsgpackSerializer
from asyncjobs.storage.base import JobRecord

LONGEST = 20_000
"""Characters of one value that are shown."""
LARGEST = 2_000_000
"""Bytes of packed arguments that are read for a page."""

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
    items = [
        _argument(names[index] if index < len(names) else str(index + 1), value)
        for index, value in enumerate(args)
    ]
    items += [_argument(name, value) for name, value in kwargs.items()]
    return Arguments(tuple(items), hint)


def in_one_line(client: Client, record: JobRecord) -> str:
    """The arguments as they would be written in a call: `"ada", subject="Hi"`."""
    args, kwargs, hint = _unpack(client, record)
    texts = [_repr(value) for value in args] + [f"{name}={_repr(value)}" for name, value in kwargs.items()]
    return ", ".join(texts) or hint


def result(client: Client, packed: bytes, name: str) -> Argument:
    """What a job returned."""
    if not packed:
        return _argument("result", None)
    try:
        value = _serializer(client, name).unpack(packed)
    except SerializationError:
        value = _tolerant(packed)
    return _argument("result", value)


def _unpack(client: Client, record: JobRecord) -> tuple[list[Any], dict[str, Any], str]:
    if len(record.payload) > LARGEST:
        return [], {}, f"They are {len(record.payload):,} bytes long, too much to be shown here."
    try:
        return *client.unpack_arguments(record), ""
    except (AsyncjobsError, ValueError, TypeError):
        hint = (
            "Some types aren't known here: they are shown by their names. "
            "Start the dashboard with the registry (asyncjobs dashboard app:registry) to see them as they are."
        )
    call: object = _tolerant(record.payload)
    if isinstance(call, list) and call:
        parts = cast(list[Any], call)
        kwargs: Any = parts[1] if len(parts) > 1 else {}
        if isinstance(parts[0], list) and isinstance(kwargs, dict):
            return cast(list[Any], parts[0]), cast(dict[str, Any], kwargs), hint
    return [], {}, f"They can't be read: {record.payload[:40].hex(' ')} … ({len(record.payload):,} bytes)"


def _tolerant(packed: bytes) -> Any:
    """The value of packed bytes, with what isn't known here by its name."""
    try:
        return msgpack.unpackb(packed, ext_hook=_extension, strict_map_key=False)
    except Exception:
        return _Opaque(f"<{len(packed):,} bytes that can't be read>")


def _extension(code: int, data: bytes) -> Any:
    if code in (_ENUM, _DATACLASS):
        told: object = _tolerant(data)
        if isinstance(told, list) and len(cast(list[Any], told)) == 2:
            name, inside = cast(list[Any], told)
            if isinstance(inside, dict):
                fields = ", ".join(
                    f"{field}={_repr(value)}" for field, value in cast(dict[Any, Any], inside).items()
                )
                return _Opaque(f"{name}({fields})")
            return _Opaque(f"{name}.{inside}" if isinstance(inside, str) else f"{name}({_repr(inside)})")
    if code == _OUTPUT:
        return _Opaque(f"<output of {data.decode('ascii', 'replace') or 'the job before'}>")
    try:
        return _PLAIN.unpack(msgpack.packb(msgpack.ExtType(code, data)))
    except SerializationError:
        return _Opaque(f"<{len(data):,} bytes of a type not known here>")


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


def _argument(name: str, value: object) -> Argument:
    try:
        text = pprint.pformat(value, width=100, sort_dicts=False)
    except Exception as error:
        # A class of the application may have a broken __repr__.
        text = f"<can't be shown: {type(error).__name__}>"
    return Argument(name, text[:LONGEST], max(0, len(text) - LONGEST))


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:
        return f"<can't be shown: {type(error).__name__}>"
