"""Lists, queues, workers and numbers: what is read of all shards, and put together."""

from __future__ import annotations

import asyncio

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

NEAR = 500
"""How far into lists that span shards all before a page is read with it; further on, its place is sought."""


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
        shards = self._shards[::-1] if newest_first else self._shards
        if state is State.ENQUEUED:
            return await self._enqueued(shards, queue, offset, limit, newest_first)
        starts, skip = [offset], 0
        if len(self._shards) > 1 and offset > NEAR and state is not State.PROCESSING:
            starts = await self._starts(shards, state, offset, newest_first)
        elif len(self._shards) > 1:
            starts, skip = [0] * len(self._shards), offset
        shares = [
            await shard.run(scripts.JOBS, STATES[state], "", start, skip + limit, int(newest_first))
            for shard, start in zip(shards, starts, strict=True)
        ]
        entered = replies.entered(shares) if state in (State.AWAITING, State.THROTTLED) else {}
        page = merge_pages([replies.page(share) for share in shares], state, newest_first, entered)
        return Page(page.jobs[skip : skip + limit], page.total)

    async def _enqueued(
        self, shards: list[Shard], queue: str | None, offset: int, limit: int, newest_first: bool
    ) -> Page:
        """Queue by queue, each shard by shard, so that none is read that is only passed over."""
        told = (STATES[State.ENQUEUED], int(newest_first))
        lists: list[tuple[str, Shard, int | None]] = []
        for shard in shards:
            if queue is not None:
                lists.append((queue, shard, None))
                continue
            known = replies.queue_records(await shard.run(scripts.QUEUES))
            lists += [(record.name, shard, record.length) for record in known]
        lists.sort(key=lambda each: each[0], reverse=newest_first)
        page = Page([], 0)
        for name, shard, length in lists:
            if length is not None and (len(page.jobs) == limit or page.total + length <= offset):
                page.total += length
                continue
            span = (max(0, offset - page.total), limit - len(page.jobs))
            share = replies.page(await shard.run(scripts.JOBS, told[0], name, *span, told[1]))
            page.jobs += share.jobs
            page.total += share.total
        return page

    async def _starts(self, shards: list[Shard], state: State, offset: int, newest_first: bool) -> list[int]:
        """Where in each shard's list to begin for the jobs from `offset` on.

        The score at that place is found by halving; of jobs that have the same one, those of a shard come
        before those of the next.
        """

        async def look(score: int) -> list[tuple[int, int, float, float]]:
            asked = STATES[state], score, int(newest_first)
            told = await asyncio.gather(*(shard.run(scripts.PLACES, *asked) for shard in shards))
            return [(row[0], row[1], float(row[2] or "inf"), float(row[3] or "-inf")) for row in told]

        rows = await look(0)
        low, high = min(row[2] for row in rows), max(row[3] for row in rows)
        if low > high:
            return [0] * len(rows)
        # The last score (in the order of the list) before which there are no more than `offset` jobs.
        near, far = (int(high), int(low) - 1) if newest_first else (int(low), int(high) + 1)
        while abs(far - near) > 1:
            middle = (near + far) // 2
            if sum(row[0] for row in await look(middle)) <= offset:
                near = middle
            else:
                far = middle
        rows = await look(near)
        starts, left = [row[0] for row in rows], offset - sum(row[0] for row in rows)
        for at, row in enumerate(rows):
            passed = min(left, row[1])
            starts[at] += passed
            left -= passed
        return starts

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
