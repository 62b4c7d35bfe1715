"""A storage in memory can be damaged by a test alone; what it can mend, it mends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from asyncjobs import Client, Registry, State, Worker
from asyncjobs.storage.memory import MemoryStorage
from asyncjobs.storage.memory.entries import Place
from asyncjobs.storage.memory.shard import Shard

registry = Registry()


@registry.job
async def double(number: int) -> int:
    return 2 * number


def _lose_from_list(shard: Shard, job: str, batch: str) -> None:
    shard.lists[State.SCHEDULED].discard(next(iter(shard.lists[State.SCHEDULED])))


def _put_into_list(shard: Shard, job: str, batch: str) -> None:
    shard.lists[State.FAILED].put(job, 1)


def _lose_from_queue(shard: Shard, job: str, batch: str) -> None:
    shard.queues["default"].plain.remove(job)


def _put_twice(shard: Shard, job: str, batch: str) -> None:
    shard.queues["default"].plain.append(job)


def _run_by_nobody(shard: Shard, job: str, batch: str) -> None:
    shard.queues["default"].plain.remove(job)
    found = shard.jobs[job]
    found.state, found.worker, found.place = State.PROCESSING, "nobody", Place.NOWHERE


def _miscount(shard: Shard, job: str, batch: str) -> None:
    shard.batches[batch].counts["succeeded"] += 1


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (_lose_from_list, "job"),
        (_put_into_list, "id"),
        (_lose_from_queue, "job"),
        (_put_twice, "job"),
        (_run_by_nobody, "lease"),
        (_miscount, "batch"),
    ],
)
async def test_damage_is_mended(damage: Callable[[Shard, str, str], None], kind: str) -> None:
    storage = MemoryStorage()
    async with Client(storage, registry=registry) as client:
        job = await client.enqueue(double, 4)
        later = await client.enqueue_in(3600, double, 5)
        async with client.batch() as batch:
            batch.enqueue_many(double.call(number) for number in range(3))
        damage(storage._shards[0], job.id, batch.id)
        assert kind in {finding.kind for finding in await client.check(pause=0)}
        told = await client.repair(pause=0)
        assert told
        assert all(mending.is_done for mending in told)
        assert await client.check(pause=0) == []
        async with Worker(registry, client):
            if (await client.read(later.id)).state is State.SCHEDULED:
                await client.run_now(later.id)
            assert await job.result(timeout=10) == 8
            assert await later.result(timeout=10) == 10
            assert (await client.batch_of(batch.id).wait(timeout=10)).state == "succeeded"
