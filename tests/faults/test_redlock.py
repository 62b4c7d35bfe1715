"""A lock on five masters that are killed, stalled, restarted empty, or have wrong clocks."""
# ruff: noqa: PT012 - what is tested is what becomes of a block of code

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asyncjobs import Client, Lock, Redlock
from asyncjobs.errors import LockLost, LockNotAcquired
from tests.conftest import ServerFactory
from tests.faults.apps.holding import NAME
from tests.faults.conftest import ProcessFactory
from tests.faults.ledger import Ledger
from tests.faults.turns import assert_never_two, begun, holder_and_others, starts, told
from tests.servers import Server
from tests.waiting import eventually

TTL = 3
SLACK = 5.0
"""Seconds that a busy machine may add to a takeover."""
FAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))


@pytest.fixture
def servers(own_server: ServerFactory) -> list[Server]:
    return [own_server() for _ in range(5)]


@pytest.fixture
async def redlock(servers: list[Server]) -> AsyncIterator[Redlock]:
    async with Redlock([Client(server.url) for server in servers]) as redlock:
        yield redlock


async def kept_for(lock: Lock, redlock: Redlock, servers: list[Server], seconds: float) -> None:
    """See that nobody else gets a lock in so much time, and that it isn't lost."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert not await redlock.lock(NAME, ttl=TTL, wait=0.2).acquire()
        assert not lock.lost


async def test_with_two_of_five_killed_it_works(redlock: Redlock, servers: list[Server]) -> None:
    async with redlock.lock(NAME, ttl=TTL) as first:
        for server in servers[:2]:
            server.kill()
        await kept_for(first, redlock, servers, 2 * TTL)
    async with redlock.lock(NAME, ttl=TTL, wait=20) as second:
        assert second.token > first.token
    # One comes back as empty as it can be.
    servers[0].start()
    servers[4].kill()
    async with redlock.lock(NAME, ttl=TTL, wait=20) as third:
        assert third.token > second.token


async def test_with_three_of_five_killed_nobody_has_it(redlock: Redlock, servers: list[Server]) -> None:
    with pytest.raises(LockLost, match="wasn't renewed"):
        async with redlock.lock(NAME, ttl=1) as lock:
            for server in servers[:3]:
                server.kill()
            await asyncio.Event().wait()
    began = time.monotonic()
    with pytest.raises(LockNotAcquired, match=f"{NAME}.* of 5 servers answered, and 3 are needed"):
        await redlock.lock(NAME, wait=0).__aenter__()
    with pytest.raises(LockNotAcquired, match=f"{NAME}.* of 5 servers answered, and 3 are needed"):
        await redlock.lock(NAME, wait=1).__aenter__()
    assert time.monotonic() - began < 15
    getting = asyncio.create_task(redlock.lock(NAME).__aenter__())
    for server in servers[:3]:
        server.start()
    again = await asyncio.wait_for(getting, 30)
    assert again.token > lock.token
    await again.release()


async def test_one_that_stalls_past_the_ttl_costs_nothing(redlock: Redlock, servers: list[Server]) -> None:
    async with redlock.lock(NAME, ttl=TTL) as first:
        servers[0].pause()
        await kept_for(first, redlock, servers, 1.5 * TTL)
        servers[0].resume()
        await kept_for(first, redlock, servers, TTL)
    async with redlock.lock(NAME, ttl=TTL, wait=20) as second:
        assert second.token > first.token


async def test_while_three_of_five_stall_nobody_has_it(redlock: Redlock, servers: list[Server]) -> None:
    with pytest.raises(LockLost, match="wasn't renewed"):
        async with redlock.lock(NAME, ttl=1) as lock:
            for server in servers[:3]:
                server.pause()
            await asyncio.Event().wait()
    assert not await redlock.lock(NAME, ttl=1, wait=0.5).acquire()
    for server in servers[:3]:
        server.resume()
    # What they had been sent meanwhile, and carry out now, takes the lock from nobody for long.
    async with redlock.lock(NAME, ttl=1, wait=20) as again:
        assert again.token > lock.token


async def test_one_that_is_restarted_empty_gives_it_to_nobody_else(
    redlock: Redlock, servers: list[Server]
) -> None:
    async with redlock.lock(NAME, ttl=TTL) as lock:
        servers[0].kill()
        servers[0].start()
        assert servers[0].command("DBSIZE") == 0
        await kept_for(lock, redlock, servers, 2 * TTL)


async def test_holders_that_are_killed_are_followed_within_the_ttl(
    servers: list[Server], start_process: ProcessFactory, ledger: Ledger
) -> None:
    urls = [server.url for server in servers]
    processes = [start_process("-m", "tests.faults.apps.holding", str(TTL), *urls) for _ in range(3)]
    begin = await begun(ledger)
    for turn in range(2):
        holder, processes = holder_and_others(processes, begin)
        killed_at = time.monotonic()
        holder.kill()
        if not turn:
            servers[0].kill()
        begin = await begun(ledger, turn + 2)
        assert begin.at - killed_at < TTL + SLACK
    assert_never_two(ledger)


async def test_a_holder_that_stood_still_past_the_ttl_stops_when_it_goes_on(
    servers: list[Server], start_process: ProcessFactory, ledger: Ledger
) -> None:
    urls = [server.url for server in servers]
    processes = [start_process("-m", "tests.faults.apps.holding", str(TTL), *urls) for _ in range(2)]
    first = await begun(ledger)
    holder, (other,) = holder_and_others(processes, first)
    holder.pause()
    second = await begun(ledger, 2)
    assert second.pid == other.pid
    assert second.token > first.token
    resumed_at = time.monotonic()
    holder.resume()
    await eventually(lambda: any(line.event == "lost" for line in told(ledger)))
    late = [line for line in told(ledger) if line.token == first.token and line.at >= resumed_at]
    assert [line.event for line in late] in (["stop", "lost"], ["runs", "stop", "lost"])
    assert len(starts(ledger)) == 2


SetClock = Callable[[int, str], None]


@pytest.fixture
def set_clock(tmp_path: Path) -> SetClock:
    """Set the clock of one of `servers_with_clocks` off: `set_clock(0, "+3600")`."""

    def set_off(number: int, offset: str) -> None:
        # It reads the file each time: it must not find it half written.
        new = tmp_path / f"clock{number}.new"
        new.write_text(offset)
        new.rename(tmp_path / f"clock{number}")

    return set_off


@pytest.fixture
def servers_with_clocks(
    own_server: ServerFactory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, set_clock: SetClock
) -> list[Server]:
    servers: list[Server] = []
    for number in range(5):
        set_clock(number, f"{(number - 2) * 3600:+d}")
        with monkeypatch.context() as environment:
            environment.setenv("LD_PRELOAD", str(FAKETIME[0]))
            environment.setenv("FAKETIME_TIMESTAMP_FILE", str(tmp_path / f"clock{number}"))
            environment.setenv("FAKETIME_NO_CACHE", "1")
            environment.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            servers.append(own_server())
    return servers


def clock_of(server: Server) -> int:
    return int(server.command("TIME")[0])


@pytest.mark.skipif(not FAKETIME, reason="libfaketime isn't installed (Debian: faketime)")
async def test_clocks_that_are_hours_apart_make_no_difference(servers_with_clocks: list[Server]) -> None:
    servers = servers_with_clocks
    clocks = [clock_of(server) for server in servers]
    assert max(clocks) - min(clocks) > 4 * 3600 - 60
    async with Redlock([Client(server.url) for server in servers]) as redlock:
        async with redlock.lock(NAME, ttl=TTL) as first:
            await kept_for(first, redlock, servers, 1.5 * TTL)
        # The one that is most ahead gave the highest number, and isn't there for the next one.
        servers[4].kill()
        async with redlock.lock(NAME, ttl=TTL, wait=20) as second:
            assert second.token > first.token


@pytest.mark.skipif(not FAKETIME, reason="libfaketime isn't installed (Debian: faketime)")
async def test_what_is_held_on_all_survives_the_jumps_of_two_clocks(
    servers_with_clocks: list[Server], set_clock: SetClock
) -> None:
    servers = servers_with_clocks
    async with Redlock([Client(server.url) for server in servers]) as redlock:
        async with redlock.lock(NAME, ttl=TTL) as lock:
            for number in range(2):
                before = clock_of(servers[number])
                set_clock(number, "+86400")
                await eventually(lambda server=servers[number], then=before: clock_of(server) > then + 3_600)
            await kept_for(lock, redlock, servers, 2 * TTL)
        async with redlock.lock(NAME, ttl=TTL, wait=20) as second:
            assert second.token > lock.token
