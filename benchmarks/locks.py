"""`python -m benchmarks.locks`: what a lock costs: a free one, one handed over, one that many wait for.

One server of its own; figures are to be compared within a run. Times are multiples of a bare round trip: the
same connection asking for a script that does nothing; on one machine, where most of it is Python's and Redis'
own work, and over a network that takes its time, where the trips are what counts. A hand-over goes to another
process; the crowds are in one process, in clients with connections of their own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

import click

from asyncjobs import Client
from asyncjobs.embedded import free_port
from asyncjobs.storage.redis import RedisStorage
from benchmarks.server import Server, running_server

TTL = 30.0
INBOX = "bench"
GAP = 0.002
"""Seconds before each measurement: a loop without any would find all caches warm, and CPUs awake."""


async def timed(turns: int, act: Callable[[], Awaitable[object]]) -> float:
    """The median of ms that something takes."""
    took: list[float] = []
    for _ in range(turns):
        await asyncio.sleep(GAP)
        began = time.perf_counter()
        await act()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


async def bare(client: Client, turns: int) -> float:
    """Ms of a bare round trip, over the connections that locks use too."""
    storage = client.storage
    assert isinstance(storage, RedisStorage)
    shard = storage._shards[0]  # pyright: ignore[reportPrivateUsage]
    return await timed(turns, lambda: shard.persist(("EVAL", "return 1", 0)))


async def uncontended(client: Client, turns: int) -> float:
    """Ms of a block that does nothing under a lock that nobody else wants."""

    async def block() -> None:
        async with client.lock("free", ttl=TTL):
            pass

    return await timed(turns, block)


class Other:
    """A client in a process of its own, which tells when it has got something, by the clock of them all."""

    def __init__(self, url: str) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(target=_other, args=(url, theirs), daemon=True)
        self._process.start()

    def begin(self, what: str) -> None:
        """Have it wait for a "word" in its inbox, or for the "lock"."""
        self._pipe.send(what)

    def got_it(self) -> float:
        """When it had it."""
        return float(self._pipe.recv())

    def end(self) -> None:
        self._pipe.send("")
        self._process.join()


def _other(url: str, pipe: Connection) -> None:
    async def live() -> None:
        async with Client(url) as client:
            lock = client.lock("wanted", ttl=TTL)
            while what := await asyncio.to_thread(pipe.recv):
                if what == "word":
                    await client.storage.receive(0, INBOX, 60)
                    pipe.send(time.perf_counter())
                else:
                    await lock.acquire()
                    pipe.send(time.perf_counter())
                    await lock.release()

    asyncio.run(live())


async def until_blocked(server: Server) -> None:
    while server.info("clients")["blocked_clients"] < 1:
        await asyncio.sleep(0.001)
    await asyncio.sleep(GAP)


async def told(server: Server, client: Client, other: Other, turns: int) -> float:
    """Ms from just before telling another client something until it knows: as fast as it can be."""
    storage = client.storage
    assert isinstance(storage, RedisStorage)
    shard = storage._shards[0]  # pyright: ignore[reportPrivateUsage]
    took: list[float] = []
    for _ in range(turns):
        other.begin("word")
        await until_blocked(server)
        began = time.perf_counter()
        await shard.persist(("RPUSH", shard.keys.inbox(INBOX), "word"))
        took.append(other.got_it() - began)
    return statistics.median(took) * 1000


async def until_waiting(client: Client, count: int) -> None:
    while (lock := await client.get_lock("wanted")) is None or lock.waiting < count:
        await asyncio.sleep(0.001)


async def handed_over(server: Server, client: Client, other: Other, turns: int) -> float:
    """Ms from just before the release until another client has it."""
    took: list[float] = []
    lock = client.lock("wanted", ttl=TTL)
    for _ in range(turns):
        await lock.acquire()
        other.begin("lock")
        await until_waiting(client, 1)
        await until_blocked(server)
        began = time.perf_counter()
        await lock.release()
        took.append(other.got_it() - began)
    return statistics.median(took) * 1000


async def crowded(
    server: Server, clients: list[Client], waiters: int, turns: int
) -> tuple[float, float, float]:
    """So many want it again and again.

    Hand-overs a second, commands that clients send for each, and the most turns that one had before another
    had its first.
    """
    had = [0] * waiters
    uneven = 0

    async def want(number: int) -> None:
        nonlocal uneven
        client = clients[number % len(clients)]
        while sum(had) < turns:
            async with client.lock("wanted", ttl=TTL):
                if not had[number]:
                    uneven = max(uneven, *had)
                had[number] += 1

    before, began = server.snapshot(), time.perf_counter()
    await asyncio.gather(*map(want, range(waiters)))
    took, spent = time.perf_counter() - began, server.snapshot() - before
    sent = spent.scripts + blocking(server)
    return sum(had) / took, sent / sum(had), uneven


def blocking(server: Server) -> int:
    """BLPOP and LPOP of inboxes since the counters were reset."""
    told = server.info("commandstats")
    return sum(told.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("blpop", "lpop"))


async def idle(server: Server, clients: list[Client], waiters: int, seconds: float) -> float:
    """Commands a second that clients send while one holds it and so many wait."""
    async with clients[0].lock("wanted", ttl=TTL):
        tasks = [
            asyncio.create_task(clients[number % len(clients)].lock("wanted", ttl=TTL).acquire())
            for number in range(waiters)
        ]
        await until_waiting(clients[0], waiters)
        await asyncio.sleep(0.1)
        server.redis.config_resetstat()
        before = server.snapshot()
        await asyncio.sleep(seconds)
        sent = (server.snapshot() - before).scripts + blocking(server)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return sent / seconds


def _relay(port: int, target: int, seconds: float) -> None:
    """A network between the clients and the server: all that passes takes so long, in each direction."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65536):
            loop.call_later(seconds, writer.write, data)
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, to_server), pump(from_server, writer))

    async def serve() -> None:
        async with await asyncio.start_server(connected, "127.0.0.1", port) as relay:
            await relay.serve_forever()

    asyncio.run(serve())


