"""Registering classes, two versions of one class, and the classes that annotations speak of."""

from __future__ import annotations

import collections
import dataclasses
import subprocess
import sys
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, Flag, IntEnum, IntFlag, StrEnum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import pytest

from asyncjobs.errors import DefinitionError, SerializationError
from asyncjobs.serialization import MsgpackSerializer, collect_types, type_name

if TYPE_CHECKING:
    from somewhere import Missing  # type: ignore[import-not-found]

T = TypeVar("T")


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Level(IntEnum):
    LOW = 1


class Mood(StrEnum):
    GOOD = auto()


class Access(Flag):
    READ = auto()


class Mask(IntFlag):
    A = 1


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Money:
    amount: Decimal
    color: Color | None = None


@dataclass
class Order:
    total: Money
    lines: list[Point] = field(default_factory=list)


@dataclass
class Rush(Order):
    level: Level = Level.LOW


@dataclass
class Box(Generic[T]):
    item: T


class Pair(NamedTuple):
    a: int


class Plain:
    pass


SERIALIZER = MsgpackSerializer([Color, Point])


class TestRegistering:
    def test_again_does_nothing_and_gives_the_class(self) -> None:
        serializer = MsgpackSerializer()
        assert serializer.register(Point) is Point
        assert serializer.register(Point) is Point
        assert serializer.unpack(serializer.pack(Point(1))) == Point(1)

    def test_two_classes_of_one_name_are_refused(self) -> None:
        twin = dataclasses.make_dataclass("Point", ["x"])
        twin.__module__ = Point.__module__
        with pytest.raises(DefinitionError, match=r"another class named .*Point is registered"):
            SERIALIZER.register(twin)

    @pytest.mark.parametrize("cls", [int, str, object, Pair, Plain])
    def test_other_classes_are_refused(self, cls: type) -> None:
        with pytest.raises(DefinitionError, match="only Enum classes and dataclasses"):
            SERIALIZER.register(cls)

    @pytest.mark.parametrize("base", [Exception, list, dict, int])
    def test_a_dataclass_with_content_beside_its_fields_is_refused(self, base: type) -> None:
        cls = dataclasses.make_dataclass("Mixed", [("x", int, 0)], bases=(base,))
        with pytest.raises(DefinitionError, match="derives from a built-in class"):
            SERIALIZER.register(cls)

    def test_each_serializer_has_its_own_table(self) -> None:
        with pytest.raises(SerializationError, match="isn't registered"):
            MsgpackSerializer().pack(Color.RED)
        with pytest.raises(
            SerializationError, match=r"holds a \S*Color, which isn't registered in this process"
        ):
            MsgpackSerializer().unpack(SERIALIZER.pack([Color.RED]))

    def test_the_main_script_agrees_with_who_imports_it(self, tmp_path: Path) -> None:
        (tmp_path / "tasks.py").write_text(
            "from enum import Enum\n"
            "from asyncjobs.serialization import MsgpackSerializer\n"
            "class Color(Enum):\n    RED = 1\n"
            "serializer = MsgpackSerializer([Color])\n"
            "if __name__ == '__main__':\n    print(serializer.pack(Color.RED).hex())\n"
        )
        reader = (
            "import tasks, sys; print(tasks.serializer.unpack(bytes.fromhex(sys.argv[1])) is tasks.Color.RED)"
        )
        for main in (["tasks.py"], ["-m", "tasks"]):
            packed = subprocess.run(
                [sys.executable, *main], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
            )
            read = subprocess.run(
                [sys.executable, "-c", reader, packed.stdout.strip()],
                cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60,
            )  # fmt: skip
            assert read.stdout == "True\n"


def versions(before: type, after: type) -> tuple[MsgpackSerializer, MsgpackSerializer]:
    """Serializers of two processes that have one class of one name in two versions."""
    for cls in (before, after):
        cls.__module__, cls.__qualname__ = "shop", "Item"
    return MsgpackSerializer([before]), MsgpackSerializer([after])


