"""What binds the creation of a job: its unique key, limits, expiry, an id of the caller's choosing."""

from __future__ import annotations

import hashlib
import inspect
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from asyncjobs.errors import CallError, DefinitionError, OptionError, OutputError
from asyncjobs.ids import shard_for, shard_of
from asyncjobs.options import JobOptions
from asyncjobs.storage.limits import MUTEX, LimitUse, Numbers
from asyncjobs.storage.unique import UniqueClaim
from asyncjobs.unique import KeyOf

MAX_KEY = 200
"""Characters of a key that are stored as they are; a longer one is shortened, and told apart by a hash."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(slots=True, frozen=True)
class Constraints:
    """Those of one call."""

    unique: UniqueClaim | None = None
    on_conflict: Literal["return", "replace", "raise"] = "return"
    limits: tuple[LimitUse, ...] = ()
    expires_ms: int = 0
    job_id: str | None = None

    @property
    def may_be_left_out(self) -> bool:
        """Whether creating the job may come to nothing, for another one is there instead."""
        return self.unique is not None and self.on_conflict != "replace"

    def shard(self, shards: int, name: str, given: int | None = None, by: str = "its batch") -> int | None:
        """The shard, of `shards`, that a job has to be on, which `given` is already; None: on any.

        A key is on the shard that it hashes to, so that two of them are on one shard by chance at best: where
        there are several, raises `OptionError` for a job that would need that, whatever its present keys.
        """
        if shards == 1:
            return given
        places: dict[str, int | None] = {}
        if self.job_id is not None:
            places["its id"] = shard_of(self.job_id, shards)
        if self.unique is not None:
            places["its unique key"] = shard_for(self.unique.key, shards)
        for use in self.limits:
            if use.name == MUTEX:
                places["its mutex"] = shard_for(use.key, shards)
            else:
                places[f"limit {use.name!r}"] = shard_for(use.name, shards)
        by_chance = places.keys() & {"its id", "its unique key", "its mutex"}
        if given is not None:
            places[by] = given
        if len(places) > 1 and (by_chance or len(set(places.values())) > 1):
            raise OptionError(
                f"{name} can't be kept in a namespace of {shards} shards: {' and '.join(places)} are on"
                " different ones; let it have only one of them"
            )
        return next(iter(places.values()), None)


class ConstraintsOf:
    """Makes the constraints of each call of a definition; None where there are none.

    Raises `DefinitionError` for a template that names what isn't among the parameters.
    """

    def __init__(self, name: str, signature: inspect.Signature, settings: JobOptions) -> None:
        self._name = name
        self._signature = signature
        self._settings = settings
        unique = settings.unique
        self._unique = None if unique is None else self._maker(unique.key, "unique key")
        self._limits = [
            (limit, None if limit.key is None else self._maker(limit.key, f"key of limit {limit.name!r}"))
            for limit in settings.limits
        ]
        self._mutex = None if settings.mutex is None else self._maker(settings.mutex, "mutex")
        self._common = None
        if self._unique is None and self._mutex is None and not any(make for _, make in self._limits):
            self._common = self._of({})
        parameters = signature.parameters.values()
        kinds = {parameter.kind for parameter in parameters}
        self._simple = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}
        self._names = tuple(signature.parameters)
        self._defaults = {
            parameter.name: parameter.default
            for parameter in parameters
            if parameter.default is not parameter.empty
        }

    @classmethod
    def of(cls, name: str, signature: inspect.Signature, settings: JobOptions) -> ConstraintsOf | None:
        """None where the settings have nothing of the kind."""
        if settings.is_free:
            return None
        return cls(name, signature, settings)

    def __call__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Constraints:
        """Those of a call. Raises `CallError`."""
        if self._common is not None:
            return self._common
        if self._simple:
            # What binding it would give, at a quarter of the time.
            values = {**self._defaults, **dict(zip(self._names, args, strict=False)), **kwargs}
            return self._of(values, [values[name] for name in self._names])
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return self._of(bound.arguments, bound.args, bound.kwargs)

    def _of(
        self, values: Mapping[str, Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] = _NOTHING
    ) -> Constraints:
        settings = self._settings
        claim = None
        if settings.unique is not None and self._unique is not None:
            unique = settings.unique
            replaces = unique.on_conflict == "replace"
            claim = UniqueClaim(
                self._key(self._unique, values, args, kwargs), unique.kind, unique.period_ms, replaces
            )
        limits = [
            LimitUse(limit.name, "" if make is None else self._key(make, values, args, kwargs), limit.numbers)
            for limit, make in self._limits
        ]
        if self._mutex is not None:
            limits.append(LimitUse(MUTEX, self._key(self._mutex, values, args, kwargs), Numbers(1)))
        return Constraints(
            claim,
            "return" if settings.unique is None else settings.unique.on_conflict,
            tuple(limits),
            settings.expires_ms or 0,
            settings.job_id,
        )

    def _maker(self, key: KeyOf, what: str) -> tuple[str, KeyOf]:
        if isinstance(key, str):
            self._check(key, what)
        return what, key

    def _check(self, template: str, what: str) -> None:
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
        except ValueError as error:
            raise DefinitionError(f"{self._name}: the {what} {template!r} can't be read: {error}") from None
        for field in fields:
            name = field.replace("[", ".").partition(".")[0]
            if name not in self._signature.parameters:
                raise DefinitionError(
                    f"{self._name}: the {what} {template!r} names {{{name}}}, which is none of its"
                    f" parameters: {self._signature}"
                )

    def _key(
        self,
        maker: tuple[str, KeyOf],
        values: Mapping[str, Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> str:
        what, key_of = maker
        try:
            key = key_of.format_map(values) if isinstance(key_of, str) else str(key_of(*args, **kwargs))
        except OutputError:
            raise CallError(
                f"{self._name}: its {what} can't be made of the output of another job, which isn't there yet"
            ) from None
        except Exception as error:
            raise CallError(
                f"{self._name}: its {what} can't be made of these arguments: {type(error).__name__}: {error}"
            ) from error
        if not key:
            raise CallError(f"{self._name}: its {what} is empty for these arguments")
        return storable(key)


def storable(key: str) -> str:
    """A key as it is stored: printable and not too long, but still one key and no other."""
    if len(key) <= MAX_KEY and key.isprintable():
        return key
    printable = "".join(letter if letter.isprintable() else "?" for letter in key[:100])
    return f"{printable}~{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()[:32]}"
