"""A client that commits one batch, to be killed meanwhile: `batch_producer URL SHARDS JOBS`.

It writes the batch's id to its log before it sends anything.
"""

from __future__ import annotations

import asyncio
import sys

from asyncjobs import Client
from tests.faults.apps.counted import brief, registry


async def main(url: str, shards: int, jobs: int) -> None:
    async with Client(url, registry=registry, shards=shards, patience=60) as client:
        async with client.batch("of a client that dies") as batch:
            for number in range(jobs):
                batch.enqueue(brief, 0.0)
                if number % 10 == 0:
                    with batch.batch() as inner:
                        inner.enqueue(brief, 0.0)
            print("batch", batch.id, flush=True)
        print("committed", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
