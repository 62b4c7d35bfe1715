"""Background processes as they are declared: a coroutine function that lives as long as a worker."""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from asyncjobs.context import JobContext
from asyncjobs.definition import Definition
from asyncjobs.errors import DefinitionError, OptionError
from asyncjobs.lifespan import NO_STATE, state_or_error
from asyncjobs.retry import Exponential, to_ms
from asyncjobs.serialization import import_name

if TYPE_CHECKING:
    from asyncjobs.client import Client

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

DEFAULT_TTL_MS = 10_000
MIN_TTL_MS = 1_000
"""A lock that is held for less would be lost by chance."""
MAX_TTL_MS = 86_400_000
BACKOFF = Exponential(base=1, cap=60, jitter="equal")
"""The pauses before restarts, where nothing else is said."""


class ProcessState(StrEnum):
    """What a background process is doing in one worker."""

    STARTING = "starting"
    """Its worker doesn't take jobs yet."""
    RUNNING = "running"
    WAITING = "waiting"
    """It has run, and will again after its `every`."""
    RESTARTING = "restarting"
    """It has failed, or returned, and is started again after the back-off."""
    STANDBY = "standby"
    """Another worker runs it."""


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """How a background process is run. Checked when made; durations are milliseconds."""

    every_ms: int | None = None
    scope: Literal["worker", "cluster"] = "worker"
    ttl_ms: int = DEFAULT_TTL_MS
    backoff: Exponential = BACKOFF
    grace_ms: int = 0

    @classmethod
    def of(
        cls,
        every: timedelta | float | None,
        scope: Literal["worker", "cluster"],
        ttl: timedelta | float | None,
        backoff: Exponential | None,
        grace: timedelta | float,
    ) -> ProcessOptions:
        """From what a user gives. Raises `OptionError`."""
        every_ms = None if every is None else to_ms(every, "every")
        if every_ms == 0:
            raise OptionError("every is 0, which would leave no time between two runs: leave it out, or wait")
        if scope not in ("worker", "cluster"):
            raise OptionError(
                f'scope is {scope!r}: give "worker" (one in each worker) or "cluster" (one in all)'
            )
        if ttl is not None and scope == "worker":
            raise OptionError('ttl is for scope="cluster", where a lock decides who runs it: leave it out')
        ttl_ms = DEFAULT_TTL_MS if ttl is None else to_ms(ttl, "ttl")
        if not MIN_TTL_MS <= ttl_ms <= MAX_TTL_MS:
            raise OptionError(f"ttl is {ttl!r}: give 1 second to 1 day; after it another worker takes over")
        if backoff is not None and not isinstance(cast(object, backoff), Exponential):
            raise OptionError(
                f"backoff is {backoff!r}: give an Exponential, as in Exponential(base=1, cap=60)"
            )
        return cls(
            every_ms,
            scope,
            ttl_ms,
            backoff or BACKOFF,
            to_ms(grace, "grace"),
        )


class ProcessContext:
    """What a running background process knows. One declared with `context=True` gets it as its argument."""

    __slots__ = ("_client", "_state", "_worker", "name", "stopping", "token")

    def __init__(
        self,
        name: str,
        client: Client,
        worker: Callable[[], str],
        stopping: asyncio.Event,
        token: int | None = None,
        state: Any = NO_STATE,
    ) -> None:
        self._client = client
        self._state = state
        self._worker = worker
        self.name = name
        """The process' name."""
        self.stopping = stopping
        """Set once the worker's shutdown has begun; after its `grace` the process is cancelled."""
        self.token = token
        """With `scope="cluster"` the lock's fencing number: higher than that of any holder before.

        None with `scope="worker"`.
        """

    @property
    def client(self) -> Client:
        """The worker's client."""
        return self._client

    @property
    def state(self) -> Any:
        """What the registry's lifespan has yielded in this worker.

        Raises `LifespanError` if the registry has none.
        """
        return state_or_error(self._state)

    @property
    def worker(self) -> str:
        """The id of the worker; it changes where the worker was taken for dead, and had to register anew."""
        return self._worker()


class BackgroundProcess(Generic[P, R_co]):
    """A coroutine function declared as a background process. It can still be called as the function it is."""

    def __init__(
        self, fn: Callable[P, Coroutine[Any, Any, R_co]], name: str, options: ProcessOptions, *, context: bool
    ) -> None:
        self.fn = fn
        self.name = name
        """What it is called in logs and in lists; with `scope="cluster"`, what its lock is called after."""
        self.options = options
        self.takes_context = context
        self.__doc__ = fn.__doc__
        self.__name__ = getattr(fn, "__name__", name)
        self.__qualname__ = getattr(fn, "__qualname__", name)
        self.__module__ = fn.__module__
        self.__wrapped__ = fn

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R_co]:
        """Call the function itself."""
        return self.fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<BackgroundProcess {self.name}>"

    @property
    def lock(self) -> str:
        """The name of the lock that decides which worker runs it, with `scope="cluster"`."""
        return f"process:{self.name}"


class ProcessDecorator(Protocol):
    """What `registry.process(…)` gives."""

    def __call__(self, fn: Callable[[], Coroutine[Any, Any, R]], /) -> BackgroundProcess[[], R]:
        """Declare the function."""
        ...


