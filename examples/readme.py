import asyncio

from asyncjobs import Client, Registry, Retry, Worker
from asyncjobs.embedded import EmbeddedServer

registry = Registry()


@registry.job(retry=Retry(max_retries=5), timeout=30)
async def greet(name: str, *, loudly: bool = False) -> str:
    greeting = f"Hello, {name}!"
    return greeting.upper() if loudly else greeting


async def main() -> None:
    with EmbeddedServer() as server:  # a real Valkey for this example; yours is at redis://localhost:6379/0
        async with Client(server.url, registry=registry) as client, Worker(registry, client):
            job = await client.enqueue(greet, "Ada", loudly=True)
            print(await job.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
