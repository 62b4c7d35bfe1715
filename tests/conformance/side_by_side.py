"""The storage in memory and the one on Redis, side by side: the same calls to both, and all compared.

Both go by one clock, which stands still between steps. After each step everything that can be observed must
be the same in both: replies and errors, all lists with their records in order, queues, workers, numbers,
markers and inboxes; at the end of a run, histories and logs of all jobs too.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pprint import pformat
from typing import Any, ClassVar, TypeVar

import redis
from hypothesis.stateful import RuleBasedStateMachine, invariant

from asyncjobs.errors import StorageError
from asyncjobs.ids import shard_of
from asyncjobs.storage.base import Grant, HeartbeatLink, HistoryEntry, JobRecord, Page, State, Storage
from asyncjobs.storage.conformance import MovableClock
from asyncjobs.storage.memory import MemoryStorage
from asyncjobs.storage.memory.shard import Shard
from asyncjobs.storage.redis import RedisStorage
from asyncjobs.storage.redis.keys import Keys, hash_tag

T = TypeVar("T")

QUEUES = ("a", "b", "c")
INBOXES = ("inbox-1", "inbox-2")
LISTED = (
    *(State.AWAITING, State.SCHEDULED, State.RETRYING, State.PROCESSING),
    *(State.SUCCEEDED, State.FAILED, State.CANCELLED),
)
ALL = 10_000

_namespaces = itertools.count()


@dataclass
class Hand:
    """A worker that was registered on a shard, as its own process knows it."""

    id: str
    shard: int
    links: tuple[HeartbeatLink, HeartbeatLink]
    number: int = 0
    running: list[Grant] = field(default_factory=list[Grant])


class SideBySide(RuleBasedStateMachine):
    """Both storages. `url` and `shard_count` are set by the test."""

    url: ClassVar[str]
    shard_count: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = MovableClock()
        namespace = f"machine{next(_namespaces)}"
        self.memory = MemoryStorage(self.shard_count, self.clock)
        self.redis = RedisStorage(self.url, namespace=namespace, shards=self.shard_count, clock=self.clock)
        self.server: Any = redis.Redis.from_url(self.url)  # pyright: ignore[reportUnknownMemberType]
        self.keys = [Keys(hash_tag(namespace, shard, self.shard_count)) for shard in range(self.shard_count)]
        self.ids: list[str] = []
        self.batch_ids: list[str] = []
        self.hands: list[Hand] = []
        self.stale: list[Grant] = []
        """Attempts that have ended, or whose worker lost its leases; they may be handed in late."""
        for shard in self.redis._shards:  # pyright: ignore[reportPrivateUsage]
            # The client would do so by itself, at any time; here, that is for the rules to say.
            shard.follow_up = lambda carry_on: None
        self.both(lambda storage: storage.open())

    def shards_in_memory(self) -> list[Shard]:
        return self.memory._shards  # pyright: ignore[reportPrivateUsage]

    def outcome(self, storage: Storage, call: Callable[[Storage], Awaitable[T]]) -> T | type[StorageError]:
        async def run() -> T | type[StorageError]:
            try:
                return await call(storage)
            except StorageError as error:
                return type(error)

        return self.loop.run_until_complete(run())

    def both(
        self,
        call: Callable[[Storage], Awaitable[T]],
        *,
        again: bool = False,
        comparable: Callable[[T], Any] = lambda reply: reply,
    ) -> T | type[StorageError]:
        """Make a call on both, and where `again` says so once more on Redis; what they answered alike."""
        expected = self.outcome(self.memory, call)
        for _ in range(1 + again):
            answer = self.outcome(self.redis, call)
            if isinstance(expected, type) or isinstance(answer, type):
                assert answer == expected
            else:
                ours, theirs = comparable(answer), comparable(expected)
                assert ours == theirs, f"on Redis:\n{pformat(ours)}\nin memory:\n{pformat(theirs)}"
        return expected

    # -- what must be alike --

    @invariant()
    def nothing_differs(self) -> None:
        for state in LISTED:
            self.both(lambda storage, state=state: storage.jobs(state, limit=ALL))
        for queue in QUEUES:
            self.both(
                lambda storage, queue=queue: storage.jobs(State.ENQUEUED, queue=queue, limit=ALL),
                comparable=self.shard_by_shard,
            )
        self.both(lambda storage: storage.workers())
        self.both(lambda storage: storage.stats())
        self.both(lambda storage: storage.batches(limit=ALL))
        for batch in self.batch_ids:
            self.both(lambda storage, batch=batch: storage.get_batch(batch))
            self.both(lambda storage, batch=batch: storage.members(batch, limit=ALL))
        assert self.markers_and_inboxes_on_redis() == self.markers_and_inboxes_in_memory()

    def shard_by_shard(self, page: Page) -> tuple[int, list[list[JobRecord]]]:
        """A queue's order holds on each shard; across shards none is promised."""
        return page.total, [
            [job for job in page.jobs if shard_of(job.id, self.shard_count) == shard]
            for shard in range(self.shard_count)
        ]

    def markers_and_inboxes_on_redis(self) -> list[object]:
        asked = self.server.pipeline(transaction=False)
        for keys in self.keys:
            for queue in QUEUES:
                asked.exists(keys.wake(queue))
            for inbox in INBOXES:
                asked.lrange(keys.inbox(inbox), 0, -1)
        replies: list[Any] = asked.execute()
        return [_text(reply) for reply in replies]

    def markers_and_inboxes_in_memory(self) -> list[object]:
        expected: list[object] = []
        for shard in self.shards_in_memory():
            expected += [queue in shard.queues and shard.queues[queue].marker for queue in QUEUES]
            expected += [shard.inboxes.get(inbox, []) for inbox in INBOXES]
        return expected

    def teardown(self) -> None:
        try:
            for job in self.ids:
                self.both(lambda storage, job=job: storage.get(job))
                self.both(lambda storage, job=job: storage.logs(job))
                self.both(lambda storage, job=job: storage.history(job), comparable=_without_wording)
        finally:
            for hand in self.hands:
                for link in hand.links:
                    link.close()
            self.server.close()
            self.loop.run_until_complete(self.redis.close())
            self.loop.close()


def _text(reply: Any) -> object:
    return [item.decode() for item in reply] if isinstance(reply, list) else bool(reply)  # pyright: ignore


def _without_wording(history: list[HistoryEntry]) -> list[HistoryEntry]:
    """How a storage words that a worker died is its own affair."""
    return [
        replace(entry, error_message="") if entry.error_type == "WorkerDied" else entry for entry in history
    ]
