"""What the state machine does to a storage: its rules, and the random values that they take.

A rule's `again` stands for a reply that was lost: the call goes to Redis once more, and must be answered as
before and change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from asyncjobs.errors import StorageError, WorkerGone
from asyncjobs.ids import ALPHABET, shard_of
from asyncjobs.storage.base import (
    ExchangeReply,
    ExchangeRequest,
    Finish,
    Grant,
    HeartbeatLink,
    HeartbeatReply,
    NewJob,
    Note,
    Outcome,
    Retention,
    State,
)
from asyncjobs.storage.records import pack_error
from tests.conformance.side_by_side import INBOXES, LISTED, QUEUES, Hand, SideBySide

CLEARED = [state for state in LISTED if state is not State.PROCESSING]
LEASE_MS = 4_000
LOCKS = ("lock-1", "lock-2")
LOCK_MS = 90_000
"""Longer than a run: Redis forgets a lock by its own clock, too."""
ERROR = pack_error("ValueError", "broken", "Traceback …")


@dataclass(frozen=True)
class Ending:
    """How a rule ends one attempt."""

    outcome: Outcome
    delay_ms: int
    retention_ms: int
    result: bytes
    result_kept: bool

    def of(self, grant: Grant) -> Finish:
        """The finish of an attempt."""
        succeeded = self.outcome is Outcome.SUCCEEDED
        failed = self.outcome in (Outcome.FAILED, Outcome.RETRY, Outcome.CANCELLED)
        return Finish(
            id=grant.id,
            exchange=grant.exchange,
            outcome=self.outcome,
            result=self.result if succeeded else b"",
            delay_ms=self.delay_ms,
            error=ERROR if failed else b"",
            retention_ms=self.retention_ms,
            result_kept=self.result_kept or not succeeded,
        )


again = st.booleans()
pick = st.integers(0, 11)
queue_names = st.sampled_from(["a", "a", "a", "b", "b", "b", "c"])
queue_choices = st.sampled_from([("a", "b"), ("c", "b", "a"), ("a",), ("b",), ()])
requests = st.sampled_from([f"request{number}" for number in range(6)])
limits = st.integers(0, 4)
slots = st.integers(1, 4)
payloads = st.sampled_from([b"", b"\xff\x00", b"x" * 64, b"y" * 65, b"z" * 300, b"w" * 1_100])
retentions = st.sampled_from(
    [
        Retention(),
        Retention(max_jobs=2),
        Retention(succeeded_ms=1_000, failed_ms=5_000, cancelled_ms=50, max_jobs=3),
        Retention(succeeded_ms=0, failed_ms=0, cancelled_ms=0),
    ]
)
endings = st.builds(
    Ending,
    outcome=st.sampled_from(Outcome),
    delay_ms=st.sampled_from([0, 0, 50, 1_000]),
    retention_ms=st.sampled_from([-1, -1, 0, 200, 100_000]),
    result=payloads,
    result_kept=st.sampled_from([True, True, False]),
)
new_jobs = st.fixed_dictionaries(
    {
        "queue": queue_names,
        "payload": payloads,
        "options": st.sampled_from([b"", b"options"]),
        "priority": st.sampled_from([0, 0, 0, -2, 3, 3]),
        "delay_ms": st.sampled_from([0, 0, 0, 50, 1_000]),
        "max_recoveries": st.sampled_from([3, 0, 1, 1]),
    }
)


class StorageMachine(SideBySide):
    """The rules.

    There are few rules, each with several verbs: Hypothesis leaves out about half of a machine's rules in a
    run, and little happens where nothing is made or run.
    """

    # -- what there is to act on --

    def job(self, pick: int) -> str:
        """One of the jobs, mostly one that is still there."""
        there = sorted(job for shard in self.shards_in_memory() for job in shard.jobs)
        ids = there if there and pick % 4 else self.ids
        return ids[pick % len(ids)]

    def is_remembered(self, job: str) -> bool:
        """False of a job whose removal is forgotten: Redis does so by its own clock, which can't be moved."""
        shard = self.shards_in_memory()[shard_of(job, self.shard_count)]
        return job in shard.jobs or shard.is_stub(job)

    def hand(self, pick: int) -> Hand:
        """One of the registered workers; a new one if there is none."""
        living = [hand for hand in self.hands if hand.id in self.shards_in_memory()[hand.shard].workers]
        return living[pick % len(living)] if living else self.register(pick)

    def any_hand(self, pick: int) -> Hand:
        """One of the workers, dead ones too."""
        return self.hands[pick % len(self.hands)]

    # -- jobs --

    @initialize(values=st.lists(new_jobs, min_size=3, max_size=6), pick=pick)
    def begin(self, values: list[dict[str, Any]], pick: int) -> None:
        self.create(values, pick, False)
        self.register(pick)
        self.register(pick + 1)

    @rule(values=st.lists(new_jobs, min_size=1, max_size=5), pick=pick, again=again)
    def create(self, values: list[dict[str, Any]], pick: int, again: bool) -> None:
        new = [NewJob(id=self.new_id(pick + at), name="job", **each) for at, each in enumerate(values)]
        self.both(lambda storage: storage.create(new))
        if again:
            self.create_again([job.id for job in new])

    def new_id(self, shard: int) -> str:
        # Scattered, so that the order of ids isn't that of their creation.
        serial = len(self.ids) * 7919 % 10_007
        self.ids.append(f"{serial:019}{ALPHABET[shard % self.shard_count]}")
        return self.ids[-1]

    def create_again(self, ids: Sequence[str]) -> None:
        self.both(lambda storage: storage.create([NewJob(id=job, name="other", queue="b") for job in ids]))

    @rule(
        verb=st.sampled_from(["cancel", "requeue", "promote", "delete"]),
        pick=pick,
        request=requests,
        again=again,
    )
    def act_by_hand(self, verb: str, pick: int, request: str, again: bool) -> None:
        job = self.job(pick)
        if verb != "delete" or self.is_remembered(job):
            self.both(lambda storage: getattr(storage, verb)(job, request), again=again)

    @rule(verb=st.sampled_from(["cancel", "requeue"]), picks=st.lists(pick, max_size=4), request=requests)
    def act_on_several(self, verb: str, picks: list[int], request: str) -> None:
        for each in picks:
            self.act_by_hand(verb, each, request, False)

    @rule(pick=pick, inbox=st.sampled_from(INBOXES), create=st.booleans(), again=again)
    def watch_or_create_once_more(self, pick: int, inbox: str, create: bool, again: bool) -> None:
        job = self.job(pick)
        if not create:
            self.both(lambda storage: storage.watch(job, inbox), again=again)
        elif self.is_remembered(job):
            self.create_again([job])

    @rule(pick=pick, queues=queue_choices, inbox=st.sampled_from(INBOXES))
    def collect(self, pick: int, queues: Sequence[str], inbox: str) -> None:
        # What there is to be collected is compared after each step; waiting for nothing would take long.
        number = pick % self.shard_count
        shard = self.shards_in_memory()[number]
        if any(shard.queues[queue].marker for queue in queues if queue in shard.queues):
            self.both(lambda storage: storage.wait_for_work(number, queues, 1))
        if inbox in shard.inboxes:
            self.both(lambda storage: storage.receive(number, inbox, 1))

    # -- workers --

    def register(self, pick: int) -> Hand:
        number = pick % self.shard_count
        worker = f"worker-{len(self.hands)}"
        links = (
            self.memory.heartbeat_link(number, worker, LEASE_MS),
            self.redis.heartbeat_link(number, worker, LEASE_MS),
        )
        hand = Hand(worker, number, links)
        self.hands.append(hand)
        self.both(
            lambda storage: storage.register(number, worker, {"pid": 1}, LEASE_MS), again=bool(pick % 2)
        )
        return hand

    @rule(pick=pick, slots=slots, queues=queue_choices, again=again)
    def take(self, pick: int, slots: int, queues: Sequence[str], again: bool) -> None:
        self.exchange(self.hand(pick), slots, queues or QUEUES, queues, [], Retention(), again)

    @rule(pick=pick, ends=st.lists(endings, min_size=1, max_size=4), retention=retentions, again=again)
    def hand_in(self, pick: int, ends: list[Ending], retention: Retention, again: bool) -> None:
        busy = [hand for hand in self.hands if hand.running]
        hand = busy[pick % len(busy)] if busy else self.hand(pick)
        finishes = [ending.of(grant) for ending, grant in zip(ends, hand.running, strict=False)]
        self.exchange(hand, 0, QUEUES, (), finishes, retention, again)

    @rule(
        pick=pick,
        slots=limits,
        queues=queue_choices,
        popped=queue_choices,
        ends=st.lists(endings, max_size=3),
        stale=st.booleans(),
        retention=retentions,
        again=again,
    )
    def exchange_anything(
        self,
        pick: int,
        slots: int,
        queues: Sequence[str],
        popped: Sequence[str],
        ends: list[Ending],
        stale: bool,
        retention: Retention,
        again: bool,
    ) -> None:
        hand = self.any_hand(pick)
        attempts = self.stale[::-1] if stale else hand.running
        finishes = [ending.of(attempt) for ending, attempt in zip(ends, attempts, strict=False)]
        self.exchange(hand, slots, queues, popped, finishes, retention, again)

    def exchange(
        self,
        hand: Hand,
        slots: int,
        queues: Sequence[str],
        popped: Sequence[str],
        finishes: Sequence[Finish],
        retention: Retention,
        again: bool,
    ) -> None:
        hand.number += 1
        request = ExchangeRequest(hand.id, hand.number, slots, queues, popped, finishes, retention)
        reply = self.both(
            lambda storage: storage.exchange(hand.shard, request),
            again=again,
            comparable=_without_follow_ups,
        )
        if isinstance(reply, ExchangeReply):
            done = [grant for grant in hand.running if grant.id in [finish.id for finish in finishes]]
            hand.running = [grant for grant in hand.running if grant not in done] + reply.grants
            self.stale += done
        else:
            assert reply is WorkerGone
            self.stale += hand.running
            hand.running = []

    @rule(pick=pick, slots=limits, queues=queue_choices, back=st.sampled_from([0, 0, 1, 2]))
    def exchange_again_later(self, pick: int, slots: int, queues: Sequence[str], back: int) -> None:
        hand = self.any_hand(pick)
        if hand.number > back:
            request = ExchangeRequest(hand.id, hand.number - back, slots, queues, queues)
            self.both(lambda storage: storage.exchange(hand.shard, request), comparable=_without_follow_ups)

    @rule(pick=pick, at_once=st.booleans(), again=again)
    def die(self, pick: int, at_once: bool, again: bool) -> None:
        """A worker dies, while others live; it is reaped, and a new one comes in its place."""
        hand = self.hand(pick)
        if not at_once:
            for _ in range(4):
                self.clock.advance(LEASE_MS // 4)
                for other in self.hands:
                    if other is not hand:
                        self.beat(other, 0, None, False)
        for _ in range(1 + again):
            self.both(lambda storage: storage.reap(hand.shard, hand.id if at_once else None))
        self.register(pick)

    @rule(pick=pick)
    def reap(self, pick: int) -> None:
        self.both(lambda storage: storage.reap(pick % self.shard_count))

    @rule(
        verb=st.sampled_from(["beat", "beat", "command", "register", "unregister"]),
        pick=pick,
        off=st.sampled_from([0, 0, 1]),
        info=st.sampled_from([None, {"pid": 3}]),
        again=again,
    )
    def manage_a_worker(
        self, verb: str, pick: int, off: int, info: dict[str, object] | None, again: bool
    ) -> None:
        hand = self.any_hand(pick)
        entry = self.shards_in_memory()[hand.shard].workers.get(hand.id)
        if verb == "beat":
            self.beat(hand, off, info, again)
        elif verb == "command":
            self.both(lambda storage: storage.command(hand.id, "quiet" if off else "stop"), again=again)
        elif verb == "unregister":
            self.both(lambda storage: storage.unregister(hand.shard, hand.id), again=again)
        elif entry and not entry.reaping:
            self.both(
                lambda storage: storage.register(hand.shard, hand.id, {"pid": 2}, LEASE_MS), again=again
            )

    def beat(self, hand: Hand, off: int, info: dict[str, object] | None, again: bool) -> None:
        held = len(hand.running) + off

        def reply_of(link: HeartbeatLink) -> HeartbeatReply | type[StorageError]:
            try:
                reply = link.beat(held, info)
            except WorkerGone:
                return WorkerGone
            leases = None if reply.held is None else sorted(reply.held)
            return replace(reply, cancelled=sorted(reply.cancelled), held=leases)

        expected = reply_of(hand.links[0])
        for _ in range(1 + again):
            assert reply_of(hand.links[1]) == expected

    @rule(
        pick=pick,
        progress=st.sampled_from([None, 0.25, 1.0]),
        lines=st.lists(st.text(max_size=5), max_size=2),
    )
    def annotate(self, pick: int, progress: float | None, lines: list[str]) -> None:
        hand = self.any_hand(pick)
        grants = [*hand.running, *self.stale[-2:]]
        notes = [Note(grant.id, grant.exchange, progress, "message", lines) for grant in grants]
        self.both(lambda storage: storage.annotate(hand.id, notes))

    # -- locks --

    @rule(
        verb=st.sampled_from(["acquire", "acquire", "wait", "renew", "raise", "release", "withdraw"]),
        name=st.sampled_from(LOCKS),
        token=st.sampled_from(["token-1", "token-2", "token-3"]),
        inbox=st.sampled_from(INBOXES),
        again=again,
    )
    def lock(self, verb: str, name: str, token: str, inbox: str, again: bool) -> None:
        match verb:
            case "acquire":
                self.both(lambda storage: storage.acquire_lock(name, token, LOCK_MS), again=again)
            case "wait":
                self.both(lambda storage: storage.acquire_lock(name, token, LOCK_MS, inbox), again=again)
            case "renew":
                self.both(lambda storage: storage.renew_lock(name, token, LOCK_MS), again=again)
            case "raise":
                floor = self.clock() + 5_000
                self.both(lambda storage: storage.renew_lock(name, token, LOCK_MS, floor), again=again)
            case "release":
                self.both(lambda storage: storage.release_lock(name, token))
            case _:
                self.both(lambda storage: storage.release_lock(name, token, inbox))
        self.both(lambda storage: storage.get_lock(name))
        self.both(lambda storage: storage.locks())
        self.both(lambda storage: storage.locks(offset=1, limit=1))

    # -- queues, lists and time --

    @rule(verb=st.sampled_from(["pause", "resume", "resume"]), queue=queue_names, again=again)
    def pause_or_resume(self, verb: str, queue: str, again: bool) -> None:
        self.both(lambda storage: getattr(storage, verb)(queue), again=again)

    @rule(
        pick=pick,
        queue=queue_names,
        state=st.sampled_from([None, *CLEARED]),
        retention=retentions,
        limit=limits,
    )
    def tidy(self, pick: int, queue: str, state: State | None, retention: Retention, limit: int) -> None:
        """Purge a queue, clear a list, or trim."""
        number = pick % self.shard_count
        if pick % 2:
            more = self.outcome(self.memory, lambda storage: storage.trim(number, retention, limit))
            # That the bound was reached may be told as "more", whether or not there is.
            assert (
                self.outcome(self.redis, lambda storage: storage.trim(number, retention, limit)) or not more
            )
        elif state is None:
            self.both(lambda storage: storage.purge(number, queue, limit))
        else:
            self.both(lambda storage: storage.clear(number, state, limit))

    @rule(ms=st.sampled_from([1, 1, 50, 500, 1_000, LEASE_MS // 2, LEASE_MS, 100_000]))
    def advance(self, ms: int) -> None:
        self.clock.advance(ms)

    @rule(state=st.sampled_from(LISTED), offset=limits, limit=limits, newest_first=st.booleans())
    def read_a_page(self, state: State, offset: int, limit: int, newest_first: bool) -> None:
        self.both(lambda storage: storage.jobs(state, offset=offset, limit=limit, newest_first=newest_first))


def _without_follow_ups(reply: ExchangeReply) -> ExchangeReply:
    """Whether there are any is the same for both; which of two exchanges tells of them need not be."""
    return replace(reply, follow_ups=False)
