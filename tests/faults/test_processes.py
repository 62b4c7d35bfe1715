"""The one background process of several workers: whatever befalls its holder, there is one, and never two."""

from __future__ import annotations

import functools
import time

from asyncjobs import Client
from asyncjobs.errors import StorageError
from tests.faults.apps import standing
from tests.faults.apps.standing import TTL
from tests.faults.conftest import ProcessFactory, WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.turns import assert_never_two, begun, ended, holder_and_others, starts, told
from tests.proxy import ThreadedProxy
from tests.waiting import eventually

APP = "tests.faults.apps.standing"
SLACK = 3.0
"""Seconds that a busy machine may add to a takeover."""


async def on_standby(client: Client, count: int) -> None:
    """Wait until so many workers tell that another one runs it, and try to get its lock."""

    async def told_so() -> bool:
        infos = await client.workers()
        states = sorted(process.state for info in infos for process in info.processes)
        lock = await client.storage.get_lock(standing.standing.lock)
        return states == ["running", *["standby"] * count] and lock is not None and lock.waiting == count

    await eventually(told_so, 30)


async def test_when_its_holder_is_killed_another_takes_over_within_the_ttl(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        workers = [start_worker(redis_url, app=APP, lease=3) for _ in range(3)]
        begin = await begun(ledger)
        for turn in range(2):
            holder, workers = holder_and_others(workers, begin)
            await on_standby(client, len(workers))
            killed_at = time.monotonic()
            holder.kill()
            begin = await begun(ledger, turn + 2)
            assert begin.at - killed_at < TTL + SLACK
            workers.append(start_worker(redis_url, app=APP, lease=3))

            async def reaped() -> bool:
                return len(await client.workers()) == 3

            await eventually(reaped, 30)
    assert_never_two(ledger)


async def test_when_its_holder_stops_another_takes_over_at_once(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        workers = [start_worker(redis_url, app=APP, lease=3) for _ in range(2)]
        holder, (other,) = holder_and_others(workers, await begun(ledger))
        await on_standby(client, 1)

        assert holder.stop() == 0

        begin = await begun(ledger, 2)
        (end,) = [line for line in told(ledger) if line.event == "stop"]
        assert (end.pid, begin.pid) == (holder.pid, other.pid)
        assert begin.at - end.at < TTL / 2, "it was told, and didn't wait for the lock's time to end"
    assert_never_two(ledger)


async def test_one_that_was_killed_on_standby_keeps_nobody_else_waiting(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        holder = start_worker(redis_url, app=APP, lease=3)
        await begun(ledger)
        dead = start_worker(redis_url, app=APP, lease=3)
        await on_standby(client, 1)
        dead.kill()
        living = start_worker(redis_url, app=APP, lease=3)

        async def both_wait() -> bool:
            lock = await client.storage.get_lock(standing.standing.lock)
            return lock is not None and lock.waiting == 2

        await eventually(both_wait, 30)

        assert holder.stop() == 0

        begin = await begun(ledger, 2)
        (end,) = [line for line in told(ledger) if line.event == "stop"]
        assert (end.pid, begin.pid) == (holder.pid, living.pid)
        assert begin.at - end.at < TTL / 2, "it was told, though the one before it is dead"
    assert_never_two(ledger)


async def test_a_holder_that_stood_still_past_the_ttl_is_cancelled_when_it_goes_on(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        workers = [start_worker(redis_url, app=APP, lease=3) for _ in range(2)]
        first = await begun(ledger)
        holder, (other,) = holder_and_others(workers, first)
        await on_standby(client, 1)
        holder.pause()
        second = await begun(ledger, 2)
        assert second.pid == other.pid
        assert second.token > first.token
        resumed_at = time.monotonic()
        holder.resume()

        await eventually(functools.partial(ended, ledger, first.token))
        late = [line for line in told(ledger) if line.token == first.token and line.at >= resumed_at]
        # It may have been in the middle of a step; it doesn't begin another one, but for what it stood in.
        assert [line.event for line in late] in (["stop"], ["runs", "stop"])
        await on_standby(client, 1)
        lock = await client.storage.get_lock(standing.standing.lock)
        assert lock is not None
        assert lock.number == second.token
        assert len(starts(ledger)) == 2


async def test_a_holder_that_is_cut_off_is_cancelled_before_another_has_it(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        cut_off = start_worker(proxy.url, app=APP, lease=3)
        first = await begun(ledger)
        other = start_worker(redis_url, app=APP, lease=3)
        await on_standby(client, 1)
        cut_at = time.monotonic()
        proxy.black_hole()

        second = await begun(ledger, 2)
        (end,) = [line for line in told(ledger) if line.event == "stop"]
        assert (end.token, second.pid) == (first.token, other.pid)
        assert end.at - cut_at < TTL, "by its own clock, before its lock's time was over"
        assert second.at - cut_at < TTL + SLACK
        assert_never_two(ledger)
        proxy.black_hole(False)

        # It is there again when the other one isn't.
        await on_standby(client, 1)
        other.kill()
        third = await begun(ledger, 3)
        assert third.pid == cut_off.pid
    assert_never_two(ledger)


async def test_connections_that_die_cost_it_nothing(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
) -> None:
    """As a firewall leaves them: nothing sent on them ever arrives, new ones work."""
    async with Client(redis_url) as client:
        start_worker(proxy.url, app=APP, lease=3)
        first = await begun(ledger)

        async def renewed_after(moment: int) -> bool:
            lock = await client.storage.get_lock(standing.standing.lock)
            return lock is not None and lock.until_ms > moment

        for fault in (proxy.cut, proxy.half_open, proxy.cut):
            assert fault() > 0
            lock = await client.storage.get_lock(standing.standing.lock)
            assert lock is not None
            # Twice its time later it has been renewed by new connections alone.
            await eventually(functools.partial(renewed_after, lock.until_ms + TTL * 1000), 30)
        assert starts(ledger) == [first]
        assert not ended(ledger, first.token)


async def test_while_redis_is_away_for_less_than_the_ttl_it_goes_on(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
) -> None:
    async with Client(redis_url) as client:
        worker = start_worker(proxy.url, app=APP, lease=3)
        first = await begun(ledger)
        proxy.refuse()
        proxy.cut()
        await eventually(lambda: "can't be renewed" in worker.log)
        proxy.refuse(False)

        async def renewed() -> bool:
            lock = await client.storage.get_lock(standing.standing.lock)
            now = (await client.stats()).now.timestamp()
            return lock is not None and lock.number == first.token and lock.until_ms / 1000 - now > TTL * 0.6

        await eventually(renewed, ignoring=(StorageError,))
        assert starts(ledger) == [first]


async def test_a_worker_ends_over_one_that_cannot_be_stopped(
    redis_url: str, start_process: ProcessFactory
) -> None:
    worker = start_process(
        *("-m", "asyncjobs", "worker", "tests.faults.apps.deaf:registry", "--redis", redis_url)
    )
    worker.wait_until_serving()
    await eventually(lambda: "can't hear you" in worker.log)
    assert worker.stop() == 0
    assert "process deaf doesn't stop though it was cancelled: it is left behind" in worker.log
    assert "the process ends over them" in worker.log
