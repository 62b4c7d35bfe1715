"""Pages of the lists of jobs, and a bounded search through them for those that match."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from asyncjobs import Client, State
from asyncjobs.errors import OptionError
from asyncjobs.options import epoch_ms
from asyncjobs.storage.base import JobRecord, Page
from asyncjobs_dashboard.payloads import in_one_line

PAGE = 50
MOST = 200
"""Jobs on one page."""
LOOK = 5_000
"""Jobs that one request looks at, to find those that match."""
LOOK_SECONDS = 2.0
"""For which one request looks, if that comes earlier."""
STEP = 100
"""Jobs that are read at a time."""
BY_TIME = frozenset({State.SCHEDULED, State.RETRYING, State.SUCCEEDED, State.FAILED, State.CANCELLED})
"""Lists that are sorted by the time that is filtered by."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs of a state are wanted; each part that isn't empty has to match."""

    queue: str = ""
    name: str = ""
    """A part of the definition's name, in any case."""
    id: str = ""
    """A part of the job's id."""
    text: str = ""
    """A part of the arguments as they are shown, in any case."""
    since: str = ""
    until: str = ""
    """Times in UTC, as browsers' forms give them: 2026-01-31T12:00."""

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Filter:
        """From a query or a form. Raises `OptionError`."""

        def text(name: str) -> str:
            value = given.get(name)
            return value.strip()[:200] if isinstance(value, str) else ""

        made = cls(*(text(name) for name in ("queue", "name", "id", "text", "since", "until")))
        _ = made.since_ms, made.until_ms
        return made

    @property
    def since_ms(self) -> int:
        """0: from the beginning."""
        return _ms(self.since, "since")

    @property
    def until_ms(self) -> int:
        """0: to the end."""
        return _ms(self.until, "until")

    def query(self) -> dict[str, str]:
        """As it stands in URLs."""
        parts = {"queue": self.queue, "name": self.name, "id": self.id, "text": self.text}
        parts |= {"since": self.since, "until": self.until}
        return {name: value for name, value in parts.items() if value}

    def searches(self, state: State) -> bool:
        """Whether jobs have to be looked at one by one."""
        own = {"queue"} if state is State.ENQUEUED else set[str]()
        return bool(self.query().keys() - own)

    def matches(self, client: Client, record: JobRecord) -> bool:
        """Whether a job is wanted."""
        if self.queue and record.queue != self.queue:
            return False
        if self.name and self.name.lower() not in record.name.lower():
            return False
        if self.id and self.id not in record.id:
            return False
        at = entered_ms(record)
        if self.since_ms and at < self.since_ms:
            return False
        if self.until_ms and at >= self.until_ms:
            return False
        return not self.text or self.text.lower() in in_one_line(client, record).lower()


@dataclass(slots=True)
class Listing:
    """Some jobs of a list."""

    jobs: list[JobRecord]
    total: int
    """Jobs in the list, matching or not."""
    offset: int
    """Where in the list it was begun to look."""
    looked: int
    """Jobs that were looked at."""
    end: int
    """Where to go on."""
    more: bool
    """Whether there is anything from there on."""


def entered_ms(record: JobRecord) -> int:
    """The time that the list of a job's state is about: when it ended, is due, began, was enqueued, …"""
    match record.state:
        case State.SCHEDULED | State.RETRYING:
            return record.due_ms
        case State.PROCESSING:
            return record.started_ms
        case State.ENQUEUED:
            return record.enqueued_ms
        case State.THROTTLED:
            return record.throttled_ms
        case State.SUCCEEDED | State.FAILED | State.CANCELLED:
            return record.finished_ms
        case _:
            return record.created_ms


async def find(
    client: Client, state: State, wanted: Filter, *, offset: int, limit: int, newest_first: bool
) -> Listing:
    """A page of a list from `offset`: the jobs that match, up to `limit`, within the bounds of a request."""
    if not wanted.searches(state):
        page = await read(client, state, wanted, offset, limit, newest_first)
        end = offset + limit
        return Listing(page.jobs, page.total, offset, len(page.jobs), end, end < page.total)
    began = time.monotonic()
    if not offset:
        offset = await _first_in_time(client, state, wanted, newest_first)
    found: list[JobRecord] = []
    at, total, more = offset, 0, True
    while more and len(found) < limit and at - offset < LOOK and time.monotonic() - began < LOOK_SECONDS:
        page = await read(client, state, wanted, at, STEP, newest_first)
        total = page.total
        more = at + STEP < total
        for index, record in enumerate(page.jobs):
            if _is_past(record, wanted, state, newest_first):
                more, at = False, at + index
                break
            if wanted.matches(client, record):
                found.append(record)
                if len(found) == limit:
                    # Jobs whose place in a queue's list is empty by now aren't told: never skip any.
                    more = more or index + 1 < len(page.jobs)
                    at += index + 1
                    break
        else:
            at += STEP
        # Reading arguments takes a while: others get their turn.
        await asyncio.sleep(0)
    return Listing(found, total, offset, min(at, total) - offset, at, more)


async def walk(client: Client, state: State, wanted: Filter) -> AsyncGenerator[list[JobRecord], None]:
    """All jobs of a list that match, in parts, as they are while it goes on; the oldest first."""
    offset = await _first_in_time(client, state, wanted, newest_first=False)
    total = offset + 1
    while offset < total:
        page = await read(client, state, wanted, offset, STEP, newest_first=False)
        total = page.total
        if page.jobs and _is_past(page.jobs[0], wanted, state, newest_first=False):
            return
        yield [record for record in page.jobs if wanted.matches(client, record)]
        offset += STEP


async def read(
    client: Client, state: State, wanted: Filter, offset: int, limit: int, newest_first: bool
) -> Page:
    """A page of a state's list, of the wanted queue where the list has it apart."""
    queue = (wanted.queue or None) if state is State.ENQUEUED else None
    return await client.storage.jobs(
        state, queue=queue, offset=offset, limit=limit, newest_first=newest_first
    )


def _is_past(record: JobRecord, wanted: Filter, state: State, newest_first: bool) -> bool:
    """Whether it and all that come after it are beyond the wanted time."""
    if state not in BY_TIME:
        return False
    at = entered_ms(record)
    if newest_first:
        return bool(wanted.since_ms) and at < wanted.since_ms
    return bool(wanted.until_ms) and at >= wanted.until_ms


async def _first_in_time(client: Client, state: State, wanted: Filter, newest_first: bool) -> int:
    """Where in a list that is sorted by time the wanted time begins: found by halving, not by looking."""
    bound = wanted.until_ms if newest_first else wanted.since_ms
    if state not in BY_TIME or not bound:
        return 0
    low, high = 0, (await read(client, state, wanted, 0, 0, newest_first)).total
    while low < high:
        middle = (low + high) // 2
        page = await read(client, state, wanted, middle, 1, newest_first)
        if not page.jobs:
            high = middle
            continue
        at = entered_ms(page.jobs[0])
        if (at >= bound) if newest_first else (at < bound):
            low = middle + 1
        else:
            high = middle
    return low


def _ms(text: str, what: str) -> int:
    if not text:
        return 0
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise OptionError(f"{what} is {text!r}: give a time such as 2026-01-31T12:00") from None
    return epoch_ms(when if when.tzinfo is not None else when.replace(tzinfo=UTC), what)
