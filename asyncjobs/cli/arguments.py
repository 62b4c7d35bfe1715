"""What is written on a command line, read: durations, times, values for jobs, queues, states."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any, NoReturn

import click

STATES = (
    *("enqueued", "throttled", "scheduled", "awaiting", "processing", "retrying"),
    *("succeeded", "failed", "cancelled"),
)

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)?")
_KEYWORD = re.compile(r"([^\W\d]\w*)=(.*)", re.DOTALL)


def duration(text: str) -> timedelta:
    """Read `90`, `90s`, `5m`, `1h30m`, `2d`, `500ms`. Raises `click.BadParameter`."""
    at, seconds = 0, 0.0
    while at < len(text):
        found = _DURATION.match(text, at)
        if found is None or (found[2] is None and (at or found.end() < len(text))):
            break
        seconds += float(found[1]) * _UNITS[found[2] or "s"]
        at = found.end()
    if not text or at < len(text):
        raise click.BadParameter(f"{text!r} is no duration: write 90 (seconds), 500ms, 5m, 1h30m or 2d.")
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise click.BadParameter(f"{text!r} is too long.") from None


def moment(text: str) -> datetime:
    """Read a time in ISO 8601 with its zone. Raises `click.BadParameter`."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time in ISO 8601: write 2030-01-31T09:30Z or 2030-01-31T09:30+02:00."
        ) from None
    if when.utcoffset() is None:
        local = when.astimezone().isoformat(timespec="minutes")
        raise click.BadParameter(
            f"{text!r} has no time zone: write {text}Z for UTC, or {local} for local time."
        )
    return when


def queue_order(text: str) -> tuple[str, ...] | dict[str, int]:
    """Read `a,b`: in that order; `a:3,b:1`: by weight. Raises `click.BadParameter`."""
    weights: dict[str, int] = {}
    for part in text.split(","):
        name, colon, weight = part.strip().partition(":")
        if not name or name in weights or (colon and not weight.isdecimal()):
            raise click.BadParameter(f"{text!r}: write a,b for a strict order, or a:3,b:1 for weights.")
        weights[name] = int(weight) if colon else 1
    return weights if ":" in text else tuple(weights)


def job_arguments(texts: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
    """Read each as JSON where it can be, else as a string; `key=value` is a keyword argument.

    Raises `click.UsageError`.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        keyword = _KEYWORD.fullmatch(text)
        if keyword is None:
            if kwargs:
                raise click.UsageError(f"{text!r} has no name: put it before {next(iter(kwargs))}=.")
            args.append(_value(text))
        elif keyword[1] in kwargs:
            raise click.UsageError(f"{keyword[1]}= is given twice.")
        else:
            kwargs[keyword[1]] = _value(keyword[2])
    return args, kwargs


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(text: str) -> NoReturn:
    # JSON has no NaN and no Infinity: they are words like others.
    raise ValueError(text)
