"""Runs one attempt from its grant to its outcome: resolve, bind, run with a time-out.

It touches no storage.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from asyncjobs.context import JobContext, Surroundings, set_current_context
from asyncjobs.definition import Definition
from asyncjobs.errors import UnknownJob
from asyncjobs.lifespan import NO_STATE
from asyncjobs.middleware import pass_through
from asyncjobs.options import JobOptions, apply_overrides
from asyncjobs.registry import Registry
from asyncjobs.serialization import unpack_result
from asyncjobs.storage.base import Finish, Grant
from asyncjobs.sync import SyncClient
from asyncjobs.worker.attempt import Attempt, Stop
from asyncjobs.worker.executors import ProcessExecutor, arguments, packed, run_in_thread
from asyncjobs.worker.notes import Notes
from asyncjobs.worker.outcomes import raised, succeeded

if TYPE_CHECKING:
    from asyncjobs.client import Client

Ended = Callable[[Attempt, Finish | None], None]
"""Is told the outcome of an attempt, once; None where nobody wants to know."""
Freed = Callable[[Attempt], None]
"""Is told that an attempt's code, and its thread, are over, once."""


class Runner:
    """Starts attempts on the running event loop. `state`: what the registry's lifespan has yielded."""

    def __init__(self, registry: Registry, client: Client, notes: Notes, state: Any = NO_STATE) -> None:
        self._registry = registry
        self._middleware = registry.job_middleware
        self._notes = notes
        self._loop = asyncio.get_running_loop()
        self._surroundings = Surroundings(client, functools.partial(SyncClient.of, client, self._loop), state)
        self._processes: dict[str, ProcessExecutor] = {}

    def start(self, grant: Grant, worker: str, ended: Ended, freed: Freed) -> Attempt:
        """Run a job in a task of its own."""
        attempt = Attempt(grant, functools.partial(self._abandon, ended=ended))
        attempt.task = self._loop.create_task(self._run(attempt, worker, ended, freed), name=grant.name)
        return attempt

    async def _run(self, attempt: Attempt, worker: str, ended: Ended, freed: Freed) -> None:
        grant = attempt.grant
        options = self._registry.defaults
        finish: Finish | None
        attempt.begun = True
        try:
            if attempt.stop_reason is not None:
                raise asyncio.CancelledError
            definition = self._registry.get(grant.name)
            options = self._options(definition, grant)
            timeout = None if options.timeout_ms is None else options.timeout_ms / 1000
            if timeout is not None and (definition.runs != "process" or self._middleware):
                self._begin_timeout(attempt, timeout)
            context = JobContext(
                grant,
                definition,
                functools.partial(self._notes.add, worker),
                self._surroundings,
            )
            attempt.context = context
            set_current_context(context)
            if self._middleware:
                inmost = functools.partial(self._inmost, definition, attempt, context, worker, freed)
                result = packed(definition, await pass_through(self._middleware, context, inmost))
            elif definition.runs == "process":
                starts = functools.partial(self._begin_timeout, attempt, timeout)
                result = await self._process_executor(worker).run(definition, grant, starts)
            else:
                result = packed(definition, await self._code(definition, attempt, context, freed))
            finish = succeeded(grant, options, result)
        except BaseException as error:
            # Whatever a job raises is its own outcome, and nothing of the worker's.
            finish = raised(grant, options, error, attempt.stop_reason)
        attempt.over()
        if self._notes.has(worker, grant.id, grant.exchange):
            # Where a job cancelled itself and returned, that would strike here.
            with contextlib.suppress(asyncio.CancelledError):
                await self._notes.flush()
        if not attempt.reported:
            attempt.reported = True
            ended(attempt, finish)
        if not attempt.thread_running:
            self._free(attempt, freed)

    def _code(
        self, definition: Definition[..., Any], attempt: Attempt, context: JobContext, freed: Freed
    ) -> Coroutine[Any, Any, Any]:
        """The job's own code, to be awaited here; it isn't a coroutine itself, which would cost one more."""
        args, kwargs = arguments(definition, attempt.grant)
        if definition.takes_context:
            args = [context, *args]
        if definition.runs == "loop":
            return definition.fn(*args, **kwargs)  # type: ignore[no-any-return]
        thread_ended = functools.partial(self._thread_ended, attempt, freed)
        return run_in_thread(functools.partial(definition.fn, *args, **kwargs), attempt, thread_ended)

    async def _inmost(
        self,
        definition: Definition[..., Any],
        attempt: Attempt,
        context: JobContext,
        worker: str,
        freed: Freed,
    ) -> Any:
        """What is inside all middleware: the job itself, wherever it runs, and its result."""
        if definition.runs != "process":
            return await self._code(definition, attempt, context, freed)
        # While it waits for a process, no time of its own passes.
        left = attempt.pause_timer()
        starts = functools.partial(self._begin_timeout, attempt, left)
        try:
            result = await self._process_executor(worker).run(definition, attempt.grant, starts)
        finally:
            if attempt.timer is None:
                self._begin_timeout(attempt, left)
        return unpack_result(definition.registry.serializer, result)

    def _begin_timeout(self, attempt: Attempt, seconds: float | None) -> None:
        if seconds is not None:
            attempt.timer = self._loop.call_later(seconds, attempt.stop, Stop.TIMEOUT)

    def _free(self, attempt: Attempt, freed: Freed) -> None:
        if not attempt.freed:
            attempt.freed = True
            freed(attempt)

    def _options(self, definition: Definition[..., Any], grant: Grant) -> JobOptions:
        if definition.runs == "elsewhere":
            raise UnknownJob(f"{grant.name} is only declared here: its code is in another program's registry")
        return apply_overrides(definition.defaults, grant.options) if grant.options else definition.defaults

    def _thread_ended(self, attempt: Attempt, freed: Freed) -> None:
        attempt.thread_running = False
        if attempt.ended:
            self._free(attempt, freed)

    def _abandon(self, attempt: Attempt, ended: Ended) -> None:
        """Its code goes on though it was cancelled many times: report what it would have been."""
        if attempt.reported:
            return
        attempt.reported = True
        try:
            options = self._options(self._registry.get(attempt.grant.name), attempt.grant)
        except Exception:
            options = self._registry.defaults
        ended(attempt, raised(attempt.grant, options, asyncio.CancelledError(), attempt.stop_reason))

    def _process_executor(self, worker: str) -> ProcessExecutor:
        executor = self._processes.get(worker)
        if executor is None:
            executor = ProcessExecutor(functools.partial(self._notes.add, worker))
            self._processes[worker] = executor
        return executor

    async def close(self) -> None:
        """Let go of what processes speak through."""
        for executor in self._processes.values():
            await executor.close()
