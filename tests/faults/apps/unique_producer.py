"""A client that makes jobs with unique keys, to be killed meanwhile.

`unique_producer URL (one | batch) KEYS`. It says in its log when it begins and when it is done.
"""

from __future__ import annotations

import asyncio
import sys

from asyncjobs import Client
from tests.faults.apps.limited import registry, unique


async def main(url: str, how: str, keys: int) -> None:
    async with Client(url, registry=registry, patience=60) as client:
        print("begins", flush=True)
        if how == "batch":
            async with client.batch("of a client that dies") as batch:
                print("batch", batch.id, flush=True)
                for key in range(keys):
                    batch.enqueue(unique, f"key {key}")
        else:
            for key in range(keys):
                await client.enqueue(unique, f"key {key}")
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
