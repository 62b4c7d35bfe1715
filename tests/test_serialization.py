"""Serialization: every value comes back as what it was, or is refused by an error that says where and why."""

from __future__ import annotations

import collections
import dataclasses
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum, auto
from functools import cached_property
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NamedTuple,
    TypeVar,
)
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncjobs.errors import SerializationError
from asyncjobs.serialization import (
    MAX_DEPTH,
    MsgpackSerializer,
    pack_call,
    unpack_call,
)

if TYPE_CHECKING:
    pass  # type: ignore[import-not-found]

BERLIN = ZoneInfo("Europe/Berlin")
DOUBLED = datetime(2026, 10, 25, 2, 30)  # in Berlin, this time comes twice
T = TypeVar("T")


class Color(Enum):
    RED = "red"
    GREEN = "green"
    ROUGE = "red"  # noqa: PIE796 - an alias


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Mood(StrEnum):
    GOOD = auto()


class Odd(Enum):
    LIST = (1, [2])

    @property
    def name(self) -> str:
        return "something else"


class Access(Flag):
    READ = auto()
    WRITE = auto()


class Mask(IntFlag):
    A = 1
    B = 2


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Money:
    amount: Decimal
    currency: str = "EUR"


@dataclass(order=True, kw_only=True)
class Order:
    VERSION: ClassVar[int] = 1
    number: int
    total: Money
    lines: list[Point] = field(default_factory=list)
    state: Color = Color.RED
    checksum: int = field(init=False)
    note: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.checksum = self.number * 7


@dataclass
class Rush(Order):
    by: datetime | None = None


@dataclass
class Scaled:
    factor: dataclasses.InitVar[int]
    value: int

    def __post_init__(self, factor: int) -> None:
        self.value *= factor


@dataclass
class Box(Generic[T]):
    item: T

    @cached_property
    def label(self) -> str:
        return f"box of {self.item}"


@dataclass(frozen=True)
class Node:
    child: Any = None


class Pair(NamedTuple):
    a: int
    b: int


class Whole(int):
    pass


ALL_TYPES = (Color, Level, Mood, Odd, Access, Mask, Point, Money, Order, Rush, Scaled, Box, Node)
SERIALIZER = MsgpackSerializer(ALL_TYPES)


def form(value: Any) -> Any:
    """What a value is, with the types of all its parts, as something that can be compared (nan too)."""
    kind = type(value)
    if kind in (list, tuple):
        return kind, [form(item) for item in value]
    if kind in (set, frozenset):
        return kind, sorted((form(item) for item in value), key=repr)
    if kind is dict:
        return kind, [(form(key), form(item)) for key, item in value.items()]
    if dataclasses.is_dataclass(value):
        return kind, [form(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if kind in (datetime, time):
        return kind, repr(value), value.fold, type(value.tzinfo), value.tzname()
    return kind, repr(value)


def same(a: Any, b: Any) -> bool:
    return bool(form(a) == form(b))


def round_trip(value: Any) -> Any:
    return SERIALIZER.unpack(SERIALIZER.pack(value))


def nested(depth: int, wrap: Any, innermost: Any = 0) -> Any:
    for _ in range(depth):
        innermost = wrap(innermost)
    return innermost


MINUTES = timedelta(minutes=1)
ZONES = st.one_of(
    st.none(),
    st.sampled_from([UTC, BERLIN, ZoneInfo("UTC"), ZoneInfo("Asia/Kathmandu")]),
    st.builds(lambda m: timezone(m * MINUTES), st.integers(-1439, 1439)),
    st.builds(lambda m, name: timezone(m * MINUTES, name), st.integers(-1439, 1439), st.text(max_size=5)),
    st.just(timezone(timedelta(seconds=1, microseconds=5))),
)
FOLDS = st.integers(0, 1)
# A signaling nan can't be hashed, so it is no key.
DECIMALS = st.decimals().filter(lambda number: not number.is_snan())
KEYS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.binary(max_size=8),
    DECIMALS,
    st.uuids(),
    st.dates(),
    st.timedeltas(),
    st.sampled_from(
        [*Color, *Level, *Mood, *Access, Access.READ | Access.WRITE, Access(0), Mask(3), Mask(8)]
    ),
    st.builds(lambda d, zone, fold: d.replace(tzinfo=zone, fold=fold), st.datetimes(), ZONES, FOLDS),
    st.builds(lambda t, zone, fold: t.replace(tzinfo=zone, fold=fold), st.times(), ZONES, FOLDS),
    st.builds(Money, DECIMALS, st.text(max_size=3)),
)
HASHABLE = st.recursive(
    KEYS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3), st.builds(Node, inner)
    ),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.sets(HASHABLE, max_size=4),
        st.builds(Box, inner),
        st.builds(Rush, number=st.integers(), total=st.builds(Money, DECIMALS), by=st.none()),
    ),
    max_leaves=20,
)


