"""What the page on operations says about a server's settings."""

from __future__ import annotations

import shlex

from asyncjobs import Client, Registry, Worker
from tests.conftest import ServerFactory
from tests.examples.pages import ROOT, blocks


async def test_a_user_with_the_rights_on_the_page_can_do_all(own_server: ServerFactory) -> None:
    page = ROOT / "docs" / "operations.md"
    (line,) = (
        line for block in blocks(page) for line in block.text.splitlines() if line.startswith("ACL SETUSER")
    )
    server = own_server()
    server.command(*shlex.split(line))
    registry = Registry()

    @registry.job
    async def add(a: int, b: int) -> int:
        return a + b

    url = server.url.replace("redis://", "redis://jobs:secret@")
    async with Client(url, registry=registry) as client, Worker(registry, client) as worker:
        assert await (await client.enqueue(add, 1, 2)).result(timeout=10) == 3
        later = await client.enqueue_in(0.05, add, 3, 4)
        assert await later.result(timeout=10) == 7
        await client.requeue(later.id)
        assert await later.result(timeout=10) == 7
        await client.pause("default")
        waiting = await client.enqueue(add, 5, 6)
        assert await waiting.cancel()
        assert await client.purge("default") == 0
        await client.resume("default")
        assert await client.clear("succeeded") == 2
        async with client.batch("sums") as batch:
            batch.enqueue(add, 1, 1)
        total = await client.continue_with(batch, add, 2, 2)
        assert await total.result(timeout=10) == 4
        assert await client.check(pause=0) == []
        assert [info.id for info in await client.workers()] == [worker.id]
