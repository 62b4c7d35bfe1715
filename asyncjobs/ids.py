"""Job ids: 20 letters and digits that sort by creation time and carry the job's shard.

    Tttttttpppppppppcccs
    7 digits: milliseconds since 1970, in base 62 (good until the year 2081)
    9 digits: chosen at random by the process (53 bits), again after a fork
    3 digits: a counter inside the process
    1 digit: the shard

Ids come from the client, so that a create that is sent twice is recognised as one job. The counter alone
tells apart what one process makes within a millisecond; the random part tells processes apart.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from zlib import crc32

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LENGTH = 20
MAX_SHARDS = len(ALPHABET)

_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
_COUNTER_SIZE = 62**3
_TRIPLES = [a + b + c for a in ALPHABET for b in ALPHABET for c in ALPHABET]


def _base62(value: int, digits: int) -> str:
    letters: list[str] = []
    for _ in range(digits):
        value, digit = divmod(value, 62)
        letters.append(ALPHABET[digit])
    return "".join(reversed(letters))


class IdGenerator:
    """Makes ids; one a process is enough, and every copy made by a fork draws a random part of its own."""

    def __init__(self) -> None:
        self._ms = -1
        self._time = ""
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._process = _base62(secrets.randbelow(62**9), 9)
        self._count = secrets.randbelow(_COUNTER_SIZE // 2)

    def new(self, shard: int = 0) -> str:
        """A new id on `shard`."""
        ms = time.time_ns() // 1_000_000
        if ms > self._ms:
            self._ms = ms
            self._time = _base62(ms, 7)
            if self._count >= _COUNTER_SIZE // 2:
                self._count -= _COUNTER_SIZE // 2
        self._count += 1
        if self._count >= _COUNTER_SIZE:
            # The counter is spent within a millisecond (or the clock stands still): another random part keeps
            # ids unique.
            self._reset()
        return f"{self._time}{self._process}{_TRIPLES[self._count]}{ALPHABET[shard]}"


new_id = IdGenerator().new


def shard_of(job_id: str, shards: int) -> int:
    """The shard that a job's id names, of `shards`. An id of any other form falls on a fixed shard too."""
    if shards == 1:
        return 0
    return _VALUES.get(job_id[-1:], 0) % shards


def shard_for(name: str, shards: int) -> int:
    """The shard, of `shards`, of what is one in its namespace and known by a name."""
    return crc32(name.encode()) % shards


def occurrence_id(recurring_id: str, occurrence_ms: int, shard: int = 0) -> str:
    """The id of the job of one occurrence of a recurring job: always the same one, whoever makes it.

    It has the occurrence's time where others have that of their making, and a hash where those have chance.
    """
    hashed = hashlib.sha256(f"{recurring_id}\0{occurrence_ms}".encode()).digest()
    return f"{_base62(occurrence_ms, 7)}{_base62(int.from_bytes(hashed), 12)}{ALPHABET[shard]}"


def created_ms(job_id: str) -> int:
    """When an id was made by its maker's clock, in milliseconds since 1970."""
    value = 0
    for letter in job_id[:7]:
        value = value * 62 + _VALUES[letter]
    return value
