"""What Redis refuses is said where it was asked for, costs no connection, and takes nobody else along."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from asyncjobs import Client, Registry, Worker
from asyncjobs.errors import StorageError, StorageFull
from tests.conftest import ServerFactory
from tests.servers import Server

registry = Registry()


@registry.job(name="refusals.noop")
async def noop() -> None:
    pass


async def test_a_queue_whose_key_holds_something_else_takes_nobody_elses_job_along(server: Server) -> None:
    server.client().set("{asyncjobs}:q:bad:p", "not a sorted set")
    server.client().set("{asyncjobs}:q:worse", "not a list")
    async with Client(server.url, registry=registry) as client:
        await client.enqueue(noop)
        results = await asyncio.gather(
            client.enqueue(noop),
            client.enqueue(noop.options(queue="bad", priority=5)),
            client.enqueue(noop.options(queue="worse")),
            client.enqueue(noop),
            return_exceptions=True,
        )
        refused = [result for result in results if isinstance(result, StorageError)]
        assert len(refused) == 2, results
        async with Worker(registry, client) as worker:
            await worker.until_empty()
        assert await client.count("succeeded") == 3
        assert len(server.client().keys("{asyncjobs}:j:*")) == 3, "nothing half-written is left"


async def test_a_due_job_whose_queue_takes_nothing_fails_and_says_why(server: Server) -> None:
    async with Client(server.url, registry=registry) as client:
        job = await client.enqueue_in(timedelta(milliseconds=50), noop.options(queue="bad", priority=5))
        server.client().set("{asyncjobs}:q:bad:p", "not a sorted set")
        async with Worker(registry, client):
            with pytest.raises(Exception, match="no queue that takes it"):
                await job.result(timeout=10)


async def test_a_refusal_costs_no_connection(own_server: ServerFactory) -> None:
    server = own_server()
    async with Client(server.url, registry=registry) as client:
        await client.enqueue(noop)
        server.client().config_set("maxmemory", "1")
        before = server.client().info("stats")["total_connections_received"]
        for _ in range(50):
            with pytest.raises(StorageFull):
                await client.enqueue(noop)
        # The test's own client may have connected anew.
        assert server.client().info("stats")["total_connections_received"] - before <= 3
