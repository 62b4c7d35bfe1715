"""Repairing what goes from shard to shard, what is too much for one step, and what any worker carries on."""

from __future__ import annotations

import logging

import pytest

from asyncjobs import Client, Limit, Registry, Worker
from asyncjobs.ids import new_id, shard_of
from asyncjobs.storage.audit import MEND_LIMIT
from asyncjobs.storage.base import NewJob
from asyncjobs.storage.redis import scripts
from asyncjobs.storage.redis.keys import BATCH_FIELDS, FIELDS, LIMIT_FIELDS, STATES, Keys, hash_tag
from asyncjobs.storage.redis.storage import RedisStorage
from asyncjobs.storage.states import State
from tests.servers import Server
from tests.waiting import eventually

registry = Registry()
KEYS = Keys(hash_tag("asyncjobs", 0, 1))
SHARDS = 3


@registry.job
async def double(number: int) -> int:
    return 2 * number


@registry.job(limits=[Limit("slot", concurrency=1)])
async def slowly(number: int) -> int:
    return number


def key_of(kind: str, job_id: str) -> str:
    return Keys(hash_tag("asyncjobs", shard_of(job_id, SHARDS), SHARDS)).key(kind, job_id)


@pytest.mark.parametrize("is_sent", [True, False], ids=["the parent forgot", "the question was lost"])
async def test_a_parent_on_another_shard_is_asked_again(server: Server, is_sent: bool):
    async with Client(server.url, registry=registry, shards=SHARDS) as client:
        parents = [await client.enqueue(double, number) for number in range(2)]
        child = await client.continue_with(parents, double, 4)
        (far,) = [parent for parent in parents if shard_of(parent.id, SHARDS) != shard_of(child.id, SHARDS)]
        await eventually(lambda: server.command("EXISTS", key_of("continuations", far.id)))
        assert await client.check(pause=0) == []

        server.command("DEL", key_of("continuations", far.id))
        if not is_sent:
            server.command("HDEL", key_of("job", far.id), FIELDS["continued"])
        assert ("message", child.id) in {
            (finding.kind, finding.id) for finding in await client.check(pause=0)
        }
        assert all(mending.is_done for mending in await client.repair(pause=0))
        assert await client.check(pause=0) == []
        async with Worker(registry, client):
            assert await child.result(timeout=10) == 8


async def test_words_that_nobody_delivers_are_delivered(server: Server):
    async with Client(server.url, registry=registry, shards=SHARDS) as client:
        parents = [await client.enqueue(double, number) for number in range(2)]
        child = await client.continue_with(parents, double, 4)
        (far,) = [parent for parent in parents if shard_of(parent.id, SHARDS) != shard_of(child.id, SHARDS)]
        await eventually(lambda: server.command("EXISTS", key_of("continuations", far.id)))
        server.command("DEL", key_of("continuations", far.id))
        code = server.command("HGET", key_of("job", child.id), f"R{far.id}").decode()
        server.command(
            "HSET", key_of("outbox", child.id).replace(child.id, ""), f"A {far.id} {child.id}", code
        )
        assert ("follow-up", "x") in {(finding.kind, finding.id) for finding in await client.check(pause=0)}
        assert all(mending.is_done for mending in await client.repair(pause=0))
        assert await client.check(pause=0) == []
        async with Worker(registry, client):
            assert await child.result(timeout=10) == 8


async def test_what_is_too_much_for_one_step(server: Server):
    count = 1_700
    async with Client(server.url, registry=registry) as client:
        async with client.batch("large") as batch:
            batch.enqueue_many(double.call(number) for number in range(count))
        after = await client.continue_with(batch, double, 1)
        await eventually(lambda: server.command("LLEN", KEYS.key("queue", "default")) == count)
        server.command("DEL", KEYS.key("queue", "default"))
        server.command("DEL", KEYS.key("batch", batch.id))
        await client.repair(pause=0)
        assert await client.check(pause=0) == []
        found = await client.batch_of(batch.id).refresh()
        assert (found.total, found.pending) == (count, count)
        async with Worker(registry, client):
            assert await after.result(timeout=30) == 2
        found = await client.batch_of(batch.id).refresh()
        assert (found.state, found.succeeded) == ("succeeded", count)
        assert (await client.stats()).totals["succeeded"] == count + 1


async def test_of_many_that_wait_for_a_limit_some_are_looked_at_in_a_step(server: Server):
    count = 1_700
    waiters, limit = KEYS.key("limit_waiters", "slot:default"), KEYS.key("limit", "slot")
    async with Client(server.url, registry=registry) as client:
        await client.enqueue_many(slowly.call(number) for number in range(count))
        waiting = LIMIT_FIELDS["waiting"] + "default"
        for number in range(600):
            server.command("ZADD", waiters, number, f"stray-{number}")
        server.command("HSET", limit, waiting, 7)
        (mending,) = await client.repair(pause=0)
        assert mending.is_done
        assert f"it counts {count - 1} of default that wait where it said 7" in mending.text
        assert "are not said to wait for it any more (stray-" in mending.text
        assert (server.command("HGET", limit, waiting), server.command("ZCARD", waiters)) == (
            str(count - 1).encode(),
            count - 1,
        )
        assert await client.check(pause=0) == []


