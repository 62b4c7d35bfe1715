"""Two workers with a background process each, and one that only one of them runs, until that stops.

    python examples/background_process.py

It uses the Redis that ASYNCJOBS_REDIS names, else an embedded server.
"""

import asyncio
import os
from collections.abc import Generator
from contextlib import contextmanager

from asyncjobs import Client, ProcessContext, Registry, Worker
from asyncjobs.embedded import EmbeddedServer

registry = Registry()
collecting: asyncio.Queue[ProcessContext] = asyncio.Queue()


@registry.job
async def store(reading: int) -> int:
    return reading


@registry.process(name="thermometer", every=0.1)
async def read_thermometer() -> None:
    """Every worker has one."""
    await asyncio.sleep(0.01)  # stands for real work


@registry.process(name="collector", scope="cluster", context=True)
async def collect(context: ProcessContext) -> None:
    """One worker in all runs it; each reading is a job, which any worker may run."""
    collecting.put_nowait(context)
    for reading in range(1_000_000):
        await context.client.enqueue(store, reading)
        await asyncio.sleep(0.1)


async def main() -> None:
    with redis_url() as url:
        async with Client(url, registry=registry) as client:
            first, second = Worker(registry, client), Worker(registry, client)
            async with first:
                before = await collecting.get()
                async with second:
                    print("the first one collects:", before.worker == first.id)
                    first.stop()
                    after = await collecting.get()
                    print("the second one took over:", after.worker == second.id)
                    print("its token is higher:", (after.token or 0) > (before.token or 0))


@contextmanager
def redis_url() -> Generator[str]:
    if url := os.environ.get("ASYNCJOBS_REDIS"):
        yield url
    else:
        with EmbeddedServer() as server:
            yield server.url


if __name__ == "__main__":
    asyncio.run(main())
