"""The state machine's rules of continuations and batches, beside all others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from asyncjobs.ids import ALPHABET, shard_of
from asyncjobs.storage.base import BATCH_RETENTION_MS, STAGING_MS, NewBatch, NewJob, On, Parent
from asyncjobs.storage.redis.keys import Keys
from tests.conformance.audit import Audit
from tests.conformance.machine import StorageMachine, again, new_jobs, pick
from tests.conformance.side_by_side import INBOXES


@dataclass(frozen=True)
class Wait:
    """How a rule has a job wait for another."""

    pick: int
    batch: bool
    on: On
    output: bool
    cancel: bool


waits = st.lists(
    st.builds(
        Wait,
        pick=pick,
        batch=st.sampled_from([False, False, True]),
        on=st.sampled_from(On),
        output=st.booleans(),
        cancel=st.booleans(),
    ),
    max_size=3,
)
linked_jobs = st.tuples(new_jobs, waits, st.sampled_from([None, *range(6)]))


class LinkedMachine(StorageMachine):
    """All rules."""

    def batch(self, pick: int) -> str | None:
        """One of the batches, mostly one that is still there."""
        there = sorted(batch for shard in self.shards_in_memory() for batch in shard.batches)
        ids = there if there and pick % 6 else self.batch_ids
        return ids[pick % len(ids)] if ids else None

    @rule(values=st.lists(linked_jobs, min_size=1, max_size=4), pick=pick, again=again)
    def create_linked(
        self, values: list[tuple[dict[str, Any], list[Wait], int | None]], pick: int, again: bool
    ) -> None:
        new: list[NewJob] = []
        for at, (fields, waits, member_of) in enumerate(values):
            batch = None if member_of is None else self.batch(member_of)
            parents = self.parents(waits)
            shard = pick + at if batch is None else shard_of(batch, self.shard_count)
            new.append(
                NewJob(id=self.new_id(shard), name="job", **fields, parents=parents, batch=batch or "")
            )
        self.both(lambda storage: storage.create(new))
        if again:
            there = {job for shard in self.shards_in_memory() for job in shard.jobs}
            self.create_again([job.id for job in new if job.id in there])

    def parents(self, waits: Sequence[Wait]) -> list[Parent]:
        """Different ones, the last jobs among them, which may be of the same call."""
        found: dict[tuple[str, bool], Parent] = {}
        for wait in waits:
            chosen = self.batch(wait.pick) if wait.batch else self.parent(wait.pick)
            if chosen is not None:
                found[chosen, wait.batch] = Parent(
                    chosen, wait.on, wait.batch, wait.output, wait.cancel and wait.on is On.SUCCEEDED
                )
        return list(found.values())

    def parent(self, pick: int) -> str | None:
        return self.job(pick) if pick % 3 else self.ids[-1]

    @rule(
        verb=st.sampled_from(["open", "open", "open", "commit", "commit", "commit", "cancel"]),
        pick=pick,
        around=st.sampled_from([None, *range(6)]),
        again=again,
    )
    def act_on_a_batch(self, verb: str, pick: int, around: int | None, again: bool) -> None:
        batch = self.batch(pick)
        if verb == "open" or batch is None:
            parent = (None if around is None else self.batch(around)) or ""
            shard = shard_of(parent, self.shard_count) if parent else pick
            new = NewBatch(self.new_batch_id(shard), "batch", parent)
            self.both(lambda storage: storage.open_batches([new]), again=again)
            return
        # What was put off before comes first in both.
        self.carry_on_all()
        if verb == "commit":
            self.both(lambda storage: storage.commit_batch(batch), again=again)
        else:
            self.both(lambda storage: storage.cancel_batch(batch), again=again)
        self.carry_on_all()

    def new_batch_id(self, shard: int) -> str:
        serial = (len(self.batch_ids) + 5_000) * 7919 % 10_007
        self.batch_ids.append(f"{serial:019}{ALPHABET[shard % self.shard_count]}")
        return self.batch_ids[-1]

    @rule(pick=pick, inbox=st.sampled_from(INBOXES), again=again)
    def watch_a_batch(self, pick: int, inbox: str, again: bool) -> None:
        batch = self.batch(pick)
        if batch is not None:
            self.both(lambda storage: storage.watch_batch(batch, inbox), again=again)

    @rule(ms=st.sampled_from([0, 0, STAGING_MS, STAGING_MS, BATCH_RETENTION_MS]), pick=pick)
    def sweep(self, ms: int, pick: int) -> None:
        self.carry_on_all()
        self.clock.advance(ms)
        self.both(lambda storage: storage.sweep_batches(pick % self.shard_count))
        self.carry_on_all()

    # -- what is put off --

    @rule(pick=pick, twice=st.booleans())
    def carry_on(self, pick: int, twice: bool) -> None:
        """On one shard; or on all, and then all messages come once more."""
        if not twice:
            self.carry_on_one(pick % self.shard_count)
            return
        outboxes: list[dict[bytes, bytes]] = [self.server.hgetall(keys.key("outbox")) for keys in self.keys]
        self.carry_on_all()
        for keys, messages in zip(self.keys, outboxes, strict=True):
            # None asks again for a job that has heard, or doesn't wait any more.
            for message in [each for each in messages if each.startswith(b"A ")]:
                _, node, child = message.decode().split(" ")
                if not Audit(self.server, keys).owes(node, child):
                    del messages[message]
            if messages:
                self.server.hset(keys.key("outbox"), mapping=messages)
                self.server.zadd(keys.key("follow_ups"), {"x": self.clock()})
        while any(self.put_off(keys) for keys in self.keys):
            for shard in range(self.shard_count):
                self.outcome(self.redis, lambda storage, shard=shard: storage.carry_on(shard))

    def carry_on_one(self, shard: int) -> None:
        while self.put_off(self.keys[shard]):
            self.outcome(self.redis, lambda storage: storage.carry_on(shard))
        self.outcome(self.memory, lambda storage: storage.carry_on(shard))

    def carry_on_all(self) -> None:
        """Everything, on both sides shard by shard."""
        while any(shard.outbox for shard in self.shards_in_memory()) or any(map(self.put_off, self.keys)):
            for shard in range(self.shard_count):
                self.carry_on_one(shard)

    def put_off(self, keys: Keys) -> bool:
        return bool(self.server.exists(keys.key("follow_ups")))

    # -- what must hold --

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        for keys in self.keys:
            Audit(self.server, keys).check()

    def teardown(self) -> None:
        try:
            self.carry_on_all()
            self.nothing_differs()
            self.the_audit_finds_nothing()
        finally:
            super().teardown()
