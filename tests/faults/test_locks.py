"""A lock whose holder is killed, stalled or cut off, or whose server forgets it: never two have it."""
# ruff: noqa: PT012 - what is tested is what becomes of a block of code

from __future__ import annotations

import asyncio
import functools
import time

import pytest

from asyncjobs import Client
from asyncjobs.errors import LockLost
from asyncjobs.lock_hold import LONGEST_WAIT
from asyncjobs.lock_inbox import LOOK_AGAIN
from asyncjobs.storage.locks import TOLD_LIMIT
from tests.conftest import ServerFactory
from tests.faults.apps.holding import NAME
from tests.faults.conftest import ProcessFactory
from tests.faults.ledger import Ledger
from tests.faults.turns import assert_never_two, begun, ended, holder_and_others, starts, told
from tests.faults.worker_process import WorkerProcess
from tests.proxy import ThreadedProxy
from tests.waiting import eventually

TTL = 3
SLACK = 3.0
"""Seconds that a busy machine may add to a takeover."""


def start(start_process: ProcessFactory, url: str) -> WorkerProcess:
    return start_process("-m", "tests.faults.apps.holding", str(TTL), url)


async def waiting(client: Client, count: int) -> None:
    """Wait until so many wait for it."""

    async def wait() -> bool:
        lock = await client.get_lock(NAME)
        return lock is not None and lock.waiting == count

    await eventually(wait, 30)


async def test_when_its_holder_is_killed_another_has_it_within_the_ttl(
    redis_url: str, start_process: ProcessFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        processes = [start(start_process, redis_url) for _ in range(4)]
        begin = await begun(ledger)
        for turn in range(3):
            holder, processes = holder_and_others(processes, begin)
            await waiting(client, len(processes))
            killed_at = time.monotonic()
            holder.kill()
            begin = await begun(ledger, turn + 2)
            assert begin.at - killed_at < TTL + SLACK
    assert_never_two(ledger)
    assert len(starts(ledger)) == 4


async def test_those_that_were_killed_as_they_waited_keep_nobody_else_waiting(
    redis_url: str, start_process: ProcessFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        async with client.lock(NAME, ttl=3600):
            dead = [start(start_process, redis_url) for _ in range(2)]
            await waiting(client, 2)
            for process in dead:
                process.kill()
            getting = asyncio.create_task(client.lock(NAME, ttl=3600).__aenter__())
            await waiting(client, 3)
        # It is told though two before it were as well; untold, it would try again after a minute.
        lock = await asyncio.wait_for(getting, LONGEST_WAIT / 2)
        assert not lock.lost
        await lock.release()


@pytest.mark.parametrize("clients", [1, TOLD_LIMIT])
async def test_a_free_lock_is_had_soon_though_all_that_were_told_have_died(
    redis_url: str, clients: int
) -> None:
    async with Client(redis_url) as client, Client(redis_url) as other:
        lock = client.lock(NAME, ttl=3600)
        await lock.acquire()
        for number in range(TOLD_LIMIT):
            # As of processes that were killed since.
            await client.storage.acquire_lock(NAME, f"dead-{number}", 1_000, f"inbox-{number % clients}")
        getting = asyncio.create_task(other.lock(NAME, ttl=3600).__aenter__())
        await waiting(client, TOLD_LIMIT + 1)
        await lock.release()
        # Of one client, only the first was told; else it takes until the living one looks by itself.
        had = await asyncio.wait_for(getting, SLACK if clients == 1 else LOOK_AGAIN + SLACK)
        await had.release()


async def test_a_holder_that_stood_still_past_the_ttl_stops_when_it_goes_on(
    redis_url: str, start_process: ProcessFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        processes = [start(start_process, redis_url) for _ in range(2)]
        first = await begun(ledger)
        holder, (other,) = holder_and_others(processes, first)
        await waiting(client, 1)
        holder.pause()
        second = await begun(ledger, 2)
        assert second.pid == other.pid
        assert second.token > first.token
        resumed_at = time.monotonic()
        holder.resume()

        await eventually(lambda: any(line.event == "lost" for line in told(ledger)))
        late = [line for line in told(ledger) if line.token == first.token and line.at >= resumed_at]
        # It may have stood in the middle of a step; it doesn't begin another one, but for what it stood in.
        assert [line.event for line in late] in (["stop", "lost"], ["runs", "stop", "lost"])
        await waiting(client, 1)
        lock = await client.get_lock(NAME)
        assert lock is not None
        assert lock.token == second.token
        assert len(starts(ledger)) == 2


async def test_a_holder_that_is_cut_off_stops_before_another_has_it(
    redis_url: str, proxy: ThreadedProxy, start_process: ProcessFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        start(start_process, proxy.url)
        first = await begun(ledger)
        other = start(start_process, redis_url)
        await waiting(client, 1)
        cut_at = time.monotonic()
        proxy.black_hole()

        second = await begun(ledger, 2)
        assert second.pid == other.pid
        (end,) = [line for line in told(ledger) if line.event == "stop"]
        assert end.token == first.token
        assert end.at - cut_at < TTL, "by its own clock, before the lock's time was over"
        assert second.at - cut_at < TTL + SLACK
        await eventually(lambda: any(line.event == "lost" for line in told(ledger)))
        proxy.black_hole(False)
        await waiting(client, 1)
    stops = [line for line in told(ledger) if line.event != "lost"]
    assert stops
    assert second.at > end.at
    assert second.token > first.token


async def test_connections_that_die_cost_it_nothing(
    redis_url: str, proxy: ThreadedProxy, start_process: ProcessFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        start(start_process, proxy.url)
        first = await begun(ledger)

        async def renewed_after(moment: float) -> bool:
            lock = await client.get_lock(NAME)
            return lock is not None and lock.until.timestamp() > moment

        for fault in (proxy.cut, proxy.half_open):
            assert fault() > 0
            lock = await client.get_lock(NAME)
            assert lock is not None
            # Its whole time later it has been renewed by new connections alone.
            await eventually(functools.partial(renewed_after, lock.until.timestamp() + TTL), 30)
        assert starts(ledger) == [first]
        assert not ended(ledger, first.token)


async def test_word_of_a_release_that_is_lost_with_its_connection_is_not_needed(
    redis_url: str, proxy: ThreadedProxy
) -> None:
    async with Client(redis_url) as client, Client(proxy.url) as other:
        async with client.lock(NAME, ttl=TTL):
            lost = proxy.drop_reply("BLPOP")
            getting = asyncio.create_task(other.lock(NAME, ttl=TTL).__aenter__())
            await eventually(lambda: lost.remaining == 0, because="its inbox is being read")
            await waiting(client, 1)
        lock = await asyncio.wait_for(getting, TTL + SLACK)
        assert lost.hits == 1
        await lock.release()


async def test_tokens_grow_though_the_server_forgets_all(own_server: ServerFactory) -> None:
    server = own_server()
    async with Client(server.url) as client:
        tokens: list[int] = []
        for _ in range(3):
            with pytest.raises(LockLost):
                async with client.lock(NAME, ttl=1, wait=20) as lock:
                    tokens.append(lock.token)
                    server.kill()
                    server.start()
                    await asyncio.Event().wait()
        async with client.lock(NAME, wait=20) as lock:
            tokens.append(lock.token)
    assert tokens == sorted(set(tokens))
