"""The one place where tests poll: wait until something holds, or say what it was instead."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NoReturn, TypeVar, cast

T = TypeVar("T")

SHORTEST_SECONDS = 0.002
LONGEST_SECONDS = 0.05


async def eventually(
    predicate: Callable[[], T | Awaitable[T]],
    timeout: float = 10,
    *,
    because: str = "",
    ignoring: tuple[type[Exception], ...] = (AssertionError,),
) -> T:
    """Call `predicate`, which may be async, until it returns something true, and return that.

    After `timeout` seconds it raises an AssertionError with the last value, or with the last of the
    errors that count as "not yet" (`ignoring`; by default assertions, so that a predicate may hold
    several). `because` says in words what was waited for.
    """
    outcome: object = "no answer: the predicate is still being awaited"
    try:
        async with asyncio.timeout(timeout):
            for pause in _pauses():
                try:
                    outcome = value = await _value(predicate)
                    if value:
                        return value
                except ignoring as error:
                    outcome = error
                await asyncio.sleep(pause)
    except TimeoutError:
        _give_up(predicate, outcome, timeout, because)
    raise AssertionError("unreachable")


def eventually_sync(
    predicate: Callable[[], T],
    timeout: float = 10,
    *,
    because: str = "",
    ignoring: tuple[type[Exception], ...] = (AssertionError,),
) -> T:
    """Do what `eventually` does, blocking the thread."""
    deadline = time.monotonic() + timeout
    outcome: object = None
    for pause in _pauses():
        try:
            outcome = value = predicate()
            if value:
                return value
        except ignoring as error:
            outcome = error
        if time.monotonic() + pause > deadline:
            _give_up(predicate, outcome, timeout, because)
        time.sleep(pause)
    raise AssertionError("unreachable")


async def _value(predicate: Callable[[], T | Awaitable[T]]) -> T:
    value: Any = predicate()
    return cast(T, await value if inspect.isawaitable(value) else value)


def _pauses() -> Iterator[float]:
    pause = SHORTEST_SECONDS
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_SECONDS)


def _give_up(predicate: Callable[[], object], outcome: object, timeout: float, because: str) -> NoReturn:
    if not because:
        try:
            because = inspect.getsource(predicate).strip()
        except (OSError, TypeError):
            because = repr(predicate)
    cause = outcome if isinstance(outcome, Exception) else None
    raise AssertionError(f"not within {timeout:g} s: {because}\nlast: {outcome!r}") from cause