class ContextProcessDecorator(Protocol):
    """What `registry.process(context=True, …)` gives."""

    def __call__(
        self, fn: Callable[[ProcessContext], Coroutine[Any, Any, R]], /
    ) -> BackgroundProcess[[ProcessContext], R]:
        """Declare the function."""
        ...


class ProcessDeclarations:
    """The background processes of a `Registry`."""

    def __init__(self) -> None:
        super().__init__()
        self._processes: dict[str, BackgroundProcess[..., Any]] = {}

    @overload
    def process(self, fn: Callable[[], Coroutine[Any, Any, R]], /) -> BackgroundProcess[[], R]: ...
    @overload
    def process(
        self,
        /,
        *,
        name: str | None = None,
        context: Literal[True],
        every: timedelta | float | None = None,
        scope: Literal["worker", "cluster"] = "worker",
        ttl: timedelta | float | None = None,
        backoff: Exponential | None = None,
        grace: timedelta | float = 0,
    ) -> ContextProcessDecorator: ...
    @overload
    def process(
        self,
        /,
        *,
        name: str | None = None,
        context: Literal[False] = False,
        every: timedelta | float | None = None,
        scope: Literal["worker", "cluster"] = "worker",
        ttl: timedelta | float | None = None,
        backoff: Exponential | None = None,
        grace: timedelta | float = 0,
    ) -> ProcessDecorator: ...
    def process(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        context: bool = False,
        every: timedelta | float | None = None,
        scope: Literal["worker", "cluster"] = "worker",
        ttl: timedelta | float | None = None,
        backoff: Exponential | None = None,
        grace: timedelta | float = 0,
    ) -> Any:
        """Declare a coroutine function that every worker of this registry runs for as long as it lives.

        When it raises, or returns, it is started again after a pause. Use it as a decorator, with or without
        options. Durations are `timedelta`s or seconds.

        * `name`: what it is called; default `module.qualname`. Give one if the function may move.
        * `context`: the function takes one argument, a `ProcessContext`; else it takes none.
        * `every`: how long to wait after it has returned before it runs again (default None: it isn't meant
          to return, and if it does, that is a restart).
        * `scope`: `"worker"` (default): one in each worker; `"cluster"`: one in all workers of the namespace.
        * `ttl`: with `scope="cluster"`, how long after its holder has died another worker takes over
          (default 10 s, from 1 s to a day).
        * `backoff`: the pauses before restarts, an `Exponential` (default: from 1 s, doubled up to 60 s; half
          of it is random). A run that took longer than its `cap` begins the count anew, as does one that
          returned to its `every`.
        * `grace`: how long it may go on at the worker's shutdown, after `context.stopping` is set, before it
          is cancelled (default 0; never longer than the worker's own `grace`).

        Raises `DefinitionError` or `OptionError`.
        """
        options = ProcessOptions.of(every, scope, ttl, backoff, grace)

        def declare(fn: Callable[..., Any]) -> BackgroundProcess[..., Any]:
            return self._declare_process(fn, name, context, options)

        return declare if fn is None else declare(fn)

    def processes(self) -> list[BackgroundProcess[..., Any]]:
        """All background processes, by name."""
        return [self._processes[name] for name in sorted(self._processes)]

    def _declare_process(
        self, fn: Callable[..., Any], name: str | None, context: bool, options: ProcessOptions
    ) -> BackgroundProcess[..., Any]:
        if isinstance(fn, (BackgroundProcess, Definition)):
            raise DefinitionError(f"{fn.name} is declared twice: remove one of the decorators")
        if not inspect.iscoroutinefunction(fn):
            raise DefinitionError(
                f"a background process is a coroutine function, and {fn!r} isn't one: write it as `async def`"
            )
        qualname = cast(str | None, getattr(fn, "__qualname__", None))
        if name is None and qualname is None:
            raise DefinitionError(f"{fn!r} has no name of its own: give it one with name=")
        if name is None:
            name = f"{import_name(fn.__module__)}.{qualname}"
        if not name or len(name) > 200 or any(letter.isspace() for letter in name):
            raise DefinitionError(
                f"{name!r} can't be a process' name: use 1 to 200 characters without spaces"
            )
        if name in self._processes:
            raise DefinitionError(f"two processes are called {name!r}: give one of them another name=")
        _check_signature(fn, name, context)
        process: BackgroundProcess[..., Any] = BackgroundProcess(fn, name, options, context=context)
        self._processes[name] = process
        return process


def _check_signature(fn: Callable[..., Any], name: str, context: bool) -> None:
    parameters = list(inspect.signature(fn).parameters.values())
    try:
        hints = typing.get_type_hints(fn)
    except Exception:
        hints = dict(getattr(fn, "__annotations__", {}))
    kinds = [hints.get(parameter.name) for parameter in parameters]
    if any(kind in (JobContext, "JobContext") for kind in kinds):
        raise DefinitionError(f"{name} is no job: a background process gets a ProcessContext")
    if not context:
        if any(kind in (ProcessContext, "ProcessContext") for kind in kinds):
            raise DefinitionError(
                f"{name} has a ProcessContext parameter: declare it with @registry.process(context=True)"
            )
        if parameters:
            raise DefinitionError(
                f"{name} has parameters, and nobody to give them: a background process takes none, or a"
                f" ProcessContext if it is declared with context=True"
            )
    elif len(parameters) != 1 or parameters[0].kind not in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    ):
        raise DefinitionError(
            f"{name} is declared with context=True: it has to take one argument, and no other, to put it in"
        )
