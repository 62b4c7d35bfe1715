"""Jobs under limits, in memory: throttled where they would be enqueued, let in when there is room."""

from __future__ import annotations

from asyncjobs.ids import shard_for
from asyncjobs.storage.base import LimitRecord, LimitSetting, Numbers, State
from asyncjobs.storage.memory.entries import Job
from asyncjobs.storage.memory.limits import Limit
from asyncjobs.storage.memory.shard import Shard


def enter_queue(shard: Shard, job: Job, *, suspect: bool = False) -> bool:
    """A job that waits for nothing else: → `enqueued`, or `throttled`; whether it is the former."""
    full = shard.limits.full_for(job)
    if full is None:
        shard.enqueue(job, suspect=suspect)
    else:
        job.enqueued_ms = shard.now()
        shard.throttle(job, full, suspect=suspect)
    return full is None


def acquire(shard: Shard, job: Job, *, suspect: bool) -> bool:
    """Whether a job whose id was taken out of its queue got its limits; else → `throttled`."""
    full = shard.limits.acquire(job)
    if full is not None:
        shard.throttle(job, full, suspect=suspect)
    return full is None


def settle(shard: Shard, queues: set[str]) -> None:
    """Let jobs in that there is room for. Names of queues that have new jobs go into `queues`."""
    limits = shard.limits
    touched: dict[str, Limit] = {}
    while True:
        while changed := limits.take_touched():
            let_in: list[Job] = []
            for limit in changed:
                touched[limit.id] = limit
                _let_in(shard, limit, let_in, queues)
            for job in let_in:
                shard.queues[job.queue].plain.append(job.id)
        for limit in touched.values():
            if limits.plan_window(limit):
                queues.update(limit.waits)
        if not limits.renumbered:
            limits.forget_idle(touched.values())
            return
        name = limits.renumbered.pop(0)
        for limit_id in sorted(limits.by_id):
            if limits.by_id[limit_id].name == name:
                limits.touch(limits.get(limit_id))


def _let_in(shard: Shard, limit: Limit, let_in: list[Job], queues: set[str]) -> None:
    limits = shard.limits
    for queue in limit.waits:
        while limit.waiting[queue] and limits.room(limit, queue) > 0:
            job = shard.jobs[limit.waiting[queue].take()]
            limits.touch(limit)
            others = (limits.get(use.id, use) for use in job.limits if use.id != limit.id)
            full = next((other for other in others if limits.room(other, queue) <= 0), None)
            if full is not None:
                limits.wait(job, full)
                continue
            limits.enter(job)
            queues.add(queue)
            if job.was_suspect:
                shard.woken_suspects.add(queue)
            if shard.unthrottle(job):
                let_in.append(job)


def drop_enqueued(shard: Shard, job: Job, event: str) -> None:
    """A job whose id was taken out of its queue isn't granted, but cancelled."""
    shard.record(job, event)
    shard.end(job, State.CANCELLED)


class MemoryLimits:
    """The limits of `MemoryStorage`, which has the shards."""

    _shards: list[Shard]

    async def set_limit(self, name: str, numbers: Numbers | None) -> None:
        """See `LimitStorage.set_limit`."""
        with (shard := self._shards[shard_for(name, len(self._shards))]).lock:
            known = shard.limits.numbers.get(name)
            if numbers is not None:
                shard.limits.numbers[name] = numbers, True
            elif known is not None:
                shard.limits.numbers[name] = known[0], False
            shard.limits.renumbered.append(name)
            _let_all_in(shard)

    async def limit_settings(self) -> list[LimitSetting]:
        """See `LimitStorage.limit_settings`."""
        settings: list[LimitSetting] = []
        for shard in self._shards:
            with shard.lock:
                settings += [
                    LimitSetting(name, numbers, by_hand)
                    for name, (numbers, by_hand) in shard.limits.numbers.items()
                ]
        return sorted(settings, key=lambda setting: setting.name)

    async def limits(self, *, offset: int = 0, limit: int = 50) -> tuple[list[LimitRecord], int]:
        """See `LimitStorage.limits`."""
        records: list[LimitRecord] = []
        for shard in self._shards:
            with shard.lock:
                records += [_record(shard, one) for one in shard.limits.active()]
                _let_all_in(shard)
        records.sort(key=lambda record: record.id.encode())
        return records[offset : offset + limit], len(records)


def _let_all_in(shard: Shard) -> None:
    queues: set[str] = set()
    settle(shard, queues)
    for name in queues:
        shard.put_marker(name)


def _record(shard: Shard, limit: Limit) -> LimitRecord:
    return LimitRecord(
        limit.id,
        shard.limits.numbers_of(limit),
        len(limit.running),
        len(limit.starts),
        sum(map(len, limit.enqueued.values())),
        sum(map(len, limit.waiting.values())),
    )
