"""Checking changes nothing; repairing goes on where Redis is full, and where several do it at once."""

from __future__ import annotations

import asyncio

import pytest

from asyncjobs import Client, Registry, Worker
from asyncjobs.storage.redis.keys import FIELDS, STATES, Keys, hash_tag
from asyncjobs.storage.states import State
from tests.conftest import ServerFactory
from tests.servers import Server
from tests.waiting import eventually

registry = Registry()
KEYS = Keys(hash_tag("asyncjobs", 0, 1))
JOBS = 200


@registry.job
async def double(number: int) -> int:
    return 2 * number


async def damaged(client: Client, server: Server) -> list[str]:
    """A namespace in which much is wrong, and all can be mended; its jobs."""
    jobs = await client.enqueue_many(double.call(number) for number in range(JOBS))
    async with client.batch() as batch:
        jobs += batch.enqueue_many(double.call(number) for number in range(JOBS))
    jobs.append(await client.continue_with(jobs[0], double, 1))
    later = [await client.enqueue_in(3600, double, number) for number in range(10)]
    await eventually(lambda: server.command("LLEN", KEYS.key("queue", "default")) == 2 * JOBS)
    server.command("DEL", KEYS.key("queue", "default"))
    server.command("DEL", KEYS.key("batch", batch.id))
    server.command("DEL", KEYS.key("continuations", jobs[0].id))
    server.command("DEL", KEYS.key("queues"))
    server.command("RENAME", KEYS.key("scheduled"), KEYS.key("outbox"))
    for job in jobs[:20]:
        server.command("HSET", KEYS.key("job", job.id), FIELDS["state"], STATES[State.PROCESSING])
    return [job.id for job in [*jobs, *later]]


def everything(server: Server) -> dict[bytes, bytes]:
    return {key: server.command("DUMP", key) for key in server.command("KEYS", "*")}


async def test_checking_changes_nothing(server: Server) -> None:
    async with Client(server.url, registry=registry) as client:
        await damaged(client, server)
        before = everything(server)
        found = await client.check(pause=0)
        assert {finding.kind for finding in found} >= {"job", "batch", "continuation", "key", "lease"}
        assert everything(server) == before


@pytest.mark.parametrize("places", [1, 5])
async def test_all_is_mended_once(server: Server, places: int) -> None:
    async with Client(server.url, registry=registry) as client:
        jobs = await damaged(client, server)
        told = await asyncio.gather(*(client.repair(pause=0) for _ in range(places)))
        assert all(mending.is_done for some in told for mending in some)
        assert await client.check(pause=0) == []
        ids = server.command("LRANGE", KEYS.key("queue", "default"), 0, -1)
        ids += server.command("LRANGE", KEYS.key("suspects", "default"), 0, -1)
        assert len(ids) == len(set(ids)) >= 2 * JOBS
        async with Worker(registry, client):

            async def all_succeeded() -> bool:
                return await client.count("succeeded") == len(jobs)

            await eventually(all_succeeded)
        # But for the continuation and those that are to run later: these were only where they should be.
        for job_id in jobs[: 2 * JOBS]:
            assert [entry.event for entry in await client.storage.history(job_id)] == ["repaired"]


async def test_a_full_server_is_repaired(own_server: ServerFactory) -> None:
    server = own_server(maxmemory_policy="noeviction")
    async with Client(server.url, registry=registry) as client:
        await damaged(client, server)
        # What it reads takes room as well, so it is known by then.
        assert await client.check(pause=0) != []
        server.command("CONFIG", "SET", "maxmemory", server.client().info("memory")["used_memory"] - 100_000)
        assert all(mending.is_done for mending in await client.repair(pause=0))
        assert await client.check(pause=0) == []
