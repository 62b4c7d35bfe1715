"""Which files are analysed, and how: at once or delayed, at the first try or after failures."""

from __future__ import annotations

import os
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

LEFT_OUT = frozenset({"site-packages", "dist-packages", "__pycache__"})
"""Directories inside the library that aren't of it."""


@dataclass(frozen=True, slots=True)
class Task:
    """One file to be analysed, by one job."""

    path: str
    """Below the library."""
    delay: float = 0.0
    """Seconds; 0: at once."""
    failures: int = 0
    """How many attempts are made to fail."""

    @classmethod
    def of(cls, path: str) -> Task:
        """Chosen by the path alone, the same in every run: 1 in 25 is delayed, 1 in 15 fails first."""
        number = crc32(path.encode())
        delay = 1.0 + number // 25 % 4000 / 1000 if number % 25 == 0 else 0.0
        failures = 1 + number % 2 if number // 7 % 15 == 0 else 0
        return cls(path, delay, failures)


def sources(library: Path) -> list[str]:
    """All readable `.py` files of a library, relative to it, sorted; its tests too, if it has them."""
    return sorted(str(path.relative_to(library)) for path in _walk(library))


def _walk(library: Path) -> Iterator[Path]:
    for directory, subdirectories, names in os.walk(library):
        subdirectories[:] = [name for name in subdirectories if name not in LEFT_OUT]
        for name in names:
            path = Path(directory, name)
            if name.endswith(".py") and path.is_file() and os.access(path, os.R_OK):
                yield path
