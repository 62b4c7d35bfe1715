"""The members of a batch, jobs and nested batches: page by page, those of one state, all in a walk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from asyncjobs import Client, State
from asyncjobs.errors import OptionError
from asyncjobs.storage.base import BatchRecord, JobRecord
from asyncjobs_dashboard.listing import LOOK_SECONDS
from asyncjobs_dashboard.navigation import STATES

BATCHES = "batches"
"""What a filter calls nested batches."""
LOOK = 2_000
"""Members that one request looks at, to find those of a state: each is a trip of its own."""
LOOK_NESTED = 50_000
"""The same, to find the nested batches: their ids tell what they are."""
STEP = 200
AT_ONCE = 10
"""Trips at the same time: each takes a connection."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Member:
    """A job or a nested batch; neither, if it isn't kept any more."""

    id: str
    nested: bool = False
    job: JobRecord | None = None
    batch: BatchRecord | None = None


@dataclass(slots=True)
class MemberPage:
    """Some members of a batch, in the order in which they were added."""

    members: list[Member]
    total: int
    """Members that the batch has, wanted or not."""
    offset: int
    looked: int
    """Members that were looked at."""
    end: int
    """Where to go on."""
    more: bool
    """Whether there is anything from there on."""


def check_wanted(text: str) -> State | str:
    """A state or `BATCHES`; "" for all. Raises `OptionError`."""
    if text in ("", BATCHES):
        return text
    if text in STATES:
        return State(text)
    raise OptionError(f"members can't be filtered by {text!r}: give {BATCHES} or a state of jobs")


async def find_members(
    client: Client, batch: BatchRecord, wanted: State | str, *, offset: int, limit: int
) -> MemberPage:
    """A page of them from `offset`, or of those that are wanted within the bounds of a request."""
    batch_id = batch.id
    if not wanted:
        page = await client.storage.members(batch_id, offset=offset, limit=limit)
        end = offset + len(page.ids)
        shown = await _read(client, page.ids)
        return MemberPage(shown, page.total, offset, len(shown), end, end < page.total)
    ends = time.monotonic() + LOOK_SECONDS
    look = LOOK_NESTED if wanted == BATCHES else LOOK
    step = 5 * STEP if wanted == BATCHES else STEP
    found: list[Member] = []
    most = _most(batch, wanted)
    at, total, more = offset, batch.total + batch.nested, most > 0
    while more and len(found) < limit and at - offset < look and time.monotonic() < ends:
        page = await client.storage.members(batch_id, offset=at, limit=step)
        total = page.total
        matches = await _matches(client, page.ids, wanted)
        room = limit - len(found)
        found += [member for _, member in matches[:room]]
        at += matches[room - 1][0] + 1 if len(matches) >= room else len(page.ids)
        # Where it was begun at the first member, it is known when none can come any more.
        more = bool(page.ids) and at < total and (offset > 0 or len(found) < most)
    return MemberPage(found, total, offset, at - offset, at, more)


async def walk_members(client: Client, batch_id: str, state: State) -> AsyncGenerator[list[str], None]:
    """The ids of all jobs of a state that are in a batch or nested in it, in parts.

    Each batch is walked from its last member to its first: members that succeeded long ago leave it
    meanwhile, and so nothing is passed over.
    """
    storage = client.storage
    batches = [batch_id]
    while batches:
        walked = batches.pop()
        end = (await storage.members(walked, limit=0)).total
        while end > 0:
            start = max(0, end - STEP)
            page = await storage.members(walked, offset=start, limit=end - start)
            end = start
            batches += [member[1:] for member in page.ids if member.startswith("~")]
            jobs = await read_jobs(client, [member for member in page.ids if not member.startswith("~")])
            yield [job.id for job in jobs if job is not None and job.state is state]


async def read_jobs(client: Client, ids: Sequence[str]) -> list[JobRecord | None]:
    """The jobs of these ids, a few at a time."""
    return await few_at_once(client.storage.get, ids)


async def few_at_once(read: Callable[[str], Awaitable[T]], ids: Iterable[str]) -> list[T]:
    """What `read` gives for each id, in their order."""
    wanted = list(ids)
    told: dict[int, T] = {}
    numbered = iter(enumerate(wanted))

    async def lane() -> None:
        for number, each in numbered:
            told[number] = await read(each)

    await asyncio.gather(*(lane() for _ in range(min(AT_ONCE, len(wanted)))))
    return [told[number] for number in range(len(wanted))]


def _most(batch: BatchRecord, wanted: State | str) -> int:
    """How many of its members can be wanted ones, by its counters."""
    if wanted == BATCHES:
        return batch.nested
    ended = {
        State.SUCCEEDED: batch.succeeded,
        State.FAILED: batch.failed,
        State.CANCELLED: batch.cancelled,
    }
    return ended.get(State(wanted), batch.pending)


async def _matches(client: Client, ids: Sequence[str], wanted: State | str) -> list[tuple[int, Member]]:
    """Those that are wanted, each with its place among the ids."""
    if wanted == BATCHES:
        places = [place for place, member in enumerate(ids) if member.startswith("~")]
        return list(zip(places, await _read(client, [ids[place] for place in places]), strict=True))
    places = [place for place, member in enumerate(ids) if not member.startswith("~")]
    jobs = await read_jobs(client, [ids[place] for place in places])
    return [
        (place, Member(job.id, job=job))
        for place, job in zip(places, jobs, strict=True)
        if job is not None and job.state is wanted
    ]


async def _read(client: Client, ids: Sequence[str]) -> list[Member]:
    async def read(member: str) -> Member:
        if member.startswith("~"):
            return Member(member[1:], nested=True, batch=await client.storage.get_batch(member[1:]))
        return Member(member, job=await client.storage.get(member))

    return await few_at_once(read, ids)
