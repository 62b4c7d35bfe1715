"""Arguments and results as bytes, errors that name the argument and the place in it, and broken bytes."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from enum import Enum
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncjobs.errors import PayloadTooLarge, SerializationError
from asyncjobs.serialization import (
    MsgpackSerializer,
    check_size,
    pack_call,
    pack_result,
    unpack_call,
    unpack_result,
)


class Color(Enum):
    RED = "red"


class Closed(Enum):
    ONE = 1


@dataclass
class Box:
    item: Any


class Foreign(tzinfo):
    def utcoffset(self, dt: datetime | None) -> timedelta:
        return timedelta(hours=1)


SERIALIZER = MsgpackSerializer([Color, Box])


def nested(depth: int, wrap: Any) -> Any:
    innermost: Any = 0
    for _ in range(depth):
        innermost = wrap(innermost)
    return innermost


class TestCalls:
    def test_no_arguments_cost_nothing(self) -> None:
        assert pack_call(SERIALIZER, (), {}) == b""
        assert unpack_call(SERIALIZER, b"") == ([], {})

    def test_no_result_costs_nothing(self) -> None:
        assert pack_result(SERIALIZER, None) == b""
        assert unpack_result(SERIALIZER, b"") is None

    @pytest.mark.parametrize("value", [0, "", False, [], (None,), Color.RED])
    def test_other_results_come_back(self, value: Any) -> None:
        assert repr(unpack_result(SERIALIZER, pack_result(SERIALIZER, value))) == repr(value)

    @pytest.mark.parametrize(
        ("args", "kwargs"), [((1, "a"), {}), ((), {"k": (1,)}), ((None,), {"self": {1: 2}, "fn": 3})]
    )
    def test_arguments_come_back(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        assert repr(unpack_call(SERIALIZER, pack_call(SERIALIZER, args, kwargs))) == repr(
            (list(args), kwargs)
        )

    @pytest.mark.parametrize("value", [5, [], [1], [[1], 2], [[1], {}, 3], {"a": 1}, [{}], "x"])
    def test_what_is_no_call_is_an_error(self, value: Any) -> None:
        with pytest.raises(SerializationError, match="aren't the arguments of a call"):
            unpack_call(SERIALIZER, SERIALIZER.pack(value))

    def problem(self, *args: Any, **kwargs: Any) -> str:
        with pytest.raises(SerializationError) as caught:
            pack_call(SERIALIZER, args, kwargs, lambda: ["path", "rows"])
        return str(caught.value)

    def test_the_error_names_the_argument_and_the_place_in_it(self) -> None:
        when = datetime(2026, 1, 1, tzinfo=Foreign())
        rows = [Box(0), Box(1), [], Box({"when": (0, when)})]
        assert self.problem("a", rows).startswith(
            "argument 'rows' can't be packed: rows[3].item['when'][1] (datetime.datetime): its time zone is "
        )
        assert self.problem(when).startswith("argument 'path' can't be packed: path (datetime.datetime): ")
        assert self.problem(1, 2, object()).startswith(
            "argument 'args[2]' can't be packed: args[2] (object): "
        )
        assert self.problem(1, extra={1: {2: {object()}}}).startswith(
            "argument 'extra' can't be packed: an element of extra[1][2] (object): object can't be sent"
        )
        assert self.problem(1, {Closed.ONE: 1}).startswith("argument 'rows' can't be packed: a key of rows (")
        assert "register_type(Closed)" in self.problem(1, {Closed.ONE: 1})

    def test_names_may_be_a_sequence(self) -> None:
        with pytest.raises(SerializationError, match="argument 'to'"):
            pack_call(SERIALIZER, (object(),), {}, ("to",))

    def test_a_circle_is_shown(self) -> None:
        inner: list[Any] = [1]
        inner.append({"back": inner})
        assert self.problem("a", [inner]).startswith(
            "argument 'rows' can't be packed: rows[0][1]['back'] is rows[0], which contains it."
        )

    @pytest.mark.parametrize("wrap", [lambda v: [v], Box], ids=["list", "dataclass"])
    def test_depth_is_told_in_a_readable_message(self, wrap: Any) -> None:
        message = self.problem("a", nested(20_000, wrap))
        assert message.startswith("argument 'rows' can't be packed, deep in rows")
        assert "nested too deeply" in message
        assert len(message) < 600

    def test_an_enormous_key_does_not_fill_the_message(self) -> None:
        assert len(self.problem({"k" * 100_000: object()})) < 600

    def test_the_error_of_a_result_tells_the_place(self) -> None:
        with pytest.raises(SerializationError, match=r"^the result can't be packed: result\[1\] \(object\)"):
            pack_result(SERIALIZER, [1, object()])

    def test_a_serializer_of_ones_own_gets_the_same_messages(self) -> None:
        class OnlyText:
            def pack(self, value: Any, /) -> bytes:
                return repr(
                    [[str.encode(v) for v in value[0]]] if type(value) is list else str.encode(value)
                ).encode()

            def unpack(self, data: bytes, /) -> Any:
                raise AssertionError

        with pytest.raises(SerializationError, match=r"argument 'n' can't be packed: n \(int\): TypeError: "):
            pack_call(OnlyText(), ("a", 5), {}, ["to", "n"])

    def test_size_limit(self) -> None:
        check_size(b"x" * 1000, 1000, "the arguments of mail.send")
        with pytest.raises(
            PayloadTooLarge, match=r"^the arguments of mail.send: 1,001 bytes .* limit is 1,000\. Store"
        ):
            check_size(b"x" * 1001, 1000, "the arguments of mail.send")


class TestBrokenBytes:
    @pytest.mark.parametrize(
        "data",
        [
            b"", b"\xc1", b"\x01\x02", b"\x92\x01", b"\xa2\xff\xff", b"\x81\x90\x01",
            b"\x91" * 5000 + b"\x01",
            msgpack.packb(msgpack.ExtType(99, b"")), msgpack.packb(msgpack.ExtType(5, b"")),
            msgpack.packb(msgpack.ExtType(5, b"\x7f" + b"\xff" * 7)), msgpack.packb(msgpack.ExtType(9, b"x")),
            msgpack.packb(msgpack.ExtType(10, b"x")), msgpack.packb(msgpack.ExtType(12, b"\x01")),
            msgpack.packb(msgpack.ExtType(12, b"\x92\xa1x")), msgpack.packb(msgpack.ExtType(2, b"\x80\x80")),
            msgpack.packb(msgpack.ExtType(5, b"\x00" * 8 + msgpack.packb("No/Where"))),
            msgpack.packb(msgpack.ExtType(5, b"\x00" * 8 + msgpack.packb("../../etc/passwd"))),
        ],
    )  # fmt: skip
    def test_are_a_clear_error(self, data: bytes) -> None:
        with pytest.raises(SerializationError, match=r"\w{5}"):
            SERIALIZER.unpack(data)

    def test_an_endless_nest_of_extensions_is_an_error(self) -> None:
        data = b"\x01"
        for _ in range(2000):
            data = msgpack.packb(msgpack.ExtType(2, b"\x91" + data))
        with pytest.raises(SerializationError, match="too many nested extensions"):
            SERIALIZER.unpack(data)

    @given(st.binary(max_size=40))
    @settings(max_examples=300, deadline=None)
    def test_no_bytes_raise_anything_else(self, data: bytes) -> None:
        with contextlib.suppress(SerializationError):
            SERIALIZER.unpack(data)
