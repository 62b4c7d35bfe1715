"""A registry's lifespan: what each of its workers opens before its first job, and closes after its last."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from asyncjobs.errors import DefinitionError, LifespanError
from asyncjobs.serialization import import_name

if TYPE_CHECKING:
    from asyncjobs.client import Client

Yields: TypeAlias = AbstractAsyncContextManager[Any] | AsyncIterator[Any]
LifespanFunction: TypeAlias = "Callable[[], Yields] | Callable[[Client], Yields]"
"""What can be a lifespan: it takes the worker's client, or nothing."""
F = TypeVar("F", bound=LifespanFunction)

NO_STATE: Any = object()
"""Stands for the state where there is no lifespan to have yielded one."""


class Lifespan:
    """A function declared as a registry's lifespan. Raises `DefinitionError` for what can't be one."""

    def __init__(self, fn: LifespanFunction) -> None:
        self.name = name_of(fn)
        """What it is called in messages."""
        given: object = fn
        if not callable(given):
            raise DefinitionError(f"a lifespan is made of a function, not of {given!r}")
        if inspect.iscoroutinefunction(given) or inspect.isgeneratorfunction(given):
            raise DefinitionError(
                f"{self.name} can't be a lifespan: write `async def`, and `yield` once, between what is to"
                " be done before a worker's first job and what after its last"
            )
        self._takes_client = _takes_client(given, self.name)
        self._make: Callable[..., Any] = (
            contextlib.asynccontextmanager(cast("Callable[..., AsyncGenerator[Any]]", given))
            if inspect.isasyncgenfunction(given)
            else given
        )

    def manager(self, client: Client) -> AbstractAsyncContextManager[Any]:
        """The context manager for one worker. Raises `LifespanError` if it gives none, and what it raises."""
        made = self._make(client) if self._takes_client else self._make()
        if not isinstance(made, AbstractAsyncContextManager):
            raise LifespanError(
                f"lifespan {self.name} gives {made!r}: it has to be an async generator function, or one that"
                " returns an async context manager"
            )
        return cast("AbstractAsyncContextManager[Any]", made)


class LifespanDeclarations:
    """The lifespan of a `Registry`."""

    def __init__(self) -> None:
        super().__init__()
        self._lifespan: Lifespan | None = None

    def lifespan(self, fn: F, /) -> F:
        """Declare what a worker opens before its first job and closes after its last; use it as a decorator.

        An async generator function that yields once, or one that returns an async context manager. What it
        yields is `context.state` in the worker's jobs and background processes. It takes one argument, the
        worker's client, or none. Each worker (event loop) enters it for itself. Raises `DefinitionError`.
        """
        if self._lifespan is not None:
            raise DefinitionError(
                f"the registry has a lifespan already, {self._lifespan.name}: have one enter the other"
            )
        self._lifespan = Lifespan(fn)
        return fn

    @property
    def declared_lifespan(self) -> Lifespan | None:
        """The lifespan, if there is one."""
        return self._lifespan


def state_or_error(state: Any) -> Any:
    """What a lifespan has yielded. Raises `LifespanError` if there is none."""
    if state is NO_STATE:
        raise LifespanError(
            "there is no state, for the registry has no lifespan: declare one with @registry.lifespan"
        )
    return state


def name_of(fn: object) -> str:
    """What a function, or an object that is called like one, is called in messages."""
    qualname = getattr(fn, "__qualname__", None)
    return f"{import_name(fn.__module__)}.{qualname}" if isinstance(qualname, str) else repr(fn)


def _takes_client(fn: Callable[..., Any], name: str) -> bool:
    required = [
        parameter
        for parameter in inspect.signature(fn).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if not required:
        return False
    if len(required) > 1 or required[0].kind is inspect.Parameter.KEYWORD_ONLY:
        names = ", ".join(parameter.name for parameter in required)
        raise DefinitionError(
            f"lifespan {name} wants {names}, and nobody gives that: it takes the worker's client, or nothing"
        )
    return True
