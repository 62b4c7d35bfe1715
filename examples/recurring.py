"""A worker that runs jobs again and again: one by its declaration, one that a client has put.

    python examples/recurring.py

It uses the Redis that ASYNCJOBS_REDIS names, else an embedded server, and ends after some seconds.
"""

import asyncio
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta

from asyncjobs import Client, Registry, Worker
from asyncjobs.embedded import EmbeddedServer

registry = Registry()


@registry.recurring(
    "* * * * * *", timezone="Europe/Berlin", id="clock"
)  # each second; five fields: each minute
async def tick() -> None:
    print("tick", flush=True)


@registry.job
async def feed(animal: str) -> str:
    print(f"feeding the {animal}", flush=True)
    return f"the {animal} is full"


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
            await client.recurring.put("cat", timedelta(seconds=2), feed.call("cat"), overlap="skip")
            await (await client.recurring.trigger("cat")).result(timeout=10)
            while (clock := await client.recurring.get("clock")) is None or clock.fired < 3:
                await asyncio.sleep(0.1)
            for recurring in await client.recurring.list():
                print(f"{recurring.id}: {recurring.schedule}, last job {recurring.last_state}")
            await client.recurring.remove("cat")


if __name__ == "__main__":
    asyncio.run(main())
