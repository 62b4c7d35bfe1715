"""The classes that a job's annotations speak of: to annotate a parameter is enough to send its values."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from asyncjobs.serialization.classes import is_dataclass_type, is_sendable

__all__ = ["collect_types"]


def collect_types(fn: Callable[..., Any]) -> set[type]:
    """The Enum classes and dataclasses in the annotations of a function's parameters and return value.

    Looks into generics, unions, `Annotated`, `Literal`, `NewType`, type aliases and variables, TypedDicts and
    the fields of dataclasses. Passed over: annotations that can't be resolved (a name that is imported for
    type checkers only), and dataclasses that derive from a built-in class, which can't be registered.
    """
    fn = inspect.unwrap(fn)
    found: set[type] = set()
    # By id, as not everything in an annotation can be hashed; with the value, so that its id stays its own.
    seen: dict[int, Any] = {}
    waiting = list(_hints(fn, getattr(fn, "__globals__", {})))
    while waiting:
        hint = waiting.pop()
        if id(hint) in seen:
            continue
        seen[id(hint)] = hint
        if isinstance(hint, type) and is_sendable(hint):
            found.add(hint)
        waiting.extend(_within(hint))
    return found


def _within(hint: Any) -> Iterable[Any]:
    origin = typing.get_origin(hint)
    if origin is not None:
        return (origin, *typing.get_args(hint))
    if isinstance(hint, type):
        return _class_hints(hint) if is_dataclass_type(hint) or typing.is_typeddict(hint) else ()
    if hint.__class__ is list:  # the parameters of a Callable
        return hint
    if isinstance(hint, Enum):  # in a Literal
        return (type(hint),)
    if isinstance(hint, typing.NewType):
        return (hint.__supertype__,)
    if isinstance(hint, typing.TypeVar):
        return (hint.__bound__, *hint.__constraints__)
    if type(hint).__name__ == "TypeAliasType":  # from Python 3.12 on, evaluated when it's asked for
        try:
            return (hint.__value__,)
        except Exception:
            return ()
    return ()


def _class_hints(cls: type) -> Iterator[Any]:
    for base in cls.__mro__:
        module = sys.modules.get(base.__module__)
        if base is not object and module is not None:
            yield from _hints(base, vars(module))


def _hints(owner: Any, namespace: Mapping[str, Any]) -> Iterator[Any]:
    """The resolved annotations of a function or class, each by itself: a bad name spoils only its own."""
    try:
        annotations = dict(inspect.get_annotations(owner))
    except Exception:
        return
    for name, annotation in annotations.items():

        def alone() -> None: ...

        alone.__annotations__ = {name: annotation}
        try:
            yield typing.get_type_hints(alone, dict(namespace), include_extras=True)[name]
        except Exception:
            continue