@contextmanager
def network(server: Server, seconds: float) -> Iterator[str]:
    """The server's address behind a network whose round trip takes so long."""
    port = free_port()
    target = int(server.url.removeprefix("redis://").split("/")[0].split(":")[1])
    context = multiprocessing.get_context("spawn")
    relay = context.Process(target=_relay, args=(port, target, seconds / 2), daemon=True)
    relay.start()
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        relay.terminate()
        relay.join()


async def latencies(server: Server, url: str, rounds: int, turns: int) -> None:
    free: list[float] = []
    least: list[float] = []
    handed: list[float] = []
    trips: list[float] = []
    other = Other(url)
    async with Client(url) as client:
        for _ in range(rounds):
            before = await bare(client, turns)
            free.append(await uncontended(client, turns))
            least.append(await told(server, client, other, turns))
            handed.append(await handed_over(server, client, other, turns))
            trips.append((before + await bare(client, turns)) / 2)
    other.end()
    more = [all_of_it - some for all_of_it, some in zip(handed, least, strict=True)]
    print(f"  a bare round trip: {statistics.median(trips):.3f} ms")
    for what, figures in (
        ("a free lock, had and released", free),
        ("one client tells another something: a hand-over can't be faster", least),
        ("handed over", handed),
        ("handed over, more than that", more),
    ):
        ratios = [figure / trip for figure, trip in zip(figures, trips, strict=True)]
        print(f"  {what}: {statistics.median(ratios):.2f} of them; each round {_shown(ratios)}")


async def crowds(server: Server, turns: int, seconds: float) -> None:
    clients = [Client(server.url) for _ in range(5)]
    for client in clients:
        await client.open()
    for waiters in (2, 10, 50):
        server.redis.config_resetstat()
        rate, sent, uneven = await crowded(server, clients, waiters, turns * 2)
        print(
            f"{waiters} want it again and again: {rate:,.0f} hand-overs/s, {sent:.1f} commands each;"
            f" {uneven} turns of one before another's first"
        )
    sent = await idle(server, clients, 20, seconds)
    print(f"while one holds it and 20 wait, in {len(clients)} clients: {sent:.1f} commands/s")
    for client in clients:
        await client.close()


def _shown(figures: list[float]) -> str:
    return ", ".join(f"{figure:.2f}" for figure in figures)


@click.command()
@click.option("--rounds", default=5, show_default=True)
@click.option("--turns", default=300, show_default=True)
@click.option("--seconds", default=10.0, show_default=True)
@click.option("--trip", default=2.0, show_default=True, help="Of the network, in ms.")
def main(rounds: int, turns: int, seconds: float, trip: float) -> None:
    """Measure locks in multiples of a bare round trip."""
    with running_server() as server:
        print(f"{server.version}\non one machine:")
        asyncio.run(latencies(server, server.url, rounds, turns))
        print(f"over a network whose round trip takes {trip:g} ms or a little more:")
        with network(server, trip / 1000) as url:
            asyncio.run(latencies(server, url, rounds, turns // 3))
        asyncio.run(crowds(server, turns, seconds))


if __name__ == "__main__":
    main()
