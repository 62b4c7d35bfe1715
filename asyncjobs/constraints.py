"""What binds the creation of a job: its unique key, limits, expiry, an id of the caller's choosing."""

from __future__ import annotations

import hashlib
import inspect
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from asyncjobs.errors import CallError, DefinitionError, OptionError, OutputError
from asyncjobs.ids import shard_for, shard_of
from asyncjobs.options import JobOptions
from asyncjobs.serialization import Output
from asyncjobs.storage.limits import MUTEX, LimitUse, Numbers
from asyncjobs.storage.unique import UniqueClaim
from asyncjobs.unique import KeyOf

MAX_KEY = 200
"""Characters of a key that are stored as they are; a longer one is shortened, and told apart by a hash."""
_CONVERSIONS = (None, "r", "s", "a")
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class _Bound(NamedTuple):
    """The arguments of a call: by name, and as a function gets them."""

    values: Mapping[str, Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    outputs: Sequence[str]
    """The jobs whose results are among them."""


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

    def shard(
        self, shards: int, name: str, given: int | None = None, by: str = "its batch", *, fixed: bool = False
    ) -> int | None:
        """The shard, of `shards`, that a job has to be on; None: on any. See `shard_of_all`."""
        return shard_of_all([self], shards, name, given, by, fixed=fixed)

    def places(self, shards: int) -> Iterator[tuple[str, int, bool]]:
        """What is on one shard each, which one, and whether that is a matter of chance."""
        if self.job_id is not None:
            yield f"id {self.job_id!r}", shard_of(self.job_id, shards), True
        if self.unique is not None:
            yield f"unique key {self.unique.key!r}", shard_for(self.unique.key, shards), True
        for use in self.limits:
            if use.name == MUTEX:
                yield f"mutex {use.key!r}", shard_for(use.key, shards), True
            else:
                yield f"limit {use.name!r}", shard_for(use.name, shards), False


def shard_of_all(
    together: Iterable[Constraints],
    shards: int,
    what: str,
    given: int | None = None,
    by: str = "its batch",
    *,
    fixed: bool = False,
) -> int | None:
    """The shard, of `shards`, that jobs have to be on to be on one, which `given` is already; None: any.

    A key is on the shard that it hashes to, so that two of them are on one by chance at best, and so are a
    key and a batch (`given`, unless it is `fixed`): where there are several shards, raises `OptionError` for
    what would need that, whatever its present keys. `what` and `by` name the jobs, and what has given.
    """
    if shards == 1:
        return given
    shard_by: dict[str, int] = {}
    by_chance = False
    for constraints in together:
        for place, shard, chance in constraints.places(shards):
            shard_by[place] = shard
            by_chance = by_chance or chance
    if given is not None and shard_by:
        shard_by[by] = given
        by_chance = by_chance or not fixed
    if len(shard_by) > 1 and (by_chance or len(set(shard_by.values())) > 1):
        raise OptionError(
            f"{what} can't be created in a namespace of {shards} shards, where {' and '.join(shard_by)}"
            " needn't be on the same one: let it have only one of them"
        )
    return next(iter(shard_by.values()), given)


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
            self._common = self._of(_Bound(_NOTHING, (), _NOTHING, ()))
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

    def __call__(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], outputs: Sequence[str] = ()
    ) -> Constraints:
        """Those of a call; `outputs`: the jobs whose results are among its arguments. Raises `CallError`."""
        if self._common is not None:
            return self._common
        if self._simple:
            # What binding it would give, at a quarter of the time.
            values = {**self._defaults, **dict(zip(self._names, args, strict=False)), **kwargs}
            return self._of(_Bound(values, [values[name] for name in self._names], _NOTHING, outputs))
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return self._of(_Bound(bound.arguments, bound.args, bound.kwargs, outputs))

    def _of(self, bound: _Bound) -> Constraints:
        settings = self._settings
        claim = None
        if settings.unique is not None and self._unique is not None:
            unique = settings.unique
            replaces = unique.on_conflict == "replace"
            claim = UniqueClaim(self._key(self._unique, bound), unique.kind, unique.period_ms, replaces)
        limits = [
            LimitUse(limit.name, "" if make is None else self._key(make, bound), limit.numbers)
            for limit, make in self._limits
        ]
        if self._mutex is not None:
            limits.append(LimitUse(MUTEX, self._key(self._mutex, bound), Numbers(1)))
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
            fields = list(_fields(template))
        except ValueError as error:
            raise DefinitionError(f"{self._name}: the {what} {template!r} can't be read: {error}") from None
        for field in fields:
            name = field.replace("[", ".").partition(".")[0]
            if name not in self._signature.parameters:
                raise DefinitionError(
                    f"{self._name}: the {what} {template!r} names {{{name}}}, which is none of its"
                    f" parameters: {self._signature}"
                )

    def _key(self, maker: tuple[str, KeyOf], bound: _Bound) -> str:
        what, key_of = maker
        try:
            if isinstance(key_of, str):
                key = key_of.format_map(bound.values)
            else:
                made = key_of(*bound.args, **bound.kwargs)
                key = "" if made is None else str(made)
            if any(repr(Output(job_id)) in key for job_id in bound.outputs):
                raise OutputError
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


def _fields(template: str) -> Iterator[str]:
    """What a template names, inside format specifications too. Raises `ValueError`."""
    for _, field, specification, conversion in string.Formatter().parse(template):
        if field is not None:
            yield field
        if conversion not in _CONVERSIONS:
            raise ValueError(f"!{conversion} is no conversion: write !r, !s or !a")
        if specification:
            yield from _fields(specification)


def storable(key: str) -> str:
    """A key as it is stored: printable and not too long, but still one key and no other."""
    if len(key) <= MAX_KEY and key.isprintable():
        return key
    printable = "".join(letter if letter.isprintable() else "?" for letter in key[:100])
    return f"{printable}~{hashlib.sha256(key.encode(errors='surrogatepass')).hexdigest()[:32]}"
