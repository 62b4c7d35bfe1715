"""What is said to somebody who passes a value that can't be sent."""

from __future__ import annotations

import dataclasses
import inspect
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

from asyncjobs.serialization.typenames import type_name

__all__ = ["refusal", "shown"]

_TEXTS = (str, bytes, bytearray)
_NUMBERS = (int, float, Decimal)
_CONTAINERS = (list, dict, set, frozenset)
# `datetime` derives from `date`: the narrower comes first.
_TIMES = (datetime, date, time, timedelta)


def shown(value: object) -> str:
    """The name of a value's class, for a message."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else type_name(cls)


def refusal(value: object) -> str:
    """Why a value of this type can't be packed, and what to pass instead."""
    cls = type(value)
    name = shown(value)
    if isinstance(value, Enum) or (dataclasses.is_dataclass(value) and not isinstance(value, type)):
        return (
            f"{name} isn't registered: annotate the job's parameter with it, or call "
            f"`registry.register_type({cls.__name__})`, where the job is sent and where it runs"
        )
    if isinstance(value, type):
        return f"{value!r} is a class, which can't be sent: pass a name that the job looks it up by"
    if isinstance(value, tuple):
        return f"{name} would come back as a plain tuple: pass `tuple(value)`, or make it a dataclass"
    for base in (*_TEXTS, *_NUMBERS, *_CONTAINERS, *_TIMES, UUID):
        if isinstance(value, base):
            return f"{name} would come back as a plain {base.__name__}: convert it to {base.__name__} first"
    if hasattr(cls, "model_dump"):
        return f"{name} is a pydantic model: pass `value.model_dump()`, and validate it in the job"
    if inspect.isawaitable(value):
        return f"{name} has to be awaited first: pass what it gives"
    if callable(value):
        return f"{name} is code, which can't be sent: pass a name that the job looks it up by"
    return (
        f"{name} can't be sent: pass plain values (text, numbers, dates, lists, dicts, registered "
        f"dataclasses), or an id that the job loads it by"
    )
