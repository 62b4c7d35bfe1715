"""The serializer: msgpack, kept exact, so that a value comes back as what it was or is refused.

What msgpack knows by itself is None, bool, int of 64 bits, float, str, bytes, list and dict. Everything else is an
extension; payloads are made of the same encoding ("packed" below).

| code | type | payload |
| --- | --- | --- |
| 1 | int beyond 64 bits | two's complement, big-endian, as few bytes as it needs |
| 2 | tuple | packed list |
| 3 | set | packed list |
| 4 | frozenset | packed list |
| 5 | datetime | 8 bytes: microseconds of the wall clock since 1970-01-01, times two, plus fold; then nothing if naive, else the packed zone: int (offset, microseconds), str (a ZoneInfo's key), or list of offset and name |
| 6 | date | proleptic ordinal, as code 1 |
| 7 | time | as code 5, on 1970-01-01 |
| 8 | timedelta | microseconds, as code 1 |
| 9 | Decimal | its text, ASCII |
| 10 | UUID | its 16 bytes |
| 11 | Enum member | packed list of the class's name and the member's name (a Flag's value) |
| 12 | dataclass | packed list of the class's name and a dict from field name to value |
| 13 | the output of a job, until it is filled in | the job's id; nothing for the job before |

`bytearray` and `memoryview` come back as `bytes`. A class is looked up in the serializer's own table by the name that
it was registered under; nothing is ever imported or called because bytes say so.
"""  # noqa: E501 - a table can't be wrapped

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Protocol, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgpack

from asyncjobs.errors import DefinitionError, SerializationError
from asyncjobs.serialization.classes import is_enum_type, plan
from asyncjobs.serialization.outputs import Output, note
from asyncjobs.serialization.refusals import refusal
from asyncjobs.serialization.typenames import type_name

__all__ = ["MAX_DEPTH", "MsgpackSerializer", "Serializer"]

MAX_DEPTH = 100
"""How deep tuples, sets and dataclasses may be nested in one another. (Lists and dicts: about 1,000.)"""

TOO_DEEP = "it is nested too deeply, or contains itself: flatten it, or pass a reference to it"

_INT, _TUPLE, _SET, _FROZENSET, _DATETIME, _DATE = range(1, 7)
_TIME, _TIMEDELTA, _DECIMAL, _UUID, _ENUM, _DATACLASS, _OUTPUT = range(7, 14)

_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_UTC_ZONE = b"\x00"
_POOLED_UP_TO = 64 * 1024

_T = TypeVar("_T", bound=type)


class Serializer(Protocol):
    """Turns values into bytes and back. Calls come from several threads at once."""

    def pack(self, value: Any, /) -> bytes:
        """The bytes of a value; `SerializationError` if it wouldn't come back as it is."""
        ...

    def unpack(self, data: bytes, /) -> Any:
        """The value of bytes that `pack` made; `SerializationError` if they can't be read."""
        ...


class _Writer:
    """One level of extensions: a packer, and the writer for what is inside its extensions.

    A msgpack packer can't be entered again while it is packing, and making one costs more than packing a
    small value. So there is one a level, kept for the next value. This also counts the levels.
    """

    __slots__ = ("_depth", "_encoders", "_inner", "_packer")

    def __init__(self, encoders: dict[type, Callable[[_Writer, Any], Any]], depth: int = 0) -> None:
        self._encoders = encoders
        self._depth = depth
        self._inner: _Writer | None = None
        self._packer = msgpack.Packer(default=self._extend, strict_types=True, buf_size=512)

    def write(self, value: Any) -> bytes:
        # The packer goes one level deeper than the unpacker can follow: one level is packed and not sent.
        return self._packer.pack([value])[1:]

    def write_inner(self, value: Any) -> bytes:
        inner = self._inner
        if inner is None:
            if self._depth == MAX_DEPTH:
                raise SerializationError(TOO_DEEP)
            inner = self._inner = _Writer(self._encoders, self._depth + 1)
        return inner.write(value)

    def _extend(self, value: object) -> Any:
        encode = self._encoders.get(type(value))
        if encode is None:
            raise SerializationError(refusal(value))
        return encode(self, value)


