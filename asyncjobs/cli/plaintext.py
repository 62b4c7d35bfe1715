"""Text of jobs, from which a terminal must come to no harm."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(value: str) -> str:
    """Text with its control characters made visible: a job's text mustn't get at the reader's terminal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), value)


def one_line(value: str) -> str:
    """The first line of a text that has any."""
    return next((line.strip() for line in value.splitlines() if line.strip()), "")