async def test_what_is_let_in_is_not_counted_where_too_many_are_enqueued(server: Server):
    async with Client(server.url, registry=registry) as client:
        await client.enqueue_many(slowly.call(number) for number in range(2))
        await client.enqueue_many(double.call(number) for number in range(10 * MEND_LIMIT))
        server.command("HSET", KEYS.key("limit", "slot"), LIMIT_FIELDS["running"], 1)
        (mending,) = await client.repair(pause=0)
        assert not mending.is_done
        assert "more are too many to be counted in one step" in mending.text
        assert server.command("HGET", KEYS.key("limit", "slot"), LIMIT_FIELDS["running"]) == b"1"


async def test_a_batch_that_is_made_anew_cant_finish_before_it_is_counted(server: Server):
    async with Client(server.url, registry=registry) as client:
        async with client.batch() as batch:
            batch.enqueue_many(double.call(number) for number in range(3))
        after = await client.continue_with(batch, double, 1)
        server.command("DEL", KEYS.key("batch", batch.id))
        (lost,) = [finding for finding in await client.check(pause=0) if finding.kind == "batch"]
        assert await client.storage.mend(0, lost) is not None
        async with Worker(registry, client):
            await eventually(lambda: ended(client, 3))
            assert (await client.read(after.id)).state is State.AWAITING
            await client.repair(pause=0)
            assert await after.result(timeout=10) == 2
        found = await client.batch_of(batch.id).refresh()
        assert (found.state, found.total, found.succeeded) == ("succeeded", 3, 3)


async def ended(client: Client, count: int) -> bool:
    return await client.count("succeeded") == count


async def test_a_batch_that_was_counted_too_long_ago_is_left_alone(server: Server):
    storage = RedisStorage(server.url)
    async with Client(storage, registry=registry) as client:
        async with client.batch() as batch:
            batch.enqueue(double, 1)
        shard = storage._shards[0]
        vector = (await shard.run(scripts.COUNT_MEMBERS, batch.id, 0, 10))[0]
        told = ("1", batch.id, vector, 0, 0, "", BATCH_FIELDS["total"], 1)
        assert await shard.run(scripts.MEND_BATCH, "", *told) == b""
        await client.storage.create([NewJob(new_id(), double.name, "default", batch=batch.id)])
        assert await shard.run(scripts.MEND_BATCH, "", *told[:-1], 7) == b"?"
        assert (await client.batch_of(batch.id).refresh()).total == 2


async def test_what_cant_be_carried_on_is_dropped_and_stops_nothing(
    server: Server, caplog: pytest.LogCaptureFixture
):
    async with Client(server.url, registry=registry) as client:
        async with client.batch() as living:
            member = living.enqueue(double, 1)
        async with client.batch() as broken:
            broken.enqueue(double, 1)
        server.command("SET", KEYS.key("batch", broken.id), "something else")
        server.command("SET", KEYS.key("members", "other"), "something else")
        entries = [
            f"c{broken.id}",
            f"k{broken.id}",
            f"z{living.id}",
            f"d{living.id}",
            f"k{living.id}",
            "what?",
        ]
        for at, entry in enumerate(entries):
            server.command("ZADD", KEYS.key("follow_ups"), at, entry)
        with caplog.at_level(logging.ERROR, "asyncjobs.redis"):
            await eventually(lambda: over(client))
        dropped = [record.getMessage() for record in caplog.records if "is dropped" in record.getMessage()]
        assert [entry for entry in entries[:2] if not any(entry in told for told in dropped)] == []
        assert (await client.read(member.id)).state is State.ENQUEUED
        assert (await client.batch_of(living.id).refresh()).pending == 1
        assert all(mending.is_done for mending in await client.repair(pause=0))
        assert await client.check(pause=0) == []


async def over(client: Client) -> bool:
    await client.storage.carry_on(0)
    return (await client.storage.stats()).follow_ups == 0


async def test_a_batch_left_half_committed_is_committed(server: Server):
    """Its follow-up was lost: the batch is open, and its members are staging."""
    async with Client(server.url, registry=registry) as client:
        async with client.batch() as batch:
            jobs = [batch.enqueue(double, number) for number in range(3)]
            with batch.batch() as inner:
                jobs.append(inner.enqueue(double, 3))
        for job in jobs[1:]:
            server.command("HSET", KEYS.key("job", job.id), FIELDS["state"], STATES[State.STAGING])
        server.command("HSET", KEYS.key("batch", inner.id), BATCH_FIELDS["state"], STATES[State.STAGING])
        server.command("DEL", KEYS.key("queue", "default"))
        await client.repair(pause=0)
        assert await client.check(pause=0) == []
        async with Worker(registry, client):
            assert (await client.batch_of(batch.id).wait(timeout=10)).state == "succeeded"
