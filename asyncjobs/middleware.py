"""Middleware: what goes around every attempt of a job, and around every creation of jobs.

One mechanism for both: a middleware is a coroutine function that takes a context and `call_next`. The first
one declared is the outermost. What a client's middleware sees is in `drafts.py`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from asyncjobs.context import JobContext
from asyncjobs.errors import DefinitionError, MiddlewareError
from asyncjobs.lifespan import name_of

if TYPE_CHECKING:
    from asyncjobs.drafts import EnqueueContext

C = TypeVar("C")


class CallNext(Protocol):
    """What a middleware awaits, once, to have done what is inside it: `await call_next()`.

    Around a run that gives the job's result, and raises what the job raises. Around an enqueue it gives None
    once the jobs are created, and raises what keeps them from it.
    """

    def __call__(self) -> Awaitable[Any]:
        """Do it."""
        ...


JobMiddleware: TypeAlias = Callable[[JobContext, CallNext], Awaitable[Any]]
"""What goes around attempts; what it returns is the job's result."""
EnqueueMiddleware: TypeAlias = "Callable[[EnqueueContext, CallNext], Awaitable[None]]"
"""What goes around the creation of jobs."""
J = TypeVar("J", bound=JobMiddleware)
E = TypeVar("E", bound=EnqueueMiddleware)
M = TypeVar("M", bound=Callable[..., Any])


class MiddlewareDeclarations:
    """The middleware of a `Registry`."""

    def __init__(self) -> None:
        super().__init__()
        self._around_jobs: list[JobMiddleware] = []
        self._around_enqueues: list[EnqueueMiddleware] = []

    def middleware(self, fn: J, /) -> J:
        """Have a coroutine function called around every attempt of a job of this registry; a decorator.

        `async def timing(context: JobContext, call_next: CallNext) -> Any`: `await call_next()` runs what is
        inside, and gives the job's result or raises what it raises; what the middleware returns or raises is
        the attempt's outcome. The first one declared is the outermost. It runs on the worker's event loop,
        wherever the job does, and within the job's `timeout`. Raises `DefinitionError`.
        """
        self._around_jobs.append(checked(fn))
        return fn

    def enqueue_middleware(self, fn: E, /) -> E:
        """Have a coroutine function called whenever a client of this registry creates jobs; a decorator.

        `async def tag(context: EnqueueContext, call_next: CallNext) -> None`; see `Client`. It goes around a
        client's own middleware, and is the way to reach what jobs enqueue in workers that
        `asyncjobs worker` starts. Raises `DefinitionError`.
        """
        self._around_enqueues.append(checked(fn))
        return fn

    @property
    def job_middleware(self) -> tuple[JobMiddleware, ...]:
        """What is declared to go around attempts, outermost first."""
        return tuple(self._around_jobs)

    @property
    def client_middleware(self) -> tuple[EnqueueMiddleware, ...]:
        """What is declared to go around what its clients enqueue, outermost first."""
        return tuple(self._around_enqueues)


def checked(fn: M) -> M:
    """`fn`, if it can be a middleware. Raises `DefinitionError`."""
    given: object = fn
    if not callable(given):
        raise DefinitionError(f"a middleware is made of a function, not of {given!r}")
    # An object whose class has an `async def __call__` is as good.
    if not (inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(type(given).__call__)):
        raise DefinitionError(
            f"{name_of(fn)} can't be a middleware: it has to be a coroutine function (`async def`)"
        )
    try:
        inspect.signature(given).bind(None, None)
    except TypeError as error:
        raise DefinitionError(
            f"{name_of(fn)} can't be a middleware, for it is called with a context and call_next: {error}"
        ) from None
    return fn


def all_checked(middleware: Iterable[M]) -> tuple[M, ...]:
    """Several, as they are given to a constructor. Raises `DefinitionError`."""
    return tuple(checked(fn) for fn in middleware)


def pass_through(
    middleware: Sequence[Callable[[C, CallNext], Awaitable[Any]]],
    context: C,
    inmost: Callable[[], Awaitable[Any]],
) -> Awaitable[Any]:
    """Have all middleware called, the first one outermost, around `inmost`."""
    inside = inmost
    for fn in reversed(middleware):
        inside = functools.partial(fn, context, _Next(fn, inside))
    return inside()


class _Next:
    """The `call_next` of one middleware."""

    __slots__ = ("_called", "_inside", "_of")

    def __init__(self, of: Callable[..., Any], inside: Callable[[], Awaitable[Any]]) -> None:
        self._of = of
        self._inside = inside
        self._called = False

    def __call__(self) -> Awaitable[Any]:
        if self._called:
            raise MiddlewareError(
                f"middleware {name_of(self._of)} calls call_next a second time: what is inside it is done"
                " once (to have a job run again, raise, and let its Retry decide)"
            )
        self._called = True
        return self._inside()