class TestTwoVersionsOfAClass:
    def test_an_added_field_gets_its_default(self) -> None:
        old = dataclasses.make_dataclass("Item", [("a", int)])
        new = dataclasses.make_dataclass(
            "Item", [("a", int), ("b", int, 5), ("c", list, field(default_factory=list))]
        )
        packer, unpacker = versions(old, new)
        assert unpacker.unpack(packer.pack(old(1))) == new(1, 5, [])

    def test_an_added_field_without_default_is_named(self) -> None:
        old = dataclasses.make_dataclass("Item", [("a", int)])
        packer, unpacker = versions(old, dataclasses.make_dataclass("Item", [("a", int), ("b", int)]))
        with pytest.raises(SerializationError, match=r"shop\.Item\.b isn't in the packed value"):
            unpacker.unpack(packer.pack(old(1)))

    def test_a_removed_field_is_not_dropped_in_silence(self) -> None:
        old = dataclasses.make_dataclass("Item", [("a", int), ("b", int)])
        packer, unpacker = versions(old, dataclasses.make_dataclass("Item", [("a", int)]))
        with pytest.raises(SerializationError, match=r"shop\.Item has no field b"):
            unpacker.unpack(packer.pack(old(1, 2)))

    def test_a_member_that_is_gone_is_named(self) -> None:
        packer, unpacker = versions(old := Enum("Item", {"A": 1}), Enum("Item", {"B": 1}))
        with pytest.raises(SerializationError, match=r"shop\.Item has no member 'A'"):
            unpacker.unpack(packer.pack(old["A"]))

    def test_an_enum_that_became_a_dataclass_is_an_error(self) -> None:
        old = Enum("Item", {"A": 1})
        packer, unpacker = versions(old, dataclasses.make_dataclass("Item", [("a", int)]))
        with pytest.raises(SerializationError):
            unpacker.unpack(packer.pack(old["A"]))


class Spec(TypedDict):
    mood: Mood


@dataclass
class Tree:
    children: list[Tree]
    money: dict[str, Money | None]
    lost: Missing
    where: tuple[Point, ...] = ()


@dataclass
class Oak(Tree):
    access: Access = Access.READ


@dataclass
class BrokenError(Exception):
    level: Level


Priced = NewType("Priced", Money)
Kind = TypeVar("Kind", bound=Color)


class TestCollectTypes:
    def test_looks_into_everything(self) -> None:
        def job(
            a: Color | None,
            b: Annotated[list[dict[Level, tuple[Mood, ...]]], "note"],
            *args: Box[Access],
            c: Literal[Mask.A] = Mask.A,
            d: collections.abc.Callable[[Point], None] | None = None,
            **kwargs: Priced,
        ) -> Order | None: ...

        assert collect_types(job) == {Color, Level, Mood, Box, Access, Mask, Point, Money, Order}

    def test_looks_into_fields_of_dataclasses_and_typed_dicts(self) -> None:
        def job(oak: Oak, spec: Spec) -> None: ...

        assert collect_types(job) == {Oak, Tree, Money, Color, Point, Access, Mood}

    def test_follows_the_bound_of_a_type_variable(self) -> None:
        def job(value: Kind) -> list[Kind]: ...

        assert collect_types(job) == {Color}

    def test_what_can_not_be_resolved_spoils_only_itself(self) -> None:
        def job(a: Missing, b: Color, c: list[Missing]) -> Missing: ...

        assert collect_types(job) == {Color}

    def test_nothing_where_nothing_is_annotated(self) -> None:
        def job(a, b=1, *args, **kwargs):  # type: ignore[no-untyped-def]
            ...

        assert collect_types(job) == set()
        assert collect_types(print) == set()
        assert collect_types(lambda: None) == set()

    def test_everything_found_can_be_registered(self) -> None:
        def job(a: BrokenError, b: Enum, c: StrEnum, d: Exception, e: Color) -> None: ...

        assert collect_types(job) == {Color, Level}
        MsgpackSerializer(collect_types(job))

    def test_annotated_parameters_are_all_it_takes(self) -> None:
        def job(order: Rush) -> None: ...

        serializer = MsgpackSerializer(collect_types(job))
        order = Rush(Money(Decimal(2), Color.GREEN), [Point(1)], Level.LOW)
        assert serializer.unpack(serializer.pack(order)) == order


def test_type_name_is_module_and_qualname() -> None:
    assert type_name(Point) == f"{__name__}.Point"
    assert type_name(TestCollectTypes) == f"{__name__}.TestCollectTypes"
