"""What becomes of an attempt, by what its code returned or raised. No storage, no tasks."""

from __future__ import annotations

import asyncio
import logging
import traceback
from types import TracebackType

from asyncjobs.errors import JobTimeout, OptionError, OutputError, RetryLater, SerializationError, Snooze
from asyncjobs.options import JobOptions, Retry, to_ms
from asyncjobs.storage.base import Finish, Grant, Outcome
from asyncjobs.storage.records import pack_error
from asyncjobs.worker.attempt import Stop

logger = logging.getLogger("asyncjobs.worker")

TRACEBACK_LIMIT = 16_000
"""Characters kept of a traceback: its beginning goes first, for the end says most."""
MESSAGE_LIMIT = 4_000
"""Characters kept of an exception's message."""
_OURS = ("asyncjobs.worker", "anyio")
"""Modules whose frames come before the job's own."""


class ResultRefused(Exception):
    """What the job returned can't be stored; running it again wouldn't help."""

    def __init__(self, error: SerializationError) -> None:
        self.error = error
        super().__init__(str(error))


def succeeded(grant: Grant, options: JobOptions, result: bytes) -> Finish:
    """It returned."""
    retention = -1 if options.retention_ms is None else options.retention_ms
    if not options.keep_result:
        result = b""
    return Finish(grant.id, grant.exchange, Outcome.SUCCEEDED, result, 0, b"", retention, options.keep_result)


def raised(grant: Grant, options: JobOptions, error: BaseException, stop: Stop | None) -> Finish | None:
    """It raised; None if nobody wants to know, for its lease is lost."""
    if stop is Stop.LOST:
        return None
    if stop is Stop.SHUTDOWN and not isinstance(error, Snooze):
        # Whatever it makes of being cancelled, it wasn't its own fault.
        return Finish(grant.id, grant.exchange, Outcome.RELEASED)
    if isinstance(error, Snooze):
        try:
            return Finish(grant.id, grant.exchange, Outcome.SNOOZE, delay_ms=to_ms(error.delay, "the snooze"))
        except OptionError as wrong:
            error = wrong
    if isinstance(error, asyncio.CancelledError) and stop is not None:
        if stop is Stop.CANCEL:
            return _final(grant, options, Outcome.CANCELLED, b"")
        seconds = (options.timeout_ms or 0) / 1000
        # With the traceback of where it stood when it was stopped.
        error = JobTimeout(f"it ran longer than its timeout of {seconds:g} s").with_traceback(
            error.__traceback__
        )
    return _failed(grant, options, error)


def _failed(grant: Grant, options: JobOptions, error: BaseException) -> Finish:
    retry = options.retry
    if isinstance(error, ResultRefused):
        return _final(grant, options, Outcome.FAILED, describe(error.error))
    described = describe(error)
    if isinstance(error, OutputError):
        # Its parents have ended: no further run would find another result.
        return _final(grant, options, Outcome.FAILED, described)
    if grant.failures < retry.max_retries and (isinstance(error, RetryLater) or retry.retries(error)):
        delay = _delay_ms(grant, retry, error)
        return Finish(grant.id, grant.exchange, Outcome.RETRY, delay_ms=delay, error=described)
    outcome = Outcome.CANCELLED if retry.on_exhausted == "cancel" else Outcome.FAILED
    return _final(grant, options, outcome, described)


def _delay_ms(grant: Grant, retry: Retry, error: BaseException) -> int:
    try:
        if isinstance(error, RetryLater):
            return to_ms(error.delay, "RetryLater's delay")
        return retry.delay_ms(grant.failures + 1, error)
    except BaseException:
        logger.exception(
            "job %s (%s): its retry delay can't be used; the default one is", grant.id, grant.name
        )
        return Retry().delay_ms(grant.failures + 1, error)


def _final(grant: Grant, options: JobOptions, outcome: Outcome, error: bytes) -> Finish:
    retention = -1 if options.retention_ms is None else options.retention_ms
    return Finish(grant.id, grant.exchange, outcome, b"", 0, error, retention)


def describe(error: BaseException) -> bytes:
    """An exception, packed for the job's history."""
    cls = type(error)
    name = cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
    message = message_of(error)
    remote = getattr(error, "asyncjobs_traceback", None)
    if isinstance(remote, str):
        text = remote
    else:
        try:
            text = "".join(traceback.format_exception(cls, error, _without_ours(error)))
        except BaseException:
            text = f"{name}: {message}"
    if len(message) > MESSAGE_LIMIT:
        text = text.replace(message, message[:MESSAGE_LIMIT] + "[…]")
    if len(text) > TRACEBACK_LIMIT:
        text = "[…]\n" + text[-TRACEBACK_LIMIT:]
    return pack_error(name, message[:MESSAGE_LIMIT], text)


def message_of(error: BaseException) -> str:
    """What an exception says, whatever its own code does instead."""
    try:
        return str(error)
    except BaseException:
        return "(its message can't be made)"


def _without_ours(error: BaseException) -> TracebackType | None:
    """The traceback from where the job's own code begins; None if there is nothing of that in it."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        frames = frames.tb_next
    return frames
