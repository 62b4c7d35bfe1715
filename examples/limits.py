"""Tenants that share an API fairly, accounts booked one at a time, drafts of which the last is saved.

    python examples/limits.py

It uses the Redis that ASYNCJOBS_REDIS names, else an embedded server.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from asyncjobs import Client, Limit, Registry, Unique, Worker
from asyncjobs.embedded import EmbeddedServer

registry = Registry()
balances = Counter[str]()
calling = Counter[str]()
most = Counter[str]()


@registry.job(limits=[Limit("api", concurrency=2, key="{tenant}"), Limit("calls", rate=50, per=1)])
async def call_api(tenant: str, number: int) -> int:
    calling[tenant] += 1
    most[tenant] = max(most[tenant], calling[tenant])
    await asyncio.sleep(0.01)
    calling[tenant] -= 1
    return number


@registry.job(mutex="account:{account}")
async def book(account: str, amount: int) -> int:
    before = balances[account]
    await asyncio.sleep(0.01)  # Whoever else booked here now would be overwritten.
    balances[account] = before + amount
    return balances[account]


@registry.job(unique=Unique("draft:{document}", on_conflict="replace"))
async def save_draft(document: str, text: str) -> str:
    return text


@contextmanager
def redis_url() -> Generator[str]:
    if url := os.environ.get("ASYNCJOBS_REDIS"):
        yield url
    else:
        with EmbeddedServer() as server:
            yield server.url


async def main() -> None:
    with redis_url() as url:
        async with Client(url, registry=registry) as client, Worker(registry, client):
            # One tenant is there first, with very much to do; the other one's calls don't wait for it.
            many = await client.enqueue_many(call_api.call("big", number) for number in range(30))
            few = await client.enqueue_many(call_api.call("small", number) for number in range(3))
            for job in few:
                await job.result(timeout=30)
            print(f"calls of the big tenant that still wait: {await client.count('throttled') > 0}")
            for job in many:
                await job.result(timeout=30)
            print(f"calls at once: {most['big']} of the big tenant, {most['small']} of the small one")

            for job in await client.enqueue_many(book.call("ada", 10) for _ in range(10)):
                await job.result(timeout=30)
            print(f"booked: {balances['ada']}")

            for text in ("Dear", "Dear Ad", "Dear Ada"):
                last = await client.enqueue_in(0.2, save_draft, "letter", text)
            print(f"saved: {await last.result(timeout=30)}; replaced: {await client.count('cancelled')}")


if __name__ == "__main__":
    asyncio.run(main())
