"""The registry that jobs are declared on."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, Unpack, cast, overload

from asyncjobs.context import JobContext
from asyncjobs.definition import (
    AsyncContextDefinition,
    AsyncDefinition,
    Definition,
    Runs,
    SyncContextDefinition,
    SyncDefinition,
    kind_of,
)
from asyncjobs.errors import DefinitionError, OptionError, UnknownJob
from asyncjobs.lifespan import LifespanDeclarations, LifespanFunction
from asyncjobs.limit import Limit
from asyncjobs.middleware import EnqueueMiddleware, JobMiddleware, MiddlewareDeclarations
from asyncjobs.options import JobOptions, OptionOverrides
from asyncjobs.processes import ProcessDeclarations
from asyncjobs.recurring_declarations import RecurringDeclarations
from asyncjobs.serialization import MsgpackSerializer, Serializer, collect_types, import_name

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T", bound=type)

MAX_PAYLOAD = 1_048_576
"""Bytes of packed arguments, or of a packed result, that a job may have if its registry says nothing else."""


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


class Registry(ProcessDeclarations, RecurringDeclarations, MiddlewareDeclarations, LifespanDeclarations):
    """The jobs that a program knows. A client packs their arguments by it, and a worker runs what it holds.

    * `serializer`: how arguments and results are packed (default: a `MsgpackSerializer`).
    * `max_payload`: bytes that packed arguments, or a packed result, may have (default 1 MiB).
    * `middleware`: what goes around every attempt of its jobs, outermost first; see `middleware`.
    * `enqueue_middleware`: what goes around everything that its clients enqueue; see `enqueue_middleware`.
    * `lifespan`: what each of its workers opens and closes; see `lifespan`.
    * Further keywords are the options that its jobs have unless they say otherwise (see `job`).
    """

    def __init__(
        self,
        *,
        serializer: Serializer | None = None,
        max_payload: int = MAX_PAYLOAD,
        middleware: Iterable[JobMiddleware] = (),
        enqueue_middleware: Iterable[EnqueueMiddleware] = (),
        lifespan: LifespanFunction | None = None,
        **defaults: Unpack[OptionOverrides],
    ) -> None:
        super().__init__()
        self.serializer: Serializer = serializer or MsgpackSerializer()
        self.max_payload = max_payload
        self.defaults = JobOptions().merge(**defaults)
        _refuse_job_id(self.defaults)
        self._definitions: dict[str, Definition[..., Any]] = {}
        self._by_name: dict[str, Definition[..., Any]] = {}
        self._limits: dict[str, Limit] = {}
        for around_jobs in middleware:
            self.middleware(around_jobs)
        for around_enqueues in enqueue_middleware:
            self.enqueue_middleware(around_enqueues)
        if lifespan is not None:
            self.lifespan(lifespan)

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
        * `unique`: a `Unique`, or its key alone, `"welcome:{user_id}"`: only one job of a key is there at a
          time.
        * `limits`: the `Limit`s that it is under.
        * `mutex`: a template over the arguments, or a function of them: of the jobs with one key, one runs at
          a time, and the others are `throttled` meanwhile.
        * `expires`: how long after it could first run it isn't worth starting any more, a `timedelta` or
          seconds: it is cancelled then. None (default): it always is.
        * `secret`: names of parameters whose values the dashboard and the command line don't show;
          `"return"` among them: nor what it returns. They are stored as they are.

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
            kind = kind_of(is_async, context=False)
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

    def limits(self) -> list[Limit]:
        """The limits that its definitions are under, by name."""
        return [self._limits[name] for name in sorted(self._limits)]

    def check_limits(self, limits: Sequence[Limit], name: str) -> None:
        """Raise `DefinitionError` if a job is under a limit that another job knows with other numbers."""
        for limit in limits:
            if self._limits.get(limit.name, limit).numbers != limit.numbers:
                raise DefinitionError(
                    f"{name} is under limit {limit.name!r} with other numbers than another job: make one"
                    " Limit, and give that to both"
                )
        for limit in limits:
            self._limits.setdefault(limit.name, limit)

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
        kind = kind_of(is_async, context)
        return self._add(kind(self, fn, name, runs, context=context, defaults=settings, aliases=aliases))

    def _add(self, definition: Definition[..., Any]) -> Definition[..., Any]:
        if not definition.name or len(definition.name) > 200 or any(c.isspace() for c in definition.name):
            raise DefinitionError(
                f"{definition.name!r} can't be a job's name: use 1 to 200 characters without spaces"
            )
        _refuse_job_id(definition.settings)
        for name in (definition.name, *definition.aliases):
            known = self._by_name.get(name)
            if known is not None:
                raise DefinitionError(f"two jobs are called {name!r}: give one of them another name=")
        self.check_limits(definition.settings.limits, definition.name)
        if isinstance(self.serializer, MsgpackSerializer):
            for cls in collect_types(definition.fn):
                self.serializer.register(cls)
        for name in (definition.name, *definition.aliases):
            self._by_name[name] = definition
        self._definitions[definition.name] = definition
        return definition


def _refuse_job_id(settings: JobOptions) -> None:
    """Many jobs can't all have one id."""
    if settings.job_id is not None:
        raise DefinitionError("job_id is an option of one call: fn.options(job_id=…)")


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
