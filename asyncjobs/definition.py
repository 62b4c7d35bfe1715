"""A function declared as a job, with its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, Unpack, cast

from asyncjobs.constraints import ConstraintsOf
from asyncjobs.context import JobContext
from asyncjobs.errors import CallError
from asyncjobs.job import Call
from asyncjobs.options import CallOptions, JobOptions, pack_overrides
from asyncjobs.serialization import SecretsOf, check_size, pack_call, take_outputs

if TYPE_CHECKING:
    from asyncjobs.registry import Registry

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T", bound=type)

Runs = Literal["loop", "thread", "process", "elsewhere"]
"""Where a definition's function runs; `elsewhere`: its code is in another program."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """A signature, in the form that most calls can be checked by without binding them."""

    signature: inspect.Signature
    positional: int
    required: frozenset[str]
    names: tuple[str, ...]
    keywords: frozenset[str]
    simple: bool

    @classmethod
    def of(cls, signature: inspect.Signature) -> _Shape:
        parameters = list(signature.parameters.values())
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        return cls(
            signature,
            len(positional),
            frozenset(
                p.name
                for p in parameters
                if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
            ),
            tuple(p.name for p in positional),
            frozenset(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)),
            not any(p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters),
        )

    def fits(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """True: the call fits for certain; False: only binding it can tell."""
        if not self.simple or len(args) > self.positional:
            return False
        given = self.names[: len(args)]
        if kwargs:
            return (
                self.keywords.issuperset(kwargs)
                and not any(name in kwargs for name in given)
                and self.required.issubset((*given, *kwargs))
            )
        return self.required.issubset(given)


class Definition(Generic[P, R_co]):
    """A function declared as a job, with its options. It can still be called as the plain function it is."""

    def __init__(
        self,
        registry: Registry,
        fn: Callable[..., Any],
        name: str,
        runs: Runs,
        *,
        context: bool,
        defaults: JobOptions,
        aliases: tuple[str, ...] = (),
        settings: JobOptions | None = None,
    ) -> None:
        self.registry = registry
        self.fn = fn
        self.name = name
        """The name that its jobs carry."""
        self.aliases = aliases
        """Further names whose jobs it runs."""
        self.runs: Runs = runs
        self.takes_context = context
        self.defaults = defaults
        """The options it was declared with."""
        self.settings = settings or defaults
        """The options that calls made through this object have."""
        self.overrides = pack_overrides(defaults, self.settings)
        self.shape = _Shape.of(_signature(fn, skip_first=context))
        self._secrets_of = (
            SecretsOf(name, self.shape.signature, self.settings.secret) if self.settings.secret else None
        )
        self._constraints_of = ConstraintsOf.of(name, self.shape.signature, self.settings)
        if self.settings is not self.defaults and self.settings.limits != self.defaults.limits:
            registry.check_limits(self.settings.limits, name)
        self.__doc__ = fn.__doc__
        self.__name__ = getattr(fn, "__name__", name)
        self.__qualname__ = getattr(fn, "__qualname__", name)
        self.__module__ = fn.__module__
        self.__wrapped__ = fn

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def options(self, **overrides: Unpack[CallOptions]) -> Definition[P, R_co]:
        """The same definition with other options: `client.enqueue(fn.options(queue="bulk"), …)`.

        Those of `Registry.job`, and `job_id`: an id of your choosing (1 to 100 letters, digits and
        `_ . - + = @`). A job that has it already is returned instead of being created again, also when it has
        ended, for as long as it is kept. Raises `OptionError` or `DefinitionError`.
        """
        return Definition(
            self.registry,
            self.fn,
            self.name,
            self.runs,
            context=self.takes_context,
            defaults=self.defaults,
            aliases=self.aliases,
            settings=self.settings.merge(**overrides),
        )

    def call(self, /, *args: P.args, **kwargs: P.kwargs) -> Call[R_co]:
        """A call of this job, checked and packed now, to be enqueued later.

        Raises `CallError` if the arguments don't fit the signature, `SerializationError` if one can't be
        packed, and `PayloadTooLarge` if they are too large.
        """
        if not self.shape.fits(args, kwargs):
            self.check(args, kwargs)
        secret = () if self._secrets_of is None else self._secrets_of.marks(args, kwargs)
        payload = pack_call(self.registry.serializer, args, kwargs, self.shape.names, secret)
        if len(payload) > self.registry.max_payload:
            check_size(payload, self.registry.max_payload, f"the arguments of {self.name}")
        outputs = take_outputs() if payload else ()
        if self._constraints_of is None:
            return Call(self, payload, outputs)
        return Call(self, payload, outputs, self._constraints_of(args, kwargs, outputs))

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise `CallError` if arguments don't fit the signature."""
        try:
            self.shape.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise CallError(f"{self.name}{self.shape.signature} can't be called so: {error}") from None


class AsyncDefinition(Definition[P, R_co]):
    """A definition of a coroutine function."""

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function itself, without any job."""
        return cast(Coroutine[Any, Any, R_co], self.fn(*args, **kwargs))


class SyncDefinition(Definition[P, R_co]):
    """A definition of a plain function."""

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, without any job."""
        return cast(R_co, self.fn(*args, **kwargs))


class AsyncContextDefinition(Definition[P, R_co]):
    """A definition of a coroutine function that takes a `JobContext` first."""

    def __call__(
        self, context: JobContext, /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R_co]:
        """Call the function itself, without any job."""
        return cast(Coroutine[Any, Any, R_co], self.fn(context, *args, **kwargs))


class SyncContextDefinition(Definition[P, R_co]):
    """A definition of a plain function that takes a `JobContext` first."""

    def __call__(self, context: JobContext, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, without any job."""
        return cast(R_co, self.fn(context, *args, **kwargs))


def kind_of(is_async: bool, context: bool) -> type[Definition[..., Any]]:
    """The class of definition that a function needs."""
    if is_async:
        return AsyncContextDefinition if context else AsyncDefinition
    return SyncContextDefinition if context else SyncDefinition


def _signature(fn: Callable[..., Any], *, skip_first: bool) -> inspect.Signature:
    signature = inspect.signature(fn)
    if skip_first:
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    return signature
