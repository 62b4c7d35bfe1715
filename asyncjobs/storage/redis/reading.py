"""Lists, queues, workers and numbers: what is read of all shards, and put together."""

from __future__ import annotations

from asyncjobs.storage.base import Bucket, Page, QueueRecord, ServerRecord, State, Stats, WorkerRecord
from asyncjobs.storage.redis import replies, scripts
from asyncjobs.storage.redis.gather import merge_pages, merge_queues, merge_workers
from asyncjobs.storage.redis.keys import STATES
from asyncjobs.storage.redis.shard import Shard

_COUNTED = (
    *(State.ENQUEUED, State.PROCESSING, State.SCHEDULED, State.RETRYING),
    *(State.SUCCEEDED, State.FAILED, State.CANCELLED, State.AWAITING, State.THROTTLED),
)
_TOTALS = ("succeeded", "failed", "cancelled", "retried", "recovered", "trimmed")


class RedisReading:
    """The part of `RedisStorage` that only reads."""

    _shards: list[Shard]

    async def jobs(
        self,
        state: State,
        *,
        queue: str | None = None,
        offset: int = 0,
        limit: int = 50,
        newest_first: bool = False,
    ) -> Page:
        """See `Storage.jobs`."""
        if state is State.ENQUEUED and queue is None:
            queues = [record.name for record in await self.queues()]
            if newest_first:
                queues.reverse()
        else:
            queues = [queue or ""]
        pages: list[Page] = []
        merged = len(self._shards) > 1 or len(queues) > 1
        for name in queues:
            span = (0, offset + limit) if merged else (offset, limit)
            shares = [
                await shard.run(scripts.JOBS, STATES[state], name, *span, int(newest_first))
                for shard in self._shards
            ]
            entered = replies.entered(shares) if state in (State.AWAITING, State.THROTTLED) else {}
            pages.append(merge_pages([replies.page(share) for share in shares], state, newest_first, entered))
        jobs = [job for page in pages for job in page.jobs]
        if merged:
            jobs = jobs[offset:]
        return Page(jobs[:limit], sum(page.total for page in pages))

    async def held(self, worker: str, *, limit: int = 50) -> Page:
        """See `Storage.held`."""
        shares = [replies.page(await shard.run(scripts.HELD, worker, limit)) for shard in self._shards]
        jobs = sorted((job for share in shares for job in share.jobs), key=lambda job: job.id)
        return Page(jobs[:limit], sum(share.total for share in shares))

    async def queues(self) -> list[QueueRecord]:
        """See `Storage.queues`."""
        return merge_queues(
            [replies.queue_records(await shard.run(scripts.QUEUES)) for shard in self._shards]
        )

    async def workers(self) -> list[WorkerRecord]:
        """See `Storage.workers`."""
        return merge_workers(
            [replies.worker_records(await shard.run(scripts.WORKERS)) for shard in self._shards]
        )

    async def throughput(self, unit_ms: int, count: int) -> list[Bucket]:
        """See `QueueStorage.throughput`."""
        buckets: dict[int, Bucket] = {}
        for shard in self._shards:
            last, *rows = await shard.run(scripts.THROUGHPUT, shard.now(), unit_ms, count)
            for number, flat in enumerate(rows, last - count + 1):
                totals = buckets.setdefault(number, Bucket(number * unit_ms, {})).totals
                for name, total in zip(flat[::2], flat[1::2], strict=True):
                    totals[name.decode()] = totals.get(name.decode(), 0) + int(total)
        return [buckets[number] for number in sorted(buckets)][-count:]

    async def server(self) -> ServerRecord:
        """See `QueueStorage.server`."""
        servers: dict[str, dict[str, str]] = {}
        for shard in self._shards:
            info = _info(await shard.persist(("INFO",)))
            servers[info.get("run_id", "")] = info
        first = next(iter(servers.values()))
        kind = "Valkey" if "valkey_version" in first else "Redis"
        number = first.get("valkey_version") or first.get("redis_version", "")

        def total(field: str) -> int:
            return sum(int(info.get(field, "0")) for info in servers.values())

        return ServerRecord(
            f"{kind} {number}",
            total("used_memory"),
            total("maxmemory"),
            total("connected_clients"),
            first.get("maxmemory_policy", ""),
            tuple(sorted(servers.keys() - {""})),
        )

    async def stats(self) -> Stats:
        """See `Storage.stats`."""
        counts = dict.fromkeys(_COUNTED, 0)
        follow_ups = 0
        totals: dict[str, int] = dict.fromkeys(_TOTALS, 0)
        now = 0
        for shard in self._shards:
            reply = await shard.run(scripts.STATS, shard.now())
            now = max(now, reply[0])
            for state, count in zip(_COUNTED, reply[1:10], strict=True):
                counts[state] += count
            follow_ups += reply[10]
            flat = reply[11]
            for name, total in zip(flat[::2], flat[1::2], strict=True):
                totals[name.decode()] = totals.get(name.decode(), 0) + int(total)
        return Stats(now, counts, totals, await self.queues(), len(await self.workers()), follow_ups)


def _info(reply: bytes) -> dict[str, str]:
    """What INFO says, by field."""
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {field: value for field, colon, value in pairs if colon}
