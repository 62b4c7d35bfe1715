"""What the state machine of recurring jobs does to a storage; see `machine.py` for that of all else."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from asyncjobs.ids import ALPHABET, occurrence_id, shard_for, shard_of
from asyncjobs.storage.base import (
    ORPHAN_MS,
    WAIT_MS,
    DueReply,
    ExchangeRequest,
    Finish,
    Fired,
    Firing,
    NewJob,
    NewRecurring,
    Outcome,
)
from tests.conformance.side_by_side import ALL, QUEUES, Hand, SideBySide

NAMES = ("one", "two", "three", "four")
LEASE_MS = 4_000
STEP = 1_000
"""Milliseconds between two occurrences."""

again = st.booleans()
names = st.sampled_from(NAMES)
pick = st.integers(0, 11)
revisions = st.sampled_from(["first", "second"])
overlaps = st.sampled_from(["allow", "skip", "queue", "queue"])


class RecurringMachine(SideBySide):
    """The rules. Recurring jobs occur at each full second of the clock, or so the firing ones say."""

    @initialize()
    def begin(self) -> None:
        for shard in range(self.shard_count):
            self.both(lambda storage, shard=shard: storage.register(shard, f"w{shard}", {}, LEASE_MS))
            self.hands.append(Hand(f"w{shard}", shard, (_NoLink(), _NoLink())))  # type: ignore[arg-type]

    def shard_of_name(self, name: str) -> int:
        return shard_for(name, self.shard_count)

    def after_now(self) -> int:
        return self.clock() // STEP * STEP + STEP

    # -- what there is --

    @rule(
        name=names,
        revision=revisions,
        timing=st.sampled_from(["a", "a", "a", "b"]),
        declared=st.booleans(),
        never=st.sampled_from([False, False, False, True]),
        again=again,
    )
    def put(self, name: str, revision: str, timing: str, declared: bool, never: bool, again: bool) -> None:
        new = NewRecurring(name, revision.encode(), revision, timing, declared)
        next_ms = None if never else self.after_now()
        self.both(lambda storage: storage.put_recurring(new, next_ms))
        if again:
            # It is told to be kept then, and nothing else may differ.
            self.outcome(self.redis, lambda storage: storage.put_recurring(new, next_ms))

    @rule(
        name=names,
        revision=revisions,
        known=revisions,
        timing=st.sampled_from(["a", "b"]),
        declared=st.booleans(),
        never=st.sampled_from([False, False, True]),
    )
    def reschedule(
        self, name: str, revision: str, known: str, timing: str, declared: bool, never: bool
    ) -> None:
        new = NewRecurring(name, revision.encode(), revision, timing, declared)
        next_ms = None if never else self.after_now()
        self.both(lambda storage: storage.reschedule_recurring(new, known, next_ms))

    @rule(picked=st.sets(names), revision=revisions, starting=st.booleans(), again=again)
    def renew(self, picked: set[str], revision: str, starting: bool, again: bool) -> None:
        for shard in range(self.shard_count):
            told = [(name, revision) for name in sorted(picked) if self.shard_of_name(name) == shard]
            self.both(
                lambda storage, shard=shard, told=told: storage.renew_recurring(
                    shard, told, starting=starting
                ),
                again=again,
            )

    @rule(
        verb=st.sampled_from(["pause", "resume", "resume", "remove"]),
        name=names,
        revision=revisions,
        again=again,
    )
    def act_by_hand(self, verb: str, name: str, revision: str, again: bool) -> None:
        if verb == "resume":
            next_ms = self.after_now()
            self.both(lambda storage: storage.resume_recurring(name, revision, next_ms), again=again)
        elif verb == "pause":
            self.both(lambda storage: storage.pause_recurring(name), again=again)
        else:
            self.both(lambda storage: storage.remove_recurring(name))

    @rule(name=names, queue=st.sampled_from(QUEUES), priority=st.sampled_from([0, 0, 2]), again=again)
    def trigger(self, name: str, queue: str, priority: int, again: bool) -> None:
        serial = len(self.ids) * 7919 % 10_007
        job = NewJob(f"{serial:019}{ALPHABET[self.shard_of_name(name)]}", "job", queue, b"x" * 70, priority)
        self.ids.append(job.id)
        self.both(lambda storage: storage.trigger_recurring(name, job), again=again)

    # -- firing --

    @rule(
        limit=st.integers(1, 3),
        offset=st.sampled_from([0, 0, 0, 1, 2]),
        overlap=overlaps,
        most=st.integers(0, 3),
        jitter=st.sampled_from([0, 0, 300]),
        last=st.sampled_from([False, False, False, True]),
        stale=st.sampled_from([0, 0, 0, 1]),
        again=again,
    )
    def look_and_fire(
        self,
        limit: int,
        offset: int,
        overlap: str,
        most: int,
        jitter: int,
        last: bool,
        stale: int,
        again: bool,
    ) -> None:
        for shard in range(self.shard_count):
            reply = self.both(
                lambda storage, shard=shard: storage.due_recurring(shard, f"w{shard}", limit, offset),
                again=False,
            )
            assert isinstance(reply, DueReply)
            for due in reply.due:
                times = list(range(due.next_ms, self.clock() + 1, STEP))[:most]
                jobs = [
                    NewJob(
                        occurrence_id(due.id, at, shard),
                        "job",
                        QUEUES[at // STEP % 2],
                        due_ms=at + jitter if jitter else 0,
                    )
                    for at in times
                ]
                firing = Firing(
                    id=due.id,
                    revision=due.revision,
                    expected_ms=due.next_ms - stale,
                    next_ms=None if last else self.after_now(),
                    jobs=jobs,
                    last_ms=times[-1] if times else 0,
                    missed=0 if due.waiting else most,
                    passed=most if due.waiting else 0,
                    overlap=overlap,
                )
                self.ids += [job.id for job in jobs if job.id not in self.ids]
                fired = self.both(lambda storage, firing=firing: storage.fire_recurring(firing))
                if again:
                    told = self.outcome(
                        self.redis, lambda storage, firing=firing: storage.fire_recurring(firing)
                    )
                    assert told is (Fired.WAITS if fired is Fired.WAITS else Fired.LOST)

    # -- what becomes of the jobs --

    @rule(pick=pick, slots=st.integers(1, 3))
    def run(self, pick: int, slots: int) -> None:
        """Fetch some, and end those that were fetched before."""
        hand = self.hands[pick % len(self.hands)]
        hand.number += 1
        outcomes = [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.RETRY]
        ended = hand.running[: pick % 3]
        finishes = [
            Finish(grant.id, grant.exchange, outcomes[(pick + at) % 3], delay_ms=700)
            for at, grant in enumerate(ended)
        ]
        request = ExchangeRequest(hand.id, hand.number, slots, QUEUES, (), finishes)
        reply: Any = self.both(lambda storage: storage.exchange(hand.shard, request))
        hand.running = hand.running[len(ended) :] + reply.grants

    @rule(verb=st.sampled_from(["cancel", "delete"]), pick=pick)
    def end_one(self, verb: str, pick: int) -> None:
        if self.ids:
            job = self.ids[pick % len(self.ids)]
            shard = self.shards_in_memory()[shard_of(job, self.shard_count)]
            if job in shard.jobs:
                self.both(lambda storage: getattr(storage, verb)(job, f"request{pick}"))

    @rule(ms=st.sampled_from([1, 50, WAIT_MS, STEP, STEP, 2 * STEP, 5 * STEP, ORPHAN_MS // 3, ORPHAN_MS]))
    def advance(self, ms: int) -> None:
        self.clock.advance(ms)

    # -- what must be alike --

    @invariant()
    def no_recurring_job_differs(self) -> None:
        self.both(lambda storage: storage.recurring(limit=ALL))
        self.both(lambda storage: storage.recurring(offset=1, limit=2))


class _NoLink:
    """There is no heartbeat here."""

    def close(self) -> None:
        """Nothing is open."""
