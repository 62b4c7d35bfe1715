"""Where a job's function runs: on the event loop, in a thread, or in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import os
import pickle
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio
import anyio.to_process
import anyio.to_thread
import msgpack

from asyncjobs.context import JobContext, set_current_context
from asyncjobs.definition import Definition
from asyncjobs.errors import DefinitionError, PayloadTooLarge, SerializationError
from asyncjobs.serialization import check_size, pack_result, unpack_call
from asyncjobs.storage.base import Grant, Note
from asyncjobs.worker.attempt import Attempt
from asyncjobs.worker.outcomes import ResultRefused, message_of

T = TypeVar("T")


def arguments(definition: Definition[..., Any], grant: Grant) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a job, with results of its parents filled in, checked against today's signature."""
    args, kwargs = unpack_call(definition.registry.serializer, grant.payload, grant.outputs or {})
    if not definition.shape.fits(tuple(args), kwargs):
        definition.check(tuple(args), kwargs)
    return args, kwargs


def packed(definition: Definition[..., Any], value: Any) -> bytes:
    """A result, packed. Raises `ResultRefused`."""
    if value is None:
        return b""
    try:
        result = pack_result(definition.registry.serializer, value)
        check_size(result, definition.registry.max_payload, f"the result of {definition.name}")
    except SerializationError as error:
        raise ResultRefused(error) from None
    return result


async def run_in_thread(fn: Callable[[], Any], attempt: Attempt, ended: Callable[[], None]) -> Any:
    """Run a plain function in a thread.

    On cancellation the thread is left to itself; `ended` is called when it is over.
    """
    loop = asyncio.get_running_loop()
    attempt.thread_running = True
    started = False

    def call() -> Any:
        nonlocal started
        started = True
        try:
            return fn()
        finally:
            # The loop is closed if the process is ending without waiting for this thread.
            if not loop.is_closed():
                loop.call_soon_threadsafe(ended)

    try:
        return await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=_unlimited())
    finally:
        if not started:
            attempt.thread_running = False


@functools.cache
def _unlimited() -> anyio.CapacityLimiter:
    """The limits are the worker's slots, and for processes an own one; anyio's aren't wanted on top."""
    return anyio.CapacityLimiter(float("inf"))


START_PATIENCE = 20.0
"""Seconds that the process of a cancelled job has to start before it is left to itself."""


class ProcessExecutor:
    """Runs plain functions in processes of their own, and hears from them.

    The processes are anyio's: they are kept for the next job, end with the worker, and are killed when a job
    is cancelled. What travels are the packed arguments and the packed result.
    """

    def __init__(self, sink: Callable[[Note], None], max_processes: int | None = None) -> None:
        self._sink = sink
        self._limiter = anyio.CapacityLimiter(max_processes or os.cpu_count() or 1)
        self._lock = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._begins: dict[tuple[str, int], Callable[[], None]] = {}

    async def run(self, definition: Definition[..., Any], grant: Grant, starts: Callable[[], None]) -> bytes:
        """The packed result. Raises what the function raised, with its traceback as text.

        `starts` is called when its process is there: until then no time of its own has begun.
        """
        path = await self._listen()
        module, qualname = definition.fn.__module__, definition.fn.__qualname__
        begun = asyncio.Event()

        def begins() -> None:
            if not begun.is_set():
                begun.set()
                starts()

        try:
            async with self._limiter:
                self._begins[grant.id, grant.exchange] = begins
                call = anyio.to_process.run_sync(
                    run_in_child, module, qualname, grant, path, cancellable=True, limiter=_unlimited()
                )
                ok, value = await _cancelled_after(begun, call)
        except anyio.BrokenWorkerProcess as error:
            raise anyio.BrokenWorkerProcess(
                "the process that ran the job ended before the job did (it exited, was killed or crashed)"
            ) from error
        finally:
            self._begins.pop((grant.id, grant.exchange), None)
        if ok:
            return cast(bytes, value)
        raised, text = value
        # Not by assigning it, which a class may refuse.
        vars(raised)["asyncjobs_traceback"] = text
        raise raised

    async def _listen(self) -> str:
        """The path of the socket that processes speak to."""
        async with self._lock:
            if self._directory is None:
                self._directory = tempfile.TemporaryDirectory(prefix="asyncjobs-")
            path = str(Path(self._directory.name) / "notes")
            if self._server is None:
                self._server = await asyncio.start_unix_server(self._hear, path)
            return path

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unpacker = msgpack.Unpacker()
        try:
            while data := await reader.read(65536):
                unpacker.feed(data)
                for job_id, exchange, progress, message, lines in unpacker:
                    begins = self._begins.get((job_id, exchange))
                    if begins is not None:
                        begins()
                    if progress is not None or lines:
                        self._sink(Note(job_id, exchange, progress, message, lines))
                writer.write(b"\0")
        except ConnectionError:
            # Its process was killed.
            pass
        finally:
            writer.close()

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._directory is not None:
            self._directory.cleanup()
            self._directory = None


