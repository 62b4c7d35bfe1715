"""`durability="replicated"`: what is confirmed is on a replica."""

from __future__ import annotations

import pytest

from asyncjobs import Client, Registry
from asyncjobs.errors import NotReplicated
from tests.conftest import ServerFactory
from tests.waiting import eventually_sync

registry = Registry()


@registry.job(name="durability.noop")
async def noop() -> None:
    pass


async def test_a_job_is_on_the_replica_when_enqueue_returns(own_server: ServerFactory) -> None:
    master, replica = own_server(repl_diskless_sync_delay="0"), own_server()
    replica.command("REPLICAOF", "127.0.0.1", str(master.port))
    eventually_sync(lambda: replica.client().info("replication")["master_link_status"] == "up")
    async with Client(master.url, registry=registry, durability="replicated") as client:
        jobs = [await client.enqueue(noop), *await client.enqueue_many(noop.call() for _ in range(300))]
        master.kill()
    replica.command("REPLICAOF", "NO", "ONE")
    async with Client(replica.url, registry=registry) as survivor:
        assert {job.id for job in await survivor.jobs("enqueued", limit=1000)} == {job.id for job in jobs}


async def test_without_a_replica_it_says_so_and_the_job_is_there(own_server: ServerFactory) -> None:
    master = own_server()
    async with Client(master.url, registry=registry, durability="replicated", patience=0.2) as client:
        with pytest.raises(NotReplicated, match="0 of 1 replicas"):
            await client.enqueue(noop)
        assert await client.count("enqueued") == 1
