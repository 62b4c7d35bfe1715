"""The storage on Redis or Valkey: each verb of the contract as one script."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from asyncjobs.clock import Clock
from asyncjobs.errors import OptionError, SchemaMismatch, StorageError
from asyncjobs.ids import MAX_SHARDS, shard_of
from asyncjobs.storage.base import (
    LOG_LIMIT,
    Cancelled,
    Conflict,
    Created,
    Deleted,
    ExchangeReply,
    ExchangeRequest,
    HistoryEntry,
    JobRecord,
    LogLine,
    Moved,
    NewJob,
    Note,
    ReapReply,
    Requeued,
    Retention,
    State,
)
from asyncjobs.storage.redis import replies, scripts
from asyncjobs.storage.redis.batches import RedisBatches
from asyncjobs.storage.redis.connection import EncodableArg
from asyncjobs.storage.redis.group import Done, GroupCommit
from asyncjobs.storage.redis.heartbeat import RedisHeartbeatLink
from asyncjobs.storage.redis.keys import SCHEMA_VERSION, STATES
from asyncjobs.storage.redis.limits import RedisLimits
from asyncjobs.storage.redis.locks import RedisLocks
from asyncjobs.storage.redis.mending import RedisMending
from asyncjobs.storage.redis.pools import make_pools
from asyncjobs.storage.redis.reading import RedisReading
from asyncjobs.storage.redis.recurrences import RedisRecurrences
from asyncjobs.storage.redis.requests import add_finish, add_job, in_waves
from asyncjobs.storage.redis.shard import Shard

GROUP_JOBS = 500
"""Jobs that one create script makes at most, so that none blocks Redis for long."""
NOTE_VALUES = 2000
"""Lines of jobs' logs, and what belongs to them, after which a script is sent with them."""
GROUP_BYTES = 1 << 20
"""Bytes of arguments that one create script is sent at most (one larger job goes alone)."""
SHORTEST_WAIT = 0.01
"""Seconds. To a blocking command a time-out of 0 means for ever, and Redis 6.2 rounds 1 ms down to it."""


