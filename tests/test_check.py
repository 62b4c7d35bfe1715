"""`Client.check` finds what contradicts itself, each kind of damage, and nothing where nothing is damaged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from asyncjobs import Client, Registry, Retry, Worker
from asyncjobs.storage.memory import MemoryStorage
from asyncjobs.storage.redis.keys import BATCH_FIELDS, FIELDS, STATES, Keys, hash_tag
from asyncjobs.storage.states import State
from tests.servers import Server

registry = Registry()
KEYS = Keys(hash_tag("asyncjobs", 0, 1))

Damage = Callable[[Server, str, str], None]


@registry.job
async def double(number: int) -> int:
    return 2 * number


@registry.job(retry=Retry(max_retries=0))
async def fail() -> None:
    raise ValueError("no")


async def _used(client: Client) -> tuple[str, str]:
    """Jobs in all kinds of states; the ids of a waiting continuation, and of a batch."""
    ended = await client.enqueue(double, 1)
    await client.continue_with(ended, double, ended.output)
    async with client.batch("done") as batch:
        batch.enqueue_many(double.call(number) for number in range(5))
        with batch.batch() as inner:
            inner.enqueue(fail.options(queue="default"))
    async with Worker(registry, client):
        await client.batch_of(batch.id).wait(timeout=10)
    waiting = await client.enqueue(double.options(queue="other"), 1)
    await client.enqueue_in(3600, double, 1)
    await client.recurring.put("nightly", "@daily", double.call(1))
    cancelled = await client.enqueue(double.options(queue="other"), 2)
    await cancelled.cancel()
    continuation = await client.continue_with(waiting, double, 3)
    return continuation.id, batch.id


@pytest.mark.parametrize("shards", [1, 3])
async def test_what_is_in_order_is_found_so(redis_url: str, shards: int) -> None:
    async with Client(redis_url, registry=registry, shards=shards) as client:
        await _used(client)
        assert await client.check(pause=0) == []
    async with Client(MemoryStorage(shards), registry=registry) as client:
        await _used(client)
        assert await client.check(pause=0) == []


@pytest.mark.slow
async def test_nothing_is_found_while_much_goes_on(redis_url: str) -> None:
    async with Client(redis_url, registry=registry) as client, Worker(registry, client):
        async with client.batch() as batch:
            batch.enqueue_many(double.call(number) for number in range(3_000))
        done = False

        async def go_on() -> None:
            while not done:
                await client.enqueue(double.options(retention=0), 1)

        busy = asyncio.create_task(go_on())
        try:
            for _ in range(2):
                assert await client.check(pause=0.1) == []
        finally:
            done = True
            await busy


def _lose_id(server: Server, continuation: str, batch: str) -> None:
    server.command("DEL", KEYS.key("queue", "other"))


def _lose_hash(server: Server, continuation: str, batch: str) -> None:
    server.command("DEL", KEYS.key("job", continuation))


def _miscount(server: Server, continuation: str, batch: str) -> None:
    server.command("HINCRBY", KEYS.key("batch", batch), STATES[State.SUCCEEDED], 1)


def _reopen(server: Server, continuation: str, batch: str) -> None:
    server.command("HSET", KEYS.key("batch", batch), BATCH_FIELDS["state"], STATES[State.PROCESSING])


def _lose_edge(server: Server, continuation: str, batch: str) -> None:
    (key,) = server.command("KEYS", KEYS.key("continuations", "*"))
    server.command("DEL", key)


def _run_by_nobody(server: Server, continuation: str, batch: str) -> None:
    server.command("HSET", KEYS.key("job", continuation), FIELDS["state"], STATES[State.PROCESSING])


def _mark_as_continued(server: Server, continuation: str, batch: str) -> None:
    server.command("HSET", KEYS.key("batch", batch), BATCH_FIELDS["continued"], "1")


def _take_out_of_batch(server: Server, continuation: str, batch: str) -> None:
    (first,) = server.command("ZRANGE", KEYS.key("members", batch), 0, 0)
    server.command("ZREM", KEYS.key("members", batch), first.decode())


def _lose_batch(server: Server, continuation: str, batch: str) -> None:
    server.command("ZREM", KEYS.key("batches"), batch)


def _lose_occurrence(server: Server, continuation: str, batch: str) -> None:
    server.command("DEL", KEYS.key("recurring_next"))


def _forget_ghosts(server: Server, continuation: str, batch: str) -> None:
    server.command("DEL", KEYS.key("ghosts"))


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (_lose_id, {"job", "queue", "record"}),
        (_lose_hash, {"id", "continuation"}),
        (_miscount, {"batch"}),
        (_reopen, {"batch"}),
        (_lose_edge, {"continuation"}),
        (_run_by_nobody, {"lease", "id", "continuation", "record"}),
        (_mark_as_continued, {"continuation"}),
        (_take_out_of_batch, {"member", "batch"}),
        (_lose_batch, {"batch"}),
        (_lose_occurrence, {"recurring"}),
        (_forget_ghosts, {"queue"}),
    ],
)
async def test_damage_is_found(server: Server, damage: Damage, kinds: set[str]) -> None:
    async with Client(server.url, registry=registry) as client:
        continuation, batch = await _used(client)
        damage(server, continuation, batch)
        found = await client.check(pause=0)
        assert {finding.kind for finding in found} == kinds, found
