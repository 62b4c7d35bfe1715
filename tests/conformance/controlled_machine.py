"""The state machine's rules of limits, unique keys and expiry, beside all others."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from asyncjobs.ids import shard_of
from asyncjobs.storage.audit.jobs import jobs as wrong_jobs
from asyncjobs.storage.audit.jobs import places as wrong_places
from asyncjobs.storage.audit.limits import limits as wrong_limits
from asyncjobs.storage.audit.queues import queues as wrong_queues
from asyncjobs.storage.audit.unique import unique as wrong_keys
from asyncjobs.storage.base import LimitUse, NewJob, Numbers, State, UniqueClaim, Until
from tests.conformance.linked_machine import LinkedMachine, linked_jobs
from tests.conformance.machine import again, pick
from tests.conformance.side_by_side import ALL, QUEUES

WINDOW_MS = 1_000
PERIOD_MS = 90_000
"""Longer than a run: Redis forgets a key by its own clock, too."""

uses = st.lists(
    st.sampled_from(
        [
            *[LimitUse("slots", key, Numbers(2)) for key in ("", "one", "one", "two words: 1")],
            *[LimitUse("mutex", key, Numbers(1)) for key in ("a", "b")],
            *[LimitUse("rate", "", Numbers(2, WINDOW_MS)) for _ in range(2)],
            LimitUse("slots", "one", Numbers(1)),
            LimitUse("rate", "", Numbers(1, 2 * WINDOW_MS)),
        ]
    ),
    max_size=3,
    unique_by=lambda use: use.name,
)
claims = st.sampled_from(
    [
        *[None] * 3,
        *[UniqueClaim(key, until) for key in ("u", "v w") for until in (Until.STARTED, Until.FINISHED)],
        UniqueClaim("u", Until.PERIOD, PERIOD_MS),
        UniqueClaim("u", Until.FINISHED, replaces=True),
        UniqueClaim("v w", Until.STARTED, replaces=True),
        UniqueClaim("u", Until.PERIOD, PERIOD_MS, replaces=True),
    ]
)
controlled_jobs = st.tuples(linked_jobs, uses, claims, st.sampled_from([0, 0, 0, 40, 2_000]))


class ControlledMachine(LinkedMachine):
    """All rules."""

    @rule(
        values=st.lists(controlled_jobs, min_size=1, max_size=5), pick=pick, again=again, alone=st.booleans()
    )
    def create_controlled(self, values: list[Any], pick: int, again: bool, alone: bool) -> None:
        self.carry_on_all()
        new: list[NewJob] = []
        for (fields, waits, member_of), limits, claim, expires_ms in values:
            batch = None if member_of is None or alone else self.batch(member_of)
            # On one shard, as what they have in common is.
            shard = 0 if batch is None else shard_of(batch, self.shard_count)
            new.append(
                NewJob(
                    id=self.new_id(shard),
                    name="job",
                    **fields,
                    parents=[] if alone else self.parents(waits),
                    batch=batch or "",
                    unique=claim,
                    limits=limits,
                    expires_ms=expires_ms,
                )
            )
        self.both(lambda storage: storage.create(new))
        if again:
            there = {job for shard in self.shards_in_memory() for job in shard.jobs}
            self.create_again([job.id for job in new if job.id in there])
        self.carry_on_all()

    @rule(moves=st.lists(st.tuples(pick, st.sampled_from(QUEUES)), min_size=1, max_size=4), again=again)
    def move(self, moves: list[tuple[int, str]], again: bool) -> None:
        # One job more often than not, for it is from the second move on that it could be in two places.
        first = moves[0][0]
        self.carry_on_all()
        for number, queue in moves:
            job = self.job(first if number % 2 else number)
            if self.is_remembered(job):
                self.both(lambda storage, job=job, queue=queue: storage.move(job, queue), again=again)
        self.carry_on_all()

    @rule(
        name=st.sampled_from(["slots", "rate", "never used"]),
        numbers=st.sampled_from(
            [None, Numbers(1), Numbers(2), Numbers(4), Numbers(2, WINDOW_MS), Numbers(3, 100)]
        ),
        again=again,
    )
    def set_limit(self, name: str, numbers: Numbers | None, again: bool) -> None:
        self.carry_on_all()
        self.both(lambda storage: storage.set_limit(name, numbers), again=again)
        self.carry_on_all()

    @rule()
    def nothing_contradicts_itself(self) -> None:
        for storage in (self.memory, self.redis):
            for shard in range(self.shard_count):
                found = self.loop.run_until_complete(storage.snapshot(shard))
                wrong = [*wrong_jobs(found), *wrong_places(found), *wrong_queues(found)]
                assert [*wrong, *wrong_limits(found), *wrong_keys(found)] == [], found

    @invariant()
    def limits_do_not_differ(self) -> None:
        self.both(lambda storage: storage.jobs(State.THROTTLED, limit=ALL))
        self.both(lambda storage: storage.limits(limit=ALL))
        self.both(lambda storage: storage.limit_settings())

    @invariant()
    def nobody_waits_for_what_has_room(self) -> None:
        for shard in self.shards_in_memory():
            for limit in shard.limits.active():
                for queue in limit.waits:
                    assert shard.limits.room(limit, queue) <= 0, (limit, queue)
