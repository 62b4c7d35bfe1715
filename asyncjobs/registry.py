"""Definitions of jobs, and the registry they are declared on."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from asyncjobs.context import JobContext
from asyncjobs.errors import CallError, DefinitionError, OptionError, UnknownJob
from asyncjobs.job import Call
from asyncjobs.options import JobOptions, OptionOverrides, pack_overrides
from asyncjobs.serialization import (
    MsgpackSerializer,
    Serializer,
    check_size,
    collect_types,
    import_name,
    pack_call,
)

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T", bound=type)

Runs = Literal["loop", "thread", "process", "elsewhere"]
"""Where a definition's function runs; `elsewhere`: its code is in another program."""

MAX_PAYLOAD = 1_048_576
"""Bytes of packed arguments, or of a packed result, that a job may have if its registry says nothing else."""


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
        self.__doc__ = fn.__doc__
        self.__name__ = getattr(fn, "__name__", name)
        self.__qualname__ = getattr(fn, "__qualname__", name)
        self.__module__ = fn.__module__
        self.__wrapped__ = fn

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    def options(self, **overrides: Unpack[OptionOverrides]) -> Definition[P, R_co]:
        """The same definition with other options: `client.enqueue(fn.options(queue="bulk"), …)`.

        `queue`, `priority`, `retry`, `timeout`, `retention`, `keep_result`, `max_recoveries`, as in
        `Registry.job`. Raises `OptionError`.
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
        payload = pack_call(self.registry.serializer, args, kwargs, self.shape.names)
        if len(payload) > self.registry.max_payload:
            check_size(payload, self.registry.max_payload, f"the arguments of {self.name}")
        return Call(self, payload)

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

    def __call__(self, context: JobContext, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function itself, without any job."""
        return cast(Coroutine[Any, Any, R_co], self.fn(context, *args, **kwargs))