class TestRoundTrip:
    @given(VALUES)
    @settings(max_examples=300, deadline=None)
    def test_any_nested_value_comes_back_as_it_was(self, value: Any) -> None:
        assert same(round_trip(value), value)

    @given(st.lists(VALUES, max_size=3), st.dictionaries(st.text(max_size=5), VALUES, max_size=3))
    @settings(max_examples=50, deadline=None)
    def test_any_call_comes_back_as_it_was(self, args: list[Any], kwargs: dict[str, Any]) -> None:
        assert same(unpack_call(SERIALIZER, pack_call(SERIALIZER, tuple(args), kwargs)), (args, kwargs))

    @pytest.mark.parametrize(
        "value",
        [
            2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 2**1000, -(2**1000), 255, 256, -128, -129,
            float("nan"), float("inf"), -0.0, 5e-324,
            "", "a\x00b", "\U0001f600", b"", b"\xff" * 300,
            Decimal("1.10"), Decimal("-0"), Decimal("sNaN123"), Decimal("1E+999999"), Decimal("Infinity"),
            datetime.min, datetime.max, datetime.min.replace(tzinfo=UTC), DOUBLED, DOUBLED.replace(fold=1),
            DOUBLED.replace(tzinfo=BERLIN), DOUBLED.replace(tzinfo=BERLIN, fold=1),
            datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-5), "EST")),
            time(23, 59, 59, 999_999, fold=1), time(1, tzinfo=BERLIN), time.max.replace(tzinfo=UTC),
            date.min, date.max, timedelta.min, timedelta.max, timedelta(microseconds=-1), timedelta(),
            UUID(int=0), UUID("12345678-1234-5678-9234-567812345678"),
            (), ((),), [()], set(), frozenset(), {frozenset({1}): {(1, 2): {3}}},
            {None: 1, True: 2, 1.5: 3, b"k": 4}, {Color.RED: 1, Money(Decimal(1)): 2},
            Color.ROUGE, Level.HIGH, Mood.GOOD, Odd.LIST, Access.READ | Access.WRITE, Mask(0), Mask(3),
            Point(1.5), Money(Decimal("9.99"), "USD"), Box([Box((1,))]), Box[int](5),
            Order(number=3, total=Money(Decimal(1)), lines=[Point(1, 2)]),
            Rush(number=3, total=Money(Decimal(1)), by=datetime(2026, 1, 1, tzinfo=UTC)),
        ],
        ids=repr,
    )  # fmt: skip
    def test_edges(self, value: Any) -> None:
        assert same(round_trip(value), value)

    def test_fold_keeps_the_moment(self) -> None:
        earlier = DOUBLED.replace(tzinfo=BERLIN)
        later = earlier.replace(fold=1)
        assert round_trip(later).timestamp() - round_trip(earlier).timestamp() == 3600

    def test_members_and_zones_are_the_very_same(self) -> None:
        assert round_trip(Color.RED) is Color.RED
        assert round_trip(datetime(2026, 1, 1, tzinfo=UTC)).tzinfo is UTC
        assert round_trip(datetime(2026, 1, 1, tzinfo=BERLIN)).tzinfo is BERLIN

    @pytest.mark.parametrize("value", [bytearray(b"abc"), memoryview(b"abc")])
    def test_other_kinds_of_bytes_come_back_as_bytes(self, value: Any) -> None:
        assert same(round_trip([value]), [b"abc"])

    def test_a_dataclass_comes_back_with_its_fields_and_is_not_initialised_again(self) -> None:
        order = Order(number=3, total=Money(Decimal(1)))
        order.checksum = 5
        order.note = "by hand"
        assert round_trip(order) == order
        assert round_trip(order).checksum == 5
        assert round_trip(Scaled(10, 2)).value == 20

    def test_a_field_that_was_never_set_stays_unset(self) -> None:
        order = Order(number=3, total=Money(Decimal(1)))
        del order.checksum
        assert not hasattr(round_trip(order), "checksum")

    def test_cached_properties_are_no_content(self) -> None:
        box = Box(1)
        assert box.label == "box of 1"
        assert "label" not in vars(round_trip(box))

    def test_payloads_are_compact(self) -> None:
        sizes = {
            "two arguments": len(pack_call(SERIALIZER, ("ada@example.com", 42), {})),
            "datetime": len(SERIALIZER.pack(datetime(2026, 1, 1, tzinfo=UTC))),
            "uuid": len(SERIALIZER.pack(uuid4())),
            "date": len(SERIALIZER.pack(date(2026, 1, 1))),
            "pair": len(SERIALIZER.pack((1, 2))),
        }
        assert sizes == {"two arguments": 19, "datetime": 12, "uuid": 18, "date": 6, "pair": 6}

    def test_threads_do_not_disturb_one_another(self) -> None:
        wrong: list[Any] = []

        def work(number: int) -> None:
            value = [(number, Box(Color.RED)), {number: "x" * number}]
            try:
                wrong.extend(1 for _ in range(200) if not same(round_trip(value), value))
            except Exception as exc:
                wrong.append(exc)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
        finally:
            sys.setswitchinterval(interval)
        assert not any(thread.is_alive() for thread in threads)
        assert wrong == []

    def test_a_small_stack_is_enough_for_the_deepest_value(self) -> None:
        same_again: list[bool] = []
        values = [nested(MAX_DEPTH, Node), nested(MAX_DEPTH, lambda v: (v,))]

        def work() -> None:
            same_again.extend(round_trip(value) == value for value in values)

        usual = threading.stack_size(512 * 1024)
        try:
            thread = threading.Thread(target=work)
            thread.start()
        finally:
            threading.stack_size(usual)
        thread.join(30)
        assert same_again == [True, True]

    def test_works_on_after_a_refusal(self) -> None:
        with pytest.raises(SerializationError):
            SERIALIZER.pack([1, (2, object())])
        assert round_trip([1, (2, 3)]) == [1, (2, 3)]


