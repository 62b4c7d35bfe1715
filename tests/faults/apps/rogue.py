"""Jobs whose code does what no code should."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from asyncjobs import JobContext, Registry, Retry
from tests.faults.ledger import ledger_of_test

registry = Registry(retry=Retry(max_retries=0))


class Peculiar(BaseException):
    """Not an `Exception`."""


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no message from me")


class Lying(Exception):
    def __str__(self) -> str:
        return 42  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


class Exiting(Exception):
    def __str__(self) -> str:
        sys.exit("from the message")


class Shapeless(Exception):
    def __repr__(self) -> str:
        raise ValueError("no form either")


class Unpicklable(Exception):
    def __init__(self, one: int, other: int) -> None:
        self.lock = threading.Lock()
        super().__init__(f"{one} and {other}")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Nothing can be set on it."""

    code: int


class TwoArguments(Exception):
    """It can be pickled, but not unpickled."""

    def __init__(self, one: int, other: int) -> None:
        super().__init__(f"{one} and {other}")


def _endless_list() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def _deep() -> NoReturn:
    _deep()


RAISED: dict[str, Callable[[], BaseException]] = {
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(3),
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "StopIteration": lambda: StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration,
    "Peculiar": lambda: Peculiar("no Exception"),
    "group": lambda: BaseExceptionGroup("several", [KeyboardInterrupt(), ValueError("one of them")]),
    "Mute": lambda: Mute("unheard"),
    "Lying": Lying,
    "Exiting": Exiting,
    "Shapeless": lambda: Shapeless("a message"),
    "Unpicklable": lambda: Unpicklable(1, 2),
    "Frozen": lambda: Frozen(7),
    "TwoArguments": lambda: TwoArguments(1, 2),
    "surrogates": lambda: OSError("no file 'caf\udce9'"),
    "huge": lambda: ValueError("x" * 5_000_000),
}
RETURNED: dict[str, Callable[[], object]] = {
    "object": object,
    "function": lambda: _deep,
    "coroutine": lambda: asyncio.sleep(0),
    "surrogates": lambda: "caf\udce9",
    "endless": _endless_list,
    "too large": lambda: "x" * 2_000_000,
}


@registry.job
async def raises(what: str) -> None:
    raise RAISED[what]()


@registry.job
def raises_in_thread(what: str) -> None:
    raise RAISED[what]()


@registry.job(runs_in="process")
def raises_in_process(what: str) -> None:
    raise RAISED[what]()


@registry.job
async def returns(what: str) -> object:
    return RETURNED[what]()


@registry.job
def returns_from_thread(what: str) -> object:
    return RETURNED[what]()


@registry.job(runs_in="process")
def returns_from_process(what: str) -> object:
    return RETURNED[what]()


@registry.job
async def recurses() -> None:
    _deep()


@registry.job(runs_in="process")
def dies_in_process(how: str) -> None:
    if how == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


@registry.job(runs_in="process")
def chats_in_process() -> str:
    """Write to what the parent is spoken to through, or so it seems."""
    print("RETURN 3\nabc")
    os.write(2, b"words\n")
    return sys.stdin.read()


@registry.job(timeout=0.3)
async def never_ends() -> None:
    await asyncio.Event().wait()


@registry.job(timeout=0.3, runs_in="process")
def never_ends_in_process() -> None:
    while True:
        time.sleep(0.1)


@registry.job(timeout=0.3)
async def goes_on_once() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()
    return "unreachable"


@registry.job(timeout=0.3)
async def returns_though_cancelled() -> str:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return "all the same"


@registry.job(timeout=0.3)
async def goes_on_for_ever(gate: str) -> None:
    ledger = ledger_of_test()
    ledger.write("start")
    while not ledger.is_open(gate):
        try:
            await ledger.wait_at(gate)
        except asyncio.CancelledError:
            ledger.write("cancelled")
    ledger.write("end")


@registry.job(timeout=0.3)
def goes_on_in_thread(gate: str) -> None:
    ledger = ledger_of_test()
    ledger.write("start")
    while not ledger.is_open(gate):
        time.sleep(0.01)
    ledger.write("end")


@registry.job
async def cancels_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


@registry.job(context=True)
async def cancels_itself_and_returns(context: JobContext) -> str:
    context.log("on the way out")
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return "done"


@registry.job
async def leaves_tasks() -> str:
    async def fail(delay: float) -> None:
        await asyncio.sleep(delay)
        raise KeyError("nobody hears it")

    async def stay() -> None:
        await asyncio.Event().wait()

    # Only one of them is held on to.
    asyncio.create_task(fail(0))  # noqa: RUF006
    asyncio.create_task(fail(0.01))  # noqa: RUF006
    left.append(asyncio.create_task(stay()))
    return "done"


left: list[asyncio.Task[None]] = []


@registry.job(context=True)
async def notes_oddly(context: JobContext) -> str:
    """Say what can't be sent."""
    return _note_oddly(context)


@registry.job(context=True, runs_in="process")
def notes_oddly_in_process(context: JobContext) -> str:
    return _note_oddly(context)


def _note_oddly(context: JobContext) -> str:
    for line in ("caf\udce9", "x" * 100_000, "nul \0 and\nlines", ""):
        context.log(line)
        context.progress(0.5, line)
    return "done"


@registry.job
async def ordinary() -> str:
    return "fine"
