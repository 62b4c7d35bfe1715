"""Arguments and results that are stored as they are, but shown to nobody who only looks.

What is secret travels with a call, so that it is masked also where its definition isn't known.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import Any, cast

from asyncjobs.errors import DefinitionError, SerializationError
from asyncjobs.serialization.outputs import take_outputs
from asyncjobs.serialization.serializer import Serializer

RESULT = "return"
"""Stands for the result among the names of parameters: none can be called so."""


class Masked:
    """Takes the place of a secret value where it is shown."""

    def __repr__(self) -> str:
        return "••••••"


MASKED = Masked()


class SecretsOf:
    """Which arguments of a definition's calls are secret.

    Raises `DefinitionError` for a name that isn't a parameter's.
    """

    def __init__(self, name: str, signature: inspect.Signature, secret: Sequence[str]) -> None:
        self._parameters = [signature.parameters[one] for one in secret if one in signature.parameters]
        self._result = RESULT in secret
        self._order = list(signature.parameters)
        unknown = [one for one in secret if one not in signature.parameters and one != RESULT]
        if unknown:
            raise DefinitionError(
                f"secret of {name} names {', '.join(map(repr, unknown))}, which is no parameter of it: give"
                f" some of {', '.join(map(repr, (*signature.parameters, RESULT)))}"
            )

    def marks(self, args: Sequence[object], kwargs: Collection[str]) -> list[int | str]:
        """Positions and keywords of what is secret in a call that fits the signature."""
        marks: list[int | str] = [RESULT] if self._result else []
        for parameter in self._parameters:
            place = self._order.index(parameter.name)
            if parameter.kind is parameter.VAR_POSITIONAL:
                marks += range(place, len(args))
            elif parameter.kind is parameter.VAR_KEYWORD:
                marks += [keyword for keyword in kwargs if keyword not in self._order]
            elif parameter.name in kwargs and parameter.kind is not parameter.POSITIONAL_ONLY:
                marks.append(parameter.name)
            elif parameter.kind is not parameter.KEYWORD_ONLY and place < len(args):
                marks.append(place)
        return marks


def mask(
    args: list[Any], kwargs: dict[str, Any], marks: Collection[object]
) -> tuple[list[Any], dict[str, Any]]:
    """The arguments with `MASKED` in place of what is secret."""
    return (
        [MASKED if place in marks else value for place, value in enumerate(args)],
        {name: MASKED if name in marks else value for name, value in kwargs.items()},
    )


def marks_of(serializer: Serializer, blob: bytes) -> list[object]:
    """What is secret in a packed call. Raises `SerializationError` if it can't be read."""
    if not blob:
        return []
    call = serializer.unpack(blob)
    take_outputs()
    if not isinstance(call, list):
        raise SerializationError("the bytes aren't the arguments of a call")
    parts = cast(list[object], call)
    return cast(list[object], parts[2]) if len(parts) > 2 and isinstance(parts[2], list) else []
