"""How long a worker's jobs wait and run, measured on some of them: what it costs isn't felt so."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from asyncjobs.storage.base import ExchangeReply
from asyncjobs.timings import Timings, merged
from asyncjobs.worker.attempt import Attempt

MEASURED = 8
"""Jobs of one exchange that are measured, at equal distances."""


class Clocking:
    """The timings of a worker on one shard."""

    def __init__(self) -> None:
        self.waits = Timings()
        self.runs = Timings()

    def granted(self, reply: ExchangeReply, attempts: Sequence[Attempt], now: float) -> None:
        """An exchange brought these; `now`: by the event loop's clock."""
        for at in range(0, len(attempts), -(-len(attempts) // MEASURED)):
            attempt = attempts[at]
            attempt.started = now
            self.waits.add((reply.now_ms - attempt.grant.enqueued_ms) / 1000, now)

    def ended(self, attempt: Attempt, now: float) -> None:
        """An attempt has ended."""
        if attempt.started:
            self.runs.add(now - attempt.started, now)


def report(clockings: Iterable[Clocking]) -> dict[str, object]:
    """What is said of the last minute or two: classes of durations (see `timings`), and how many in each."""
    now, known = time.monotonic(), list(clockings)
    waits = merged(clocking.waits.recent(now) for clocking in known)
    runs = merged(clocking.runs.recent(now) for clocking in known)
    return {"waits": [*waits.items()], "runs": [*runs.items()]}