class _Reader:
    """The reading counterpart of `_Writer`.

    `msgpack.unpackb` would do, but for its 40 kB of C stack a call: a few nested extensions overflow the
    stack of a thread, and the process dies. An `Unpacker` has them on the heap.
    """

    __slots__ = ("_decoders", "_depth", "_inner", "_unpacker")

    def __init__(self, decoders: Mapping[int, Callable[[_Reader, bytes], Any]], depth: int = 0) -> None:
        self._decoders = decoders
        self._depth = depth
        self._inner: _Reader | None = None
        self._unpacker = msgpack.Unpacker(
            ext_hook=self._decode, strict_map_key=False, read_size=512, max_buffer_size=0
        )

    def read(self, data: bytes) -> Any:
        unpacker = self._unpacker
        end = unpacker.tell() + len(data)
        unpacker.feed(data)
        value = unpacker.unpack()
        if unpacker.tell() != end:
            raise ValueError("there are bytes after the value")
        return value

    def read_inner(self, data: bytes) -> Any:
        inner = self._inner
        if inner is None:
            if self._depth == MAX_DEPTH:
                raise ValueError("too many nested extensions")
            inner = self._inner = _Reader(self._decoders, self._depth + 1)
        return inner.read(data)

    def _decode(self, code: int, data: bytes) -> Any:
        decode = self._decoders.get(code)
        if decode is None:
            raise SerializationError(
                f"the value holds an extension of code {code}, which this version of asyncjobs doesn't know: "
                f"update it here too"
            )
        return decode(self, data)


class MsgpackSerializer:
    """The default serializer.

    Round trips: None, bool, int of any size, float (nan and infinities too), str, bytes, list, dict with any
    keys, tuple, set, frozenset, datetime (naive, or aware by a fixed offset or a `ZoneInfo`; with fold),
    date, time, timedelta, Decimal, UUID, members of registered Enum classes, instances of registered
    dataclasses. `bytearray` and `memoryview` come back as `bytes`. Everything else is refused, subclasses of
    these included: nothing else comes back as something else.

    A dataclass comes back with the fields it had; `__init__` and `__post_init__` aren't run again.

    `types` are registered as by `register`.
    """

    def __init__(self, types: Iterable[type] = ()) -> None:
        self._types: dict[str, type] = {}
        self._rebuild: dict[str, Callable[[Any], Any]] = {}
        self._encoders = dict(_ENCODERS)
        self._decoders = {**_DECODERS, _ENUM: self._decode_registered, _DATACLASS: self._decode_registered}
        # They are neither thread-safe nor re-entrant: each call takes one out for its duration.
        self._writers: list[_Writer] = []
        self._readers: list[_Reader] = []
        for cls in types:
            self.register(cls)

    def register(self, cls: _T, /) -> _T:
        """Let members of this Enum class, or instances of this dataclass, be packed; returns the class.

        Both sides have to register it, under the same `module.qualname`. Registering it again does nothing.

        Raises:
            DefinitionError: it is neither; it is a dataclass that its fields don't wholly describe; or
                another class of this name is registered.
        """
        name = type_name(cls)
        known = self._types.get(name)
        if known is cls:
            return cls
        if known is not None:
            raise DefinitionError(
                f"another class named {name} is registered already: workers tell classes apart by these "
                f"names, so rename one of them"
            )
        take_apart, rebuild = plan(cls)
        code = _ENUM if is_enum_type(cls) else _DATACLASS
        head = b"\x92" + _Writer(self._encoders).write(name)

        def encode(writer: _Writer, value: Any) -> Any:
            return msgpack.ExtType(code, head + writer.write_inner(take_apart(value)))

        self._types[name] = cls
        self._rebuild[name] = rebuild
        self._encoders[cls] = encode
        return cls

    def pack(self, value: Any, /) -> bytes:
        """The value as bytes.

        Raises:
            SerializationError: it, or something in it, wouldn't come back as it is; the message says what to
                do.
        """
        writers = self._writers
        try:
            writer = writers.pop()
        except IndexError:
            writer = _Writer(self._encoders)
        try:
            blob = writer.write(value)
        except SerializationError:
            raise
        except Exception as exc:
            raise SerializationError(_packing_problem(exc)) from exc
        # It keeps the largest buffer it ever needed.
        if len(blob) <= _POOLED_UP_TO:
            writers.append(writer)
        return blob

    def unpack(self, data: bytes, /) -> Any:
        """The value that `pack` made these bytes of.

        Raises:
            SerializationError: the bytes aren't whole, or hold a class that isn't registered here, or one
                that has changed.
        """
        readers = self._readers
        try:
            reader = readers.pop()
        except IndexError:
            reader = _Reader(self._decoders)
        try:
            value = reader.read(data)
        except SerializationError:
            raise
        except Exception as exc:
            raise SerializationError(
                f"the bytes can't be read ({type(exc).__name__}: {exc}). Were they packed by another "
                f"serializer or a newer version, or altered?"
            ) from exc
        if len(data) <= _POOLED_UP_TO:
            readers.append(reader)
        return value

    def _decode_registered(self, reader: _Reader, data: bytes) -> Any:
        name, state = reader.read_inner(data)
        rebuild = self._rebuild.get(name)
        if rebuild is None:
            raise SerializationError(
                f"the value holds a {name}, which isn't registered in this process: annotate the job's "
                f"parameter or return value with it, or call `registry.register_type(...)` (was it renamed "
                f"or moved?)"
            )
        return rebuild(state)