class Foreign(tzinfo):
    def utcoffset(self, dt: datetime | None) -> timedelta:
        return timedelta(hours=1)


class Closed(Enum):
    ONE = 1


@dataclass
class Unknown:
    a: int


class TestRefused:
    @pytest.mark.parametrize(
        ("value", "message"),
        [
            (Closed.ONE, r"Closed isn't registered: annotate .* `registry.register_type\(Closed\)`"),
            (Unknown(1), r"Unknown isn't registered: annotate .* `registry.register_type\(Unknown\)`"),
            (Pair(1, 2), "Pair would come back as a plain tuple: pass `tuple"),
            (Whole(5), "Whole would come back as a plain int"),
            (type("Text", (str,), {})("x"), "Text would come back as a plain str"),
            (collections.OrderedDict(a=1), "OrderedDict would come back as a plain dict"),
            (collections.defaultdict(int), "defaultdict would come back as a plain dict"),
            (type("Stamp", (datetime,), {})(2026, 1, 1), "Stamp would come back as a plain datetime"),
            (datetime(2026, 1, 1, tzinfo=Foreign()), r"time zone is a .*Foreign.*zoneinfo.ZoneInfo"),
            (time(1, tzinfo=Foreign()), "time zone is a"),
            ("a\ud800", "lone surrogate at index 1"),
            ({"\udfff": 1}, "lone surrogate"),
            (object(), r"^object can't be sent: pass plain values"),
            (Path("report.csv"), r"Path can't be sent"),
            (len, "is code"),
            (Point, "is a class"),
            (Color, "is a class"),
            (1j, "complex can't be sent"),
            (range(3), "range can't be sent"),
            (iter([]), "can't be sent"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_what_would_not_come_back_is_refused(self, value: Any, message: str) -> None:
        for whole in (value, [value], (value,), {"k": value}, Box(value)):
            with pytest.raises(SerializationError, match=message if whole is value else message.lstrip("^")):
                SERIALIZER.pack(whole)

    def test_a_coroutine_has_to_be_awaited(self) -> None:
        async def fetch() -> None: ...

        coroutine = fetch()
        with pytest.raises(SerializationError, match="awaited first"):
            SERIALIZER.pack(coroutine)
        coroutine.close()

    def test_a_pydantic_model_is_told_apart(self) -> None:
        pydantic = pytest.importorskip("pydantic")
        with pytest.raises(SerializationError, match=r"pydantic model: pass `value.model_dump\(\)`"):
            SERIALIZER.pack(pydantic.create_model("Model")())

    def test_attributes_beside_the_fields_are_not_lost_in_silence(self) -> None:
        point = Point(1)
        point.extra = 5  # type: ignore[attr-defined]
        with pytest.raises(SerializationError, match=r"Point has attributes that aren't fields .*: extra\."):
            SERIALIZER.pack(point)

    def test_a_subclass_of_a_registered_dataclass_has_to_be_registered(self) -> None:
        @dataclass
        class Special(Point):
            z: int = 0

        with pytest.raises(SerializationError, match="Special isn't registered"):
            SERIALIZER.pack(Special(1))

    @pytest.mark.parametrize("make", [list, dict, Box], ids=lambda make: make.__name__)
    def test_what_contains_itself_is_refused(self, make: Any) -> None:
        loop = make(None) if make is Box else make()
        if make is list:
            loop.append(loop)
        elif make is dict:
            loop["self"] = loop
        else:
            loop.item = [loop]
        with pytest.raises(SerializationError, match="nested too deeply, or contains itself"):
            SERIALIZER.pack(loop)

    @pytest.mark.parametrize("innermost", [0, [], {}], ids=repr)
    @pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {1: v}], ids=["list", "dict"])
    def test_whatever_depth_is_packed_can_be_unpacked(self, wrap: Any, innermost: Any) -> None:
        deepest = 0
        for depth in range(450, 1100):
            try:
                blob = SERIALIZER.pack(nested(depth, wrap, innermost))
            except SerializationError:
                break
            SERIALIZER.unpack(blob)
            deepest = depth
        assert deepest >= 500

    @pytest.mark.parametrize(
        "wrap", [lambda v: (v,), Node, lambda v: frozenset([v])], ids=["tuple", "dataclass", "set"]
    )
    def test_extensions_go_a_hundred_levels_deep(self, wrap: Any) -> None:
        value = nested(MAX_DEPTH, wrap)
        assert round_trip(value) == value
        with pytest.raises(SerializationError, match="nested too deeply"):
            SERIALIZER.pack(nested(MAX_DEPTH + 1, wrap))
