"""Looking for contradictions in a namespace, and mending them, while everything runs.

1. A shard is read as a whole, which takes a while: what is found may be one of two moments. So it is looked
   at again, and only what is found each time counts.
2. Whoever would mend it looks at it once more, in one step.
3. Mending one thing shows others (a batch whose record is made anew doesn't know its members yet), so after
   each round everything is looked at again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from asyncjobs.errors import SerializationError
from asyncjobs.recurrence import Recurrence
from asyncjobs.storage.audit import KINDS, Finding, Mending, Snapshot, contradictions, unasked
from asyncjobs.storage.base import Storage

LOOKS = 3
"""How often a contradiction has to be seen in the same words to count."""
ROUNDS = 10
"""How often everything is looked at and mended, at most."""
AT_ONCE = 20
"""Findings that are dealt with at the same time."""
STEPS = 1_000
"""Steps of what follows that a round carries on itself, at most; workers do the rest."""

_ORDER = {kind: place for place, kind in enumerate(KINDS)}
Found = list[tuple[int, Finding]]
Definitions = dict[str, bytes]


async def check(storage: Storage, pause: float) -> list[Finding]:
    """What contradicts itself in a namespace. See `Client.check`."""
    found, definitions = await _look(storage, pause)
    mender = _Mender(storage, definitions)
    confirmed = await _each(found, mender.confirm)
    return [mending.finding for mending in confirmed if mending is not None]


async def repair(storage: Storage, pause: float) -> list[Mending]:
    """Mend what contradicts itself in a namespace. See `Client.repair`."""
    told: dict[tuple[int, Finding], Mending] = {}
    for _ in range(ROUNDS):
        found, definitions = await _look(storage, pause)
        # What nothing can be done about is not tried again.
        found = [one for one in found if one not in told or told[one].is_done]
        if not found:
            break
        mender = _Mender(storage, definitions)
        known = len(told)
        for _, group in itertools.groupby(found, lambda one: one[1].kind):
            some = list(group)
            for one, mending in zip(some, await _each(some, mender.apply), strict=True):
                if mending is not None:
                    # What comes back is mended again, and told once.
                    told[one] = mending
        await _carry_on(storage)
        if len(told) == known:
            break
    else:
        for one in (await _look(storage, pause))[0]:
            told[one] = Mending(one[1], "it comes back: find out who writes it", is_done=False)
    return list(told.values())


async def _look(storage: Storage, pause: float) -> tuple[Found, Definitions]:
    """What is found in each of several looks, in the order in which it has to be mended."""
    same, definitions = await _look_once(storage)
    for _ in range(1, LOOKS):
        if not same:
            break
        await asyncio.sleep(pause)
        again, definitions = await _look_once(storage)
        known = set(again)
        same = [one for one in same if one in known]
    return sorted(same, key=_order), definitions


def _order(one: tuple[int, Finding]) -> tuple[int, str]:
    """By kind, and the older jobs first; but batches come as they are found, the outer ones first."""
    finding = one[1]
    return _ORDER[finding.kind], "" if finding.kind == "batch" else finding.id


async def _look_once(storage: Storage) -> tuple[Found, Definitions]:
    found: Found = []
    definitions: Definitions = {}
    # Only where there are several, what one says of another is compared.
    kept: list[Snapshot] = []
    for shard in range(storage.shards):
        snapshot = await storage.snapshot(shard)
        found += [(shard, finding) for finding in contradictions(snapshot)]
        for recurring_id, facts in snapshot.recurring.items():
            if facts.definition is not None:
                definitions[recurring_id] = facts.definition
        if storage.shards > 1:
            kept.append(snapshot)
    found += unasked(kept)
    return found, definitions


async def _each(
    found: Found, act: Callable[[int, Finding], Awaitable[Mending | None]]
) -> list[Mending | None]:
    """Deal with all of them, some at a time, in order; with batches one after another."""
    done: list[Mending | None] = []
    at_once = 1 if found and found[0][1].kind == "batch" else AT_ONCE
    for start in range(0, len(found), at_once):
        some = found[start : start + at_once]
        done += await asyncio.gather(*(act(shard, finding) for shard, finding in some))
    return done


async def _carry_on(storage: Storage) -> None:
    """Do what follows from what was mended, in case no worker runs."""
    for shard in range(storage.shards):
        for _ in range(STEPS):
            if not await storage.carry_on(shard):
                break


class _Mender:
    """Hands each finding to whom it concerns."""

    def __init__(self, storage: Storage, definitions: Definitions) -> None:
        self._storage = storage
        self._definitions = definitions

    async def confirm(self, shard: int, finding: Finding) -> Mending | None:
        return await self._mend(shard, finding, apply=False)

    async def apply(self, shard: int, finding: Finding) -> Mending | None:
        return await self._mend(shard, finding, apply=True)

    async def _mend(self, shard: int, finding: Finding, *, apply: bool) -> Mending | None:
        if finding.kind != "recurring" or finding.id not in self._definitions:
            return await self._storage.mend(shard, finding, apply=apply)
        # A storage knows nothing of schedules.
        try:
            recurrence = Recurrence.unpack(finding.id, self._definitions[finding.id])
        except SerializationError as error:
            return Mending(finding, f"put it again, or remove it: {error}", is_done=False)
        now = await self._storage.time_ms(shard)
        new = recurrence.new(declared=False)
        return await self._storage.mend_recurring(
            shard, finding, new.revision, new.timing, recurrence.next_after(now), apply=apply
        )
