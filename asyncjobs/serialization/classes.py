"""How members of Enum classes and instances of dataclasses are taken apart and rebuilt."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from enum import Enum, Flag
from functools import cached_property
from typing import Any, TypeGuard

from asyncjobs.errors import DefinitionError, SerializationError
from asyncjobs.serialization.typenames import type_name

__all__ = ["Convert", "is_dataclass_type", "is_enum_type", "is_sendable", "plan"]

Convert = Callable[[Any], Any]
"""Turns a value into simpler ones, or these into the value again."""


def is_enum_type(cls: object) -> TypeGuard[type[Enum]]:
    """Whether it is an Enum class."""
    return isinstance(cls, type) and issubclass(cls, Enum)


def is_dataclass_type(cls: object) -> bool:
    """Whether it is a dataclass (the class, not an instance)."""
    return isinstance(cls, type) and dataclasses.is_dataclass(cls)


def is_sendable(cls: object) -> bool:
    """Whether it is an Enum class with members, or a dataclass whose fields hold all that its instances "
    "are."""
    if is_enum_type(cls):
        return bool(cls.__members__)
    return is_dataclass_type(cls) and _foreign_content(cls) is None


def plan(cls: type) -> tuple[Convert, Convert]:
    """The functions that take a value of this class apart, and rebuild it.

    Raises:
        DefinitionError: the class is neither an Enum nor a dataclass, or is a dataclass that its fields don't
            wholly describe.
    """
    if is_enum_type(cls):
        return _plan_flag(cls) if issubclass(cls, Flag) else _plan_enum(cls)
    if is_dataclass_type(cls):
        return _plan_dataclass(cls)
    raise DefinitionError(
        f"{type_name(cls)} can't be registered: only Enum classes and dataclasses can. Make it a dataclass, "
        f"or pass plain values and build it inside the job"
    )


def _foreign_content(cls: Any) -> TypeError | None:
    """What Python says against a bare instance of the class: it has content that isn't in attributes."""
    if inspect.isabstract(cls):
        return None
    try:
        object.__new__(cls)
    except TypeError as exc:
        return exc
    return None


def _plan_enum(cls: type[Enum]) -> tuple[Convert, Convert]:
    members = cls.__members__

    def take_apart(member: Enum) -> str:
        name = member._name_  # `name` may be something else: a member or a property of the class's own
        # A `_missing_` hook can make members on the fly, which no other process knows.
        if members.get(name) is not member:
            raise SerializationError(f"{member!r} isn't one of the declared members of {type_name(cls)}")
        return name

    def rebuild(name: Any) -> Enum:
        try:
            return members[name]
        except KeyError:
            raise SerializationError(
                f"{type_name(cls)} has no member {name!r} in this process. Was it renamed or removed while "
                f"jobs that use it were waiting? Keep the old name as an alias until they are done"
            ) from None

    return take_apart, rebuild


def _plan_flag(cls: type[Flag]) -> tuple[Convert, Convert]:
    def take_apart(member: Flag) -> Any:
        return member._value_

    def rebuild(value: Any) -> Flag:
        try:
            return cls(value)
        except ValueError as exc:
            raise SerializationError(f"{value!r} isn't a value of {type_name(cls)} in this process") from exc

    return take_apart, rebuild


def _plan_dataclass(cls: Any) -> tuple[Convert, Convert]:
    fields = dataclasses.fields(cls)
    names = tuple(field.name for field in fields)
    known = frozenset(names)
    label = type_name(cls)
    foreign = _foreign_content(cls)
    if foreign is not None:
        raise DefinitionError(
            f"{label} can't be registered: it derives from a built-in class, whose own content isn't in the "
            f"dataclass's fields. Hold that content in a field instead"
        ) from foreign

    def take_apart(value: Any) -> dict[str, Any]:
        own = getattr(value, "__dict__", None)
        if own and not known.issuperset(own):
            _refuse_extras(cls, own.keys() - known)
        try:
            return {name: getattr(value, name) for name in names}
        except AttributeError:
            return {name: getattr(value, name) for name in names if hasattr(value, name)}

    def rebuild(state: Any) -> Any:
        # Neither `__init__` nor `__post_init__` runs: they have run where the value was made, and running
        # them again on their own outcome needn't give the same (and can't where there are InitVars).
        value: Any = object.__new__(cls)
        put = object.__setattr__
        if state.keys() != known:
            _fill_in(label, fields, known, state)
        for name, item in state.items():
            put(value, name, item)
        return value

    return take_apart, rebuild


def _refuse_extras(cls: type, extras: set[str]) -> None:
    lost = sorted(
        name
        for name in extras
        if name != "__orig_class__"
        and not isinstance(inspect.getattr_static(cls, name, None), cached_property)
    )
    if lost:
        raise SerializationError(
            f"{type_name(cls)} has attributes that aren't fields and would be lost: {', '.join(lost)}. "
            f"Declare them as fields (with `field(init=False)` if need be)"
        )


def _fill_in(
    label: str, fields: tuple[dataclasses.Field[Any], ...], known: frozenset[str], state: dict[str, Any]
) -> None:
    """Bridge two versions of a dataclass: fields that were added get their defaults; none is dropped."""
    unknown = sorted(state.keys() - known)
    if unknown:
        raise SerializationError(
            f"{label} has no field {', '.join(unknown)} in this process: the value was packed by other code. "
            f"Update the workers before the producers when fields are added, after them when they are removed"
        )
    for field in fields:
        if field.name in state:
            continue
        if field.default is not dataclasses.MISSING:
            state[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            state[field.name] = field.default_factory()
        elif field.init:
            raise SerializationError(
                f"{label}.{field.name} isn't in the packed value: it was packed by other code. Give a field "
                f"that is added a default, so that jobs that wait already can run"
            )