class SyncContextDefinition(Definition[P, R_co]):
    """A definition of a plain function that takes a `JobContext` first."""

    def __call__(self, context: JobContext, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, without any job."""
        return cast(R_co, self.fn(context, *args, **kwargs))


class JobDecorator(Protocol):
    """What `registry.job(…)` gives."""

    # A coroutine function is a function that returns a coroutine, too: the first overload that fits is meant.
    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncDefinition[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R], /) -> SyncDefinition[P, R]: ...


class ContextJobDecorator(Protocol):
    """What `registry.job(context=True, …)` gives."""

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, fn: Callable[Concatenate[JobContext, P], Coroutine[Any, Any, R]], /
    ) -> AsyncContextDefinition[P, R]: ...
    @overload
    def __call__(self, fn: Callable[Concatenate[JobContext, P], R], /) -> SyncContextDefinition[P, R]: ...


class Registry:
    """The jobs that a program knows. A client packs their arguments by it, and a worker runs what it holds.

    * `serializer`: how arguments and results are packed (default: a `MsgpackSerializer`).
    * `max_payload`: bytes that packed arguments, or a packed result, may have (default 1 MiB).
    * Further keywords are the options that its jobs have unless they say otherwise (see `job`).
    """

    def __init__(
        self,
        *,
        serializer: Serializer | None = None,
        max_payload: int = MAX_PAYLOAD,
        **defaults: Unpack[OptionOverrides],
    ) -> None:
        self.serializer: Serializer = serializer or MsgpackSerializer()
        self.max_payload = max_payload
        self.defaults = JobOptions().merge(**defaults)
        self._definitions: dict[str, Definition[..., Any]] = {}
        self._by_name: dict[str, Definition[..., Any]] = {}

    @overload
    def job(  # type: ignore[overload-overlap]
        self, fn: Callable[P, Coroutine[Any, Any, R]], /
    ) -> AsyncDefinition[P, R]: ...
    @overload
    def job(self, fn: Callable[P, R], /) -> SyncDefinition[P, R]: ...
    @overload
    def job(
        self,
        /,
        *,
        name: str | None = None,
        aliases: tuple[str, ...] | list[str] = (),
        context: Literal[True],
        runs_in: Literal["thread", "process"] | None = None,
        **options: Unpack[OptionOverrides],
    ) -> ContextJobDecorator: ...
    @overload
    def job(
        self,
        /,
        *,
        name: str | None = None,
        aliases: tuple[str, ...] | list[str] = (),
        context: Literal[False] = False,
        runs_in: Literal["thread", "process"] | None = None,
        **options: Unpack[OptionOverrides],
    ) -> JobDecorator: ...
    def job(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        aliases: tuple[str, ...] | list[str] = (),
        context: bool = False,
        runs_in: Literal["thread", "process"] | None = None,
        **options: Unpack[OptionOverrides],
    ) -> Any:
        """Declare a function as a job; use it as a decorator, with or without options.

        * `name`: what its jobs are called in the storage; default `module.qualname`. Give one if the function
          may move.
        * `aliases`: older names whose jobs it runs as well.
        * `context`: the function's first parameter is a `JobContext`.
        * `runs_in`: for plain functions, `"thread"` (default) or `"process"` (for CPU-bound work). Coroutine
          functions run on the worker's event loop.
        * `queue` (default `"default"`), `priority` (-500 to 500, default 0; higher runs earlier).
        * `retry`: a `Retry` (default: 10 retries, at growing delays).
        * `timeout`: how long one attempt may take, a `timedelta` or seconds; None (default): as long as it
          likes.
        * `retention`: how long the finished job is kept, a `timedelta` or seconds; None (default): as the
          worker's `Retention` says; 0: it is removed at once.
        * `keep_result` (default True): whether what it returns is stored.
        * `max_recoveries` (default 3): how many workers may die over it before it is failed.

        Raises `DefinitionError` or `OptionError`.
        """
        settings = self.defaults.merge(**options)

        def declare(fn: Callable[..., Any]) -> Definition[..., Any]:
            return self._declare(fn, name, tuple(aliases), context, runs_in, settings)

        return declare if fn is None else declare(fn)

    def external(self, name: str, **options: Unpack[OptionOverrides]) -> JobDecorator:
        """Declare the signature of a job whose code is in another program, so that it can be enqueued.

        The decorated function's body is never run:
        `@registry.external("mail.send") async def send(to: str) -> None: ...`
        (mypy accepts `raise NotImplementedError` as a body where something is to be returned).
        """
        settings = self.defaults.merge(**options)

        def declare(fn: Callable[..., Any]) -> Definition[..., Any]:
            is_async = inspect.iscoroutinefunction(fn)
            kind = _kind(is_async, context=False)
            return self._add(kind(self, fn, name, "elsewhere", context=False, defaults=settings))

        return cast(JobDecorator, declare)

    def register_type(self, cls: T, /) -> T:
        """Let values of an Enum or dataclass be arguments and results; also a class decorator.

        Types in the annotations of declared jobs are registered by themselves.
        """
        register = getattr(self.serializer, "register", None)
        if register is None:
            raise OptionError(
                f"{type(self.serializer).__name__} has no register(): tell it of {cls.__name__} its own way"
            )
        register(cls)
        return cls

    def get(self, name: str) -> Definition[..., Any]:
        """The definition of a name or alias. Raises `UnknownJob`."""
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownJob(
                f"no job is called {name!r} here: is its module imported, or was it renamed"
                f" (then give aliases=[{name!r}])?"
            ) from None

    def definitions(self) -> list[Definition[..., Any]]:
        """All definitions, by name."""
        return [self._definitions[name] for name in sorted(self._definitions)]

    def queues(self) -> list[str]:
        """The queues that its definitions name, sorted."""
        return sorted({d.defaults.queue for d in self._definitions.values() if d.runs != "elsewhere"})

    def _declare(
        self,
        fn: Callable[..., Any],
        name: str | None,
        aliases: tuple[str, ...],
        context: bool,
        runs_in: Literal["thread", "process"] | None,
        settings: JobOptions,
    ) -> Definition[..., Any]:
        if isinstance(fn, Definition):
            raise DefinitionError(f"{fn.name} is declared twice: remove one of the decorators")
        if not callable(fn):
            raise DefinitionError(f"a job is made of a function, not of {fn!r}")
        name = name or f"{import_name(fn.__module__)}.{fn.__qualname__}"
        is_async = inspect.iscoroutinefunction(fn)
        if inspect.isasyncgenfunction(fn) or inspect.isgeneratorfunction(fn):
            raise DefinitionError(f"{name} is a generator: a job returns one value")
        if is_async and runs_in is not None:
            raise DefinitionError(
                f"{name} is a coroutine function, which runs on the event loop: remove runs_in={runs_in!r}"
            )
        if runs_in == "process" and "<locals>" in fn.__qualname__:
            raise DefinitionError(
                f"{name} can't run in a process of its own: move it to the top of its module"
            )
        _check_context(fn, name, context)
        runs: Runs = "loop" if is_async else (runs_in or "thread")
        kind = _kind(is_async, context)
        definition = kind(self, fn, name, runs, context=context, defaults=settings, aliases=aliases)
        if isinstance(self.serializer, MsgpackSerializer):
            for cls in collect_types(fn):
                self.serializer.register(cls)
        return self._add(definition)

    def _add(self, definition: Definition[..., Any]) -> Definition[..., Any]:
        if not definition.name or len(definition.name) > 200 or any(c.isspace() for c in definition.name):
            raise DefinitionError(
                f"{definition.name!r} can't be a job's name: use 1 to 200 characters without spaces"
            )
        for name in (definition.name, *definition.aliases):
            known = self._by_name.get(name)
            if known is not None:
                raise DefinitionError(f"two jobs are called {name!r}: give one of them another name=")
        for name in (definition.name, *definition.aliases):
            self._by_name[name] = definition
        self._definitions[definition.name] = definition
        return definition


def _kind(is_async: bool, context: bool) -> type[Definition[..., Any]]:
    if is_async:
        return AsyncContextDefinition if context else AsyncDefinition
    return SyncContextDefinition if context else SyncDefinition


def _signature(fn: Callable[..., Any], *, skip_first: bool) -> inspect.Signature:
    signature = inspect.signature(fn)
    if skip_first:
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    return signature


def _check_context(fn: Callable[..., Any], name: str, context: bool) -> None:
    """A JobContext among the parameters must be announced, and come first."""
    try:
        hints = typing.get_type_hints(fn)
    except Exception:
        hints = dict(getattr(fn, "__annotations__", {}))
    parameters = list(inspect.signature(fn).parameters.values())
    places = [at for at, p in enumerate(parameters) if hints.get(p.name) in (JobContext, "JobContext")]
    if context:
        first = parameters[0] if parameters else None
        if first is None or first.kind not in (first.POSITIONAL_ONLY, first.POSITIONAL_OR_KEYWORD):
            raise DefinitionError(
                f"{name} is declared with context=True, but takes no first argument to put it in"
            )
        if places and places != [0]:
            raise DefinitionError(
                f"{name}: the JobContext must be the first parameter, and the only one of that type"
            )
    elif places:
        raise DefinitionError(
            f"{name} has a JobContext parameter: declare it with @registry.job(context=True)"
        )