def _packing_problem(exc: Exception) -> str:
    if isinstance(exc, UnicodeEncodeError):
        return (
            f"the text has a lone surrogate at index {exc.start}, which isn't valid Unicode: decode its "
            f"bytes with errors='replace', or pass the bytes"
        )
    if isinstance(exc, RecursionError) or (isinstance(exc, ValueError) and "recursion" in str(exc)):
        return TOO_DEEP
    return f"{type(exc).__name__}: {exc}"


def _int_bytes(value: int) -> bytes:
    return value.to_bytes((value.bit_length() >> 3) + 1, "big", signed=True)


def _int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _encode_datetime(writer: _Writer, value: datetime, code: int = _DATETIME) -> Any:
    wall = (value.replace(tzinfo=None) - _EPOCH) // _MICROSECOND
    data = (wall * 2 + value.fold).to_bytes(8, "big", signed=True)
    zone = value.tzinfo
    if zone is None:
        return msgpack.ExtType(code, data)
    if zone is UTC:
        return msgpack.ExtType(code, data + _UTC_ZONE)
    # Subclasses have rules of their own, which a key or an offset doesn't tell.
    if type(zone) is ZoneInfo and zone.key:
        return msgpack.ExtType(code, data + writer.write_inner(zone.key))
    if type(zone) is timezone:
        offset = zone.utcoffset(None)
        name = zone.tzname(None)
        microseconds = offset // _MICROSECOND
        named = name != timezone(offset).tzname(None)
        return msgpack.ExtType(
            code, data + writer.write_inner([microseconds, name] if named else microseconds)
        )
    raise SerializationError(
        f"its time zone is a {type_name(type(zone))}, which can't be sent: use `zoneinfo.ZoneInfo` (with a "
        f"key) or `datetime.timezone`, or convert it with `.astimezone(datetime.UTC)`"
    )


def _decode_datetime(reader: _Reader, data: bytes) -> datetime:
    if len(data) < 8:
        raise ValueError("a datetime of less than 8 bytes")
    wall, fold = divmod(_int(data[:8]), 2)
    zone: tzinfo | None = None
    if len(data) > 8:
        zone = UTC if data[8:] == _UTC_ZONE else _zone(reader.read_inner(data[8:]))
    value = _EPOCH + timedelta(microseconds=wall)
    return value.replace(tzinfo=zone, fold=fold)


def _zone(packed: Any) -> tzinfo:
    if isinstance(packed, str):
        try:
            return ZoneInfo(packed)
        except ZoneInfoNotFoundError as exc:
            raise SerializationError(
                f"this machine has no time zone {packed!r}: install the `tzdata` package here"
            ) from exc
    if isinstance(packed, int):
        return timezone(timedelta(microseconds=packed))
    offset, name = packed
    return timezone(timedelta(microseconds=offset), name)


def _decode_output(data: bytes) -> Output:
    output = Output(data.decode("ascii"))
    note(output)
    return output


_ENCODERS: dict[type, Callable[[_Writer, Any], Any]] = {
    int: lambda _, value: msgpack.ExtType(_INT, _int_bytes(value)),
    tuple: lambda writer, value: msgpack.ExtType(_TUPLE, writer.write_inner(list(value))),
    set: lambda writer, value: msgpack.ExtType(_SET, writer.write_inner(list(value))),
    frozenset: lambda writer, value: msgpack.ExtType(_FROZENSET, writer.write_inner(list(value))),
    datetime: _encode_datetime,
    date: lambda _, value: msgpack.ExtType(_DATE, _int_bytes(value.toordinal())),
    time: lambda writer, value: _encode_datetime(writer, datetime.combine(_EPOCH, value), _TIME),
    timedelta: lambda _, value: msgpack.ExtType(_TIMEDELTA, _int_bytes(value // _MICROSECOND)),
    Decimal: lambda _, value: msgpack.ExtType(_DECIMAL, str(value).encode("ascii")),
    UUID: lambda _, value: msgpack.ExtType(_UUID, value.bytes),
    Output: lambda _, value: msgpack.ExtType(_OUTPUT, note(value).encode("ascii")),
}

_DECODERS: dict[int, Callable[[_Reader, bytes], Any]] = {
    _INT: lambda _, data: _int(data),
    _TUPLE: lambda reader, data: tuple(reader.read_inner(data)),
    _SET: lambda reader, data: set(reader.read_inner(data)),
    _FROZENSET: lambda reader, data: frozenset(reader.read_inner(data)),
    _DATETIME: _decode_datetime,
    _DATE: lambda _, data: date.fromordinal(_int(data)),
    _TIME: lambda reader, data: _decode_datetime(reader, data).timetz(),
    _TIMEDELTA: lambda _, data: timedelta(microseconds=_int(data)),
    _DECIMAL: lambda _, data: Decimal(data.decode("ascii")),
    _UUID: lambda _, data: UUID(bytes=data),
    _OUTPUT: lambda _, data: _decode_output(data),
}