async def _cancelled_after(begun: asyncio.Event, call: Coroutine[Any, Any, T]) -> T:
    """Await a call in a process, but let no cancellation through to it before it has begun.

    anyio leaves a process to itself for ever if it is cancelled while it waits for its start.
    """
    running = asyncio.create_task(call, name="asyncjobs process")
    try:
        await asyncio.wait([running])
    except asyncio.CancelledError:
        stopping = asyncio.create_task(_stop(begun, running), name="asyncjobs process stop")
        while not stopping.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([stopping])
        raise
    return running.result()


async def _stop(begun: asyncio.Event, running: asyncio.Task[Any]) -> None:
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait([running, waiting], timeout=START_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def run_in_child(module: str, qualname: str, grant: Grant, path: str) -> tuple[bool, Any]:
    """In the child: find the function by the name that the parent's own registry has for it, and run it."""
    channel: socket.socket | None = None

    def send(note: Note) -> None:
        nonlocal channel
        if channel is None:
            channel = socket.socket(socket.AF_UNIX)
            channel.connect(path)
        channel.sendall(
            msgpack.packb((note.id, note.exchange, note.progress, note.message, tuple(note.lines)))
        )
        # The acknowledgement keeps a note from arriving after the job's end.
        channel.recv(1)

    try:
        # The first one says that the process is there, and can be killed.
        send(Note(grant.id, grant.exchange))
        found: Any = importlib.import_module(module)
        for name in qualname.split("."):
            found = getattr(found, name)
        if not isinstance(found, Definition):
            raise DefinitionError(
                f"{module}.{qualname} isn't the job itself: what runs in a process is declared by a decorator"
            )
        definition = cast("Definition[..., Any]", found)
        args, kwargs = arguments(definition, grant)
        context = JobContext(grant, definition, send, None)
        set_current_context(context)
        if definition.takes_context:
            args = [context, *args]
        with _StandardStreamsApart():
            return True, packed(definition, definition.fn(*args, **kwargs))
    except BaseException as error:
        try:
            text = "".join(traceback.format_exception(type(error), error, _own_frames(error)))
        except BaseException:
            text = ""
        return False, (_portable(error), text)
    finally:
        if channel is not None:
            channel.close()


class _StandardStreamsApart:
    """Keeps what the job, or a program that it starts, reads and writes out of anyio's way.

    That speaks to this process over descriptors 0 and 1, but not while a function runs. It is a class, for a
    generator would write to the exception that passes through, which some exceptions refuse.
    """

    def __enter__(self) -> None:
        sys.stdout.flush()
        self._spoken = os.dup(0), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        os.close(nothing)

    def __exit__(self, *_: object) -> None:
        for number, kept in enumerate(self._spoken):
            os.dup2(kept, number)
            os.close(kept)


def _own_frames(error: BaseException) -> Any:
    return error.__traceback__.tb_next if error.__traceback__ is not None else None


def _portable(error: BaseException) -> BaseException:
    """An exception that survives the way to the parent: itself, or one that says the same."""
    if isinstance(error, ResultRefused):
        kind = PayloadTooLarge if isinstance(error.error, PayloadTooLarge) else SerializationError
        return ResultRefused(kind(str(error.error)))
    try:
        # A StopIteration can't leave a coroutine.
        if type(pickle.loads(pickle.dumps(error))) is type(error) and not isinstance(error, StopIteration):
            return error
    except BaseException:
        pass
    return RuntimeError(f"{type(error).__qualname__}: {message_of(error)}")