class RedisStorage(RedisReading, RedisBatches, RedisRecurrences, RedisLimits, RedisLocks, RedisMending):
    """A namespace in Redis.

    `shards`: over how many hash tags it is spread (more than 1 only for Redis Cluster). `clock`: a test's own
    time; None leaves the time to Redis. `patience`: seconds for which a request is sent again while Redis
    can't be reached, before `StorageUnavailable` is raised. `replicas`: how many of the master's replicas
    must have a new job before its creation is answered.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "asyncjobs",
        shards: int = 1,
        clock: Clock | None = None,
        patience: float = 10.0,
        replicas: int = 0,
    ) -> None:
        if not 1 <= shards <= MAX_SHARDS:
            raise OptionError(f"shards must be from 1 to {MAX_SHARDS}, not {shards}")
        if not namespace or any(mark in namespace for mark in "{}:* \n"):
            raise OptionError(
                f"namespace {namespace!r} must not be empty or contain braces, colons, stars or spaces"
            )
        self.url = url
        self.namespace = namespace
        self._shard_count = shards
        self._replicas = replicas
        self._patience = patience
        self._pools = make_pools(url)
        self._shards = [
            Shard(self._pools, namespace, number, shards, clock, patience) for number in range(shards)
        ]
        self._creates = [self._group(shard) for shard in self._shards]
        self._opened = False

    @property
    def shards(self) -> int:
        """See `Storage.shards`."""
        return self._shard_count

    async def open(self) -> None:
        """See `Storage.open`."""
        if self._opened:
            return
        for shard in self._shards:
            version = await shard.run(scripts.OPEN, shard.now())
            if version != SCHEMA_VERSION:
                raise SchemaMismatch(
                    f"namespace {self.namespace!r} holds data of schema {version}, and this asyncjobs works"
                    f" with {SCHEMA_VERSION}: use the version that wrote it, or another namespace"
                )
        self._opened = True

    async def close(self) -> None:
        """See `Storage.close`."""
        self._opened = False
        for group in self._creates:
            await group.close()
        for shard in self._shards:
            await shard.settle()
            await shard.close()
        await self._pools.close()

    def _of(self, job_id: str) -> Shard:
        return self._shards[shard_of(job_id, self._shard_count)]

    # -- jobs --

    def _group(self, shard: Shard) -> GroupCommit[NewJob, Created | Conflict | None]:
        def depart(jobs: list[NewJob], done: Done[Created | Conflict | None]) -> None:
            args: list[EncodableArg] = [shard.now()]
            for job in jobs:
                add_job(args, job, self._shard_count)

            def on_reply(reply: Any) -> None:
                if isinstance(reply, Exception):
                    done(reply)
                    return
                codes, *holders = reply.split(b" ")
                if codes.endswith(b"+"):
                    shard.follow_up(self.carry_on)
                created = [_CREATED[code] for code in codes.removesuffix(b"+")]
                done(_with_holders(created, holders) if holders else created)

            shard.start(scripts.CREATE, args, on_reply, self._replicas)

        return GroupCommit(
            depart,
            _weight,
            max_items=GROUP_JOBS,
            max_bytes=GROUP_BYTES,
            patience=self._patience,
        )

    async def create(self, jobs: Sequence[NewJob]) -> list[Created | Conflict]:
        """See `Storage.create`."""
        if not jobs:
            return []
        if self._shard_count == 1:
            codes = await self._creates[0].add(jobs)
        else:
            by_place: dict[int, Created | Conflict | None] = {}
            for parts in in_waves(jobs, self._shard_count):
                futures = [
                    self._creates[shard].add([jobs[at] for at in places]) for shard, places in parts.items()
                ]
                for places, results in zip(parts.values(), await asyncio.gather(*futures), strict=True):
                    by_place.update(zip(places, results, strict=True))
            codes = [by_place[at] for at in range(len(jobs))]
        refused = [job.queue for job, code in zip(jobs, codes, strict=True) if code is None]
        if refused:
            raise StorageError(
                f"queue {refused[0]!r} can't take jobs: its key in Redis holds something else; delete it"
            )
        return [code for code in codes if code is not None]

    async def cancel(self, job_id: str, request_id: str) -> Cancelled:
        """See `Storage.cancel`."""
        shard = self._of(job_id)
        return Cancelled(await shard.run(scripts.CANCEL, shard.now(), job_id, request_id))

    async def requeue(self, job_id: str, request_id: str) -> Requeued:
        """See `Storage.requeue`."""
        shard = self._of(job_id)
        return Requeued(await shard.run(scripts.REQUEUE, shard.now(), job_id, request_id))

    async def promote(self, job_id: str, request_id: str) -> Requeued:
        """See `Storage.promote`."""
        shard = self._of(job_id)
        return Requeued(await shard.run(scripts.PROMOTE, shard.now(), job_id, request_id))

    async def move(self, job_id: str, queue: str) -> Moved:
        """See `Storage.move`."""
        shard = self._of(job_id)
        return Moved(await shard.run(scripts.MOVE, shard.now(), job_id, queue))

    async def delete(self, job_id: str, request_id: str = "") -> Deleted:
        """See `Storage.delete`."""
        shard = self._of(job_id)
        return Deleted(await shard.run(scripts.DELETE, shard.now(), job_id, request_id))

    async def get(self, job_id: str) -> JobRecord | None:
        """See `Storage.get`."""
        return replies.found_record(job_id, await self._of(job_id).run(scripts.GET, job_id))

    async def history(self, job_id: str) -> list[HistoryEntry]:
        """See `Storage.history`."""
        shard = self._of(job_id)
        lines = await shard.persist(("LRANGE", shard.keys.key("history", job_id), 0, -1))
        return [replies.history_entry(line) for line in lines]

    async def logs(self, job_id: str) -> list[LogLine]:
        """See `Storage.logs`."""
        shard = self._of(job_id)
        lines = await shard.persist(("LRANGE", shard.keys.key("log", job_id), 0, -1))
        return [replies.log_line(line) for line in lines]

    async def annotate(self, worker: str, notes: Sequence[Note]) -> None:
        """See `Storage.annotate`."""
        parts: dict[int, list[EncodableArg]] = {}
        for note in notes:
            number = shard_of(note.id, self._shard_count)
            part = parts.setdefault(number, [])
            lines = note.lines[-LOG_LIMIT:]
            progress = "" if note.progress is None else repr(note.progress)
            part += (note.id, note.exchange, progress, note.message, len(lines), *lines)
            if len(part) > NOTE_VALUES:
                await self._annotate(number, worker, parts.pop(number))
        for number, part in parts.items():
            await self._annotate(number, worker, part)

    async def _annotate(self, shard: int, worker: str, values: list[EncodableArg]) -> None:
        part = self._shards[shard]
        await part.run(scripts.ANNOTATE, part.now(), worker, *values)

    # -- waiting for a job's end --

    async def watch(self, job_id: str, inbox: str) -> JobRecord | None:
        """See `Storage.watch`."""
        return replies.found_record(job_id, await self._of(job_id).run(scripts.WATCH, job_id, inbox))

    async def receive(self, shard: int, inbox: str, timeout: float) -> list[str]:
        """See `Storage.receive`."""
        part = self._shards[shard]
        key = part.keys.inbox(inbox)
        # In this order, so that what is waited for is told without another round trip.
        there: list[bytes] = await part.persist(("LPOP", key, 1000)) or []
        if not there and timeout > 0:
            first = await part.persist(("BLPOP", key, max(timeout, SHORTEST_WAIT)), wait=timeout)
            there = [] if first is None else [first[1]]
        return [job.decode() for job in there]

    # -- running jobs --

    async def register(self, shard: int, worker: str, info: dict[str, object], lease_ms: int) -> int:
        """See `Storage.register`."""
        part = self._shards[shard]
        now: int = await part.run(scripts.REGISTER, part.now(), worker, replies.pack_info(info), lease_ms)
        return now

    async def unregister(self, shard: int, worker: str) -> bool:
        """See `Storage.unregister`."""
        part = self._shards[shard]
        return bool(await part.run(scripts.UNREGISTER, part.now(), worker))

    def heartbeat_link(self, shard: int, worker: str, lease_ms: int) -> RedisHeartbeatLink:
        """See `Storage.heartbeat_link`."""
        return RedisHeartbeatLink(self._pools, self._shards[shard], worker)

    async def exchange(self, shard: int, request: ExchangeRequest) -> ExchangeReply:
        """See `Storage.exchange`."""
        part = self._shards[shard]
        kept = request.retention
        args: list[EncodableArg] = [
            *(part.now(), request.worker, request.number, request.slots),
            *(" ".join(request.queues), " ".join(request.popped)),
            *(kept.succeeded_ms, kept.failed_ms, kept.cancelled_ms, kept.max_jobs),
        ]
        for finish in request.finishes:
            add_finish(args, finish)
        reply = await part.run(scripts.EXCHANGE, *args)
        return replies.exchange_reply(reply, request.number)

    async def wait_for_work(self, shard: int, queues: Sequence[str], timeout: float) -> str | None:
        """See `Storage.wait_for_work`."""
        part = self._shards[shard]
        markers = [part.keys.wake(queue) for queue in queues]
        popped = await part.persist(
            ("BZPOPMIN", *markers, max(timeout, SHORTEST_WAIT)), wait=timeout, patience=0
        )
        return None if popped is None else queues[markers.index(popped[0].decode())]

    async def reap(self, shard: int, worker: str | None = None, *, limit: int = 100) -> ReapReply:
        """See `Storage.reap`."""
        part = self._shards[shard]
        reply = await part.run(scripts.REAP, part.now(), worker or "", limit)
        recovered, failed, cancelled = (ids.decode().split() for ids in reply[1:])
        return ReapReply(recovered, failed, cancelled, bool(reply[0]))

    async def command(self, worker: str, command: str) -> bool:
        """See `Storage.command`."""
        told = [await shard.run(scripts.COMMAND, worker, command) for shard in self._shards]
        return any(told)

    # -- queues and lists --

    async def pause(self, queue: str) -> None:
        """See `Storage.pause`."""
        for shard in self._shards:
            await shard.run(scripts.PAUSE, queue, "1")

    async def resume(self, queue: str) -> None:
        """See `Storage.resume`."""
        for shard in self._shards:
            await shard.run(scripts.PAUSE, queue, "0")

    async def purge(self, shard: int, queue: str, limit: int) -> tuple[int, bool]:
        """See `Storage.purge`."""
        part = self._shards[shard]
        deleted, more = await part.run(scripts.PURGE, part.now(), queue, limit)
        return deleted, bool(more)

    async def clear(self, shard: int, state: State, limit: int) -> tuple[int, bool]:
        """See `Storage.clear`."""
        if state not in _LISTED:
            raise OptionError(
                f"jobs that are {state} can't be cleared; choose one of {', '.join(sorted(_LISTED))}"
            )
        part = self._shards[shard]
        deleted, more = await part.run(scripts.CLEAR, part.now(), STATES[state], limit)
        return deleted, bool(more)

    async def trim(self, shard: int, retention: Retention, limit: int) -> bool:
        """See `Storage.trim`."""
        part = self._shards[shard]
        kept = (retention.succeeded_ms, retention.failed_ms, retention.cancelled_ms, retention.max_jobs)
        return bool(await part.run(scripts.TRIM, part.now(), limit, *kept))


def _weight(job: NewJob) -> int:
    """How much of a group one job takes: its bytes, and what else costs Redis as much time as they do."""
    weight = len(job.payload) + 100
    if job.batch or job.delay_ms or job.due_ms:
        weight += GROUP_BYTES // 250
    return weight + len(job.parents) * GROUP_BYTES // 1000


def _with_holders(created: Sequence[Created | None], holders: list[bytes]) -> list[Created | Conflict | None]:
    left = iter(holders)
    return [Conflict(next(left).decode()) if code is Created.CONFLICT else code for code in created]


_CREATED: dict[int, Created | None] = {ord(str(code.value)): code for code in Created} | {ord("!"): None}
_LISTED = frozenset(
    {
        *(State.AWAITING, State.SCHEDULED, State.THROTTLED, State.RETRYING),
        *(State.SUCCEEDED, State.FAILED, State.CANCELLED),
    }
)
