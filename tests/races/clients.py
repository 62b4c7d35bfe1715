"""Clients that make jobs at the same time, each over a connection of its own.

`clients URL JOB CLIENTS CALLS DELAY`. They begin when the test opens the gate, and print a line of
JSON for each call.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from asyncjobs import Client
from tests.faults.ledger import ledger_of_test
from tests.races.jobs import registry

KEY = "key"


async def call(client: Client, name: str, calls: int, delay: float, number: int) -> None:
    definition = registry.get(name)
    for turn in range(calls):
        told = f"{os.getpid()}.{number}.{turn}"
        begin, begin_ms = time.monotonic(), int(time.time() * 1000)
        if delay:
            job = await client.enqueue_in(delay, definition, KEY, told)
        else:
            job = await client.enqueue(definition, KEY, told)
        end, end_ms = time.monotonic(), int(time.time() * 1000)
        print(json.dumps({"call": told, "id": job.id, "at": [begin, end], "ms": [begin_ms, end_ms]}))


async def main(url: str, name: str, count: int, calls: int, delay: float) -> None:
    clients = [Client(url, registry=registry) for _ in range(count)]
    for client in clients:
        await client.open()
    print("ready", flush=True)
    await ledger_of_test().wait_at("go")
    await asyncio.gather(*(call(client, name, calls, delay, number) for number, client in enumerate(clients)))
    for client in clients:
        await client.close()
    print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5]), float(sys.argv[5])))
