"""Locks for users: one holder at a time, a block that is cancelled when its lock is lost, and who waits."""
# ruff: noqa: PT012 - what is tested is what becomes of a block of code

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import anyio
import pytest

from asyncjobs import Client, JobContext, Lock, Registry, Worker
from asyncjobs.errors import AsyncjobsError, LockLost, LockNotAcquired, OptionError
from asyncjobs.storage.locks import LockReply
from asyncjobs.storage.memory import MemoryStorage
from asyncjobs.storage.redis.keys import Keys, hash_tag
from tests.servers import Server
from tests.waiting import eventually, eventually_sync

TTL = 1
"""The shortest: what is lost is noticed within a quarter of it."""


@pytest.fixture(params=["redis", "memory"])
async def client(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Client]:
    async with Client(MemoryStorage() if request.param == "memory" else redis_url) as client:
        yield client


async def for_ever() -> None:
    await asyncio.Event().wait()


async def waiting(client: Client, count: int, name: str = "ledger") -> None:
    """Wait until so many wait for a lock that is held."""

    async def wait() -> bool:
        lock = await client.get_lock(name)
        return lock is not None and lock.waiting == count

    await eventually(wait)


class TestHolding:
    async def test_a_block_has_the_lock_and_lets_go_of_it(self, client: Client) -> None:
        async with client.lock("ledger") as lock:
            assert isinstance(lock, Lock)
            (info,) = await client.locks()
            assert (info.name, info.token, info.waiting) == ("ledger", lock.token, 0)
            assert lock.token > 0
            assert not lock.lost
            assert timedelta(0) < lock.remaining < timedelta(seconds=30)
            lock.check()
        assert await client.locks() == []
        assert not lock.lost
        assert lock.remaining == timedelta(0)
        with pytest.raises(LockLost, match="isn't held"):
            lock.check()

    async def test_each_holders_token_is_higher(self, client: Client) -> None:
        tokens: list[int] = []
        for _ in range(5):
            async with client.lock("ledger", ttl=timedelta(seconds=5)) as lock:
                tokens.append(lock.token)
        assert tokens == sorted(set(tokens))

    async def test_two_never_have_it_at_once(self, client: Client) -> None:
        inside: list[int] = []
        tokens: list[int] = []

        async def work() -> None:
            async with client.lock("ledger") as lock:
                inside.append(lock.token)
                tokens.append(lock.token)
                await asyncio.sleep(0)
                assert inside == [lock.token]
                inside.remove(lock.token)

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(work())
        assert len(tokens) == 30
        assert tokens == sorted(set(tokens))
        assert await client.locks() == []

    async def test_it_is_kept_for_longer_than_its_time(self, client: Client) -> None:
        async with client.lock("ledger", ttl=TTL) as lock:
            until = (await client.locks())[0].until + timedelta(seconds=TTL)

            async def later() -> bool:
                return (await client.locks())[0].until > until

            await eventually(later)
            assert not lock.lost
            assert (await client.locks())[0].token == lock.token

    async def test_locks_of_other_names_are_others(self, client: Client) -> None:
        async with client.lock("one"), client.lock("two", wait=0), client.lock("one:u", wait=0):
            assert {lock.name for lock in await client.locks()} == {"one", "two", "one:u"}

    async def test_a_block_that_raises_lets_go_of_it(self, client: Client) -> None:
        with pytest.raises(ZeroDivisionError):
            async with client.lock("ledger"):
                raise ZeroDivisionError
        assert await client.locks() == []

    async def test_one_object_is_one_holder_again_and_again(self, client: Client) -> None:
        lock = client.lock("ledger")
        assert repr(lock) == "<Lock 'ledger': not held>"
        with pytest.raises(AsyncjobsError, match="before it is acquired"):
            _ = lock.token
        async with lock:
            first = lock.token
            with pytest.raises(AsyncjobsError, match="this very object"):
                await lock.acquire()
            assert "held, token" in repr(lock)
        async with lock:
            assert lock.token > first

    @pytest.mark.parametrize("name", ["", "x" * 201, "a\nb", "process:tidy", 5, "\ud800"])
    async def test_a_name_that_cannot_be(self, client: Client, name: Any) -> None:
        with pytest.raises(OptionError, match="lock name"):
            client.lock(name)

    @pytest.mark.parametrize("options", [{"ttl": 0.5}, {"ttl": 86_401}, {"ttl": "30"}, {"wait": -1}])
    async def test_times_that_cannot_be(self, client: Client, options: Any) -> None:
        with pytest.raises(OptionError, match=next(iter(options))):
            client.lock("ledger", **options)


class TestWaiting:
    async def test_it_is_had_as_soon_as_it_is_released(self, client: Client) -> None:
        order: list[str] = []

        async def second() -> None:
            async with client.lock("ledger", ttl=3600):
                order.append("second")

        async with client.lock("ledger", ttl=3600):
            task = asyncio.create_task(second())
            await waiting(client, 1)
            order.append("first")
        await asyncio.wait_for(task, 10)
        assert order == ["first", "second"]

    @pytest.mark.parametrize("wait", [0, 0.05, timedelta(milliseconds=50)])
    async def test_it_is_not_waited_for_longer_than_told(self, client: Client, wait: Any) -> None:
        async with client.lock("ledger"):
            with pytest.raises(LockNotAcquired, match=r"'ledger' wasn't obtained.*another holds it"):
                async with client.lock("ledger", wait=wait):
                    raise AssertionError("two have it")
            with pytest.raises(TimeoutError):
                await client.lock("ledger", wait=wait).__aenter__()
            assert (await client.locks())[0].waiting == 0
        async with client.lock("ledger", wait=wait):
            pass

    async def test_one_that_is_cancelled_as_it_waits_waits_no_longer(self, client: Client) -> None:
        async with client.lock("ledger", ttl=3600):
            cancelled, other = (
                asyncio.create_task(client.lock("ledger", ttl=3600).acquire()) for _ in range(2)
            )
            await waiting(client, 2)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            await waiting(client, 1)
        assert await asyncio.wait_for(other, 10)

    async def test_when_its_holder_died_it_is_had_after_its_time(self, client: Client) -> None:
        dead = client.storage
        await dead.acquire_lock("ledger", "dead", 1_000)
        began = time.monotonic()
        async with client.lock("ledger", wait=30):
            assert time.monotonic() - began > 0.9

    async def test_it_is_let_go_of_if_it_was_granted_to_one_that_is_cancelled(self) -> None:
        granted = asyncio.Event()

        class Slow(MemoryStorage):
            async def acquire_lock(self, *args: Any, **options: Any) -> LockReply:
                reply = await super().acquire_lock(*args, **options)
                granted.set()
                await for_ever()
                return reply

        async with Client(Slow()) as client:
            for wait in (None, 0):
                granted.clear()
                acquiring = asyncio.create_task(client.lock("ledger", wait=wait).acquire())
                await asyncio.wait_for(granted.wait(), 10)
                assert len(await client.locks()) == 1
                acquiring.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await acquiring
                assert await client.locks() == []
            # A time-out is no different.
            assert not await client.lock("ledger", wait=0.05).acquire()
            assert await client.locks() == []


async def lose(client: Client, name: str = "ledger") -> None:
    """Take a lock away."""
    assert await client.break_lock(name)


class TestLosing:
    async def test_its_block_is_cancelled(self, client: Client) -> None:
        cleaned_up = False
        lock = client.lock("ledger", ttl=TTL)
        with pytest.raises(LockLost, match="'ledger' was lost: it ran out, or was released by hand"):
            async with lock:
                await lose(client)
                try:
                    await for_ever()
                finally:
                    assert lock.lost
                    # What the block has to tidy up may take its time, as with `asyncio.timeout`.
                    await asyncio.sleep(0)
                    cleaned_up = True
        assert cleaned_up
        assert lock.lost
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        # Nothing is left of the cancellation.
        await asyncio.sleep(0)

    async def test_another_holder_is_left_alone(self, client: Client) -> None:
        with pytest.raises(LockLost):
            async with client.lock("ledger", ttl=TTL) as lock:
                await lose(client)
                other = client.lock("ledger", ttl=3600, wait=0)
                assert await other.acquire()
                await for_ever()
        (info,) = await client.locks()
        assert info.token == other.token > lock.token
        await other.release()

    async def test_a_cancellation_from_outside_is_one(self, client: Client) -> None:
        inside = asyncio.Event()

        async def work() -> None:
            async with client.lock("ledger"):
                inside.set()
                await for_ever()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await client.locks() == []

    async def test_a_cancellation_from_outside_counts_more(self, client: Client) -> None:
        lock = client.lock("ledger", ttl=TTL)
        inside = asyncio.Event()

        async def work() -> None:
            async with lock:
                inside.set()
                try:
                    await for_ever()
                except asyncio.CancelledError:
                    # Lost: and while it ends, it is cancelled as well.
                    assert lock.lost
                    inside.set()
                    await for_ever()

        task = asyncio.create_task(work())
        await inside.wait()
        inside.clear()
        await lose(client)
        await asyncio.wait_for(inside.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_what_the_block_raises_meanwhile_is_raised(self, client: Client) -> None:
        with pytest.raises(ZeroDivisionError):
            async with client.lock("ledger", ttl=TTL):
                await lose(client)
                try:
                    await for_ever()
                finally:
                    raise ZeroDivisionError
        await asyncio.sleep(0)

    async def test_a_block_that_goes_on_is_told_at_its_end(self, client: Client) -> None:
        with pytest.raises(LockLost):
            async with client.lock("ledger", ttl=TTL) as lock:
                await lose(client)
                with contextlib.suppress(asyncio.CancelledError):
                    await for_ever()
                with pytest.raises(LockLost):
                    lock.check()

    async def test_of_two_the_one_that_was_lost_is_told(self, client: Client) -> None:
        with pytest.raises(LockLost, match="'outer'"):
            async with client.lock("outer", ttl=TTL), client.lock("inner", ttl=3600):
                await lose(client, "outer")
                await for_ever()
        assert await client.locks() == []
        with pytest.raises(LockLost, match="'inner'"):
            async with client.lock("outer", ttl=3600), client.lock("inner", ttl=TTL):
                await lose(client, "inner")
                await for_ever()
        assert await client.locks() == []

    async def test_two_that_are_lost_at_once(self, client: Client) -> None:
        with pytest.raises(LockLost, match="'outer'"):
            async with client.lock("outer", ttl=TTL) as outer, client.lock("inner", ttl=TTL) as inner:
                await asyncio.gather(lose(client, "outer"), lose(client, "inner"))
                try:
                    await for_ever()
                except asyncio.CancelledError:
                    with contextlib.suppress(asyncio.CancelledError):
                        await eventually(lambda: outer.lost and inner.lost)
                    raise
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0

    async def test_time_outs_around_it_and_inside_are_time_outs(self, client: Client) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), client.lock("ledger"):
                await for_ever()
        assert await client.locks() == []
        with pytest.raises(TimeoutError):
            async with client.lock("ledger"), asyncio.timeout(0.05):
                await for_ever()
        assert await client.locks() == []
        # A scope of anyio cancels whatever is awaited in it, the release excepted.
        with anyio.move_on_after(0.05) as scope:
            async with client.lock("ledger"):
                await for_ever()
        assert scope.cancelled_caught
        assert await client.locks() == []

    async def test_the_end_of_a_cancelled_block_waits_for_the_release(self) -> None:
        class Slow(MemoryStorage):
            async def release_lock(self, *args: Any) -> None:
                for _ in range(20):
                    await asyncio.sleep(0)
                await super().release_lock(*args)

        async with Client(Slow()) as client:
            with anyio.move_on_after(0.01):
                async with client.lock("ledger"):
                    await for_ever()
            assert await client.locks() == []

    async def test_a_block_that_held_up_the_event_loop_is_told_though_it_never_awaits(
        self, client: Client
    ) -> None:
        with pytest.raises(LockLost, match="stood still"):
            async with client.lock("ledger", ttl=TTL) as lock:
                over = time.monotonic() + TTL
                eventually_sync(lambda: time.monotonic() > over)
                assert lock.lost

    async def test_one_acquired_by_hand_cancels_nobody(self, client: Client) -> None:
        lock = client.lock("ledger", ttl=TTL)
        assert await lock.acquire()
        await lose(client)
        await eventually(lambda: lock.lost)
        with pytest.raises(LockLost):
            lock.check()
        await lock.release()
        await lock.release()
        assert lock.lost
        assert await lock.acquire()
        assert not lock.lost
        await lock.release()

    async def test_it_is_taken_away_from_the_holder_that_is_meant(self, client: Client) -> None:
        assert not await client.break_lock("ledger")
        async with client.lock("ledger"):
            (info,) = await client.locks()
            assert not await client.break_lock("ledger", holder="another")
            assert await client.locks() == [info]
        other = client.lock("ledger")
        assert await other.acquire()
        assert not await client.break_lock("ledger", holder=info.holder)
        assert await client.break_lock("ledger", holder=(await client.locks())[0].holder)
        await other.release()


registry = Registry()


@registry.job(name="locks.count", context=True)
async def count(context: JobContext) -> int:
    async with context.client.lock("ledger") as lock:
        return lock.token


@registry.job(name="locks.count_in_a_thread", context=True)
def count_in_a_thread(context: JobContext) -> int:
    with context.sync_client.lock("ledger", ttl=5, wait=timedelta(seconds=30)) as lock:
        lock.check()
        return lock.token


async def test_jobs_use_them_both_in_threads_and_on_the_loop(redis_url: str) -> None:
    async with Client(redis_url, registry=registry) as client, Worker(registry, client):
        calls = [call for _ in range(10) for call in (count.call(), count_in_a_thread.call())]
        jobs = await client.enqueue_many(calls)
        tokens = [await job.result(timeout=30) for job in jobs]
        assert len(set(tokens)) == len(jobs)
        assert await client.locks() == []


async def test_a_hand_over_takes_two_commands_of_the_one_that_waits(server: Server) -> None:
    async with Client(server.url) as one, Client(server.url) as two:
        held = one.lock("ledger", ttl=3600)
        assert await held.acquire()
        getting = asyncio.create_task(two.lock("ledger", ttl=3600).acquire())
        await waiting(one, 1)
        # The reader of its inbox waits.
        await eventually(lambda: server.client().info("clients")["blocked_clients"] == 1)
        server.command("CONFIG", "RESETSTAT")
        await held.release()
        assert await asyncio.wait_for(getting, 10)
        told: Any = server.client().info("commandstats")
        assert told["cmdstat_evalsha"]["calls"] == 2, "a release and an acquire"
        assert told["cmdstat_blpop"]["calls"] <= 2, "what was told, and perhaps the next read"


async def test_those_that_wait_do_not_ask_again_and_again(server: Server) -> None:
    async with Client(server.url) as client, client.lock("ledger", ttl=3600):
        tasks = [asyncio.create_task(client.lock("ledger", ttl=3600).acquire()) for _ in range(20)]
        await waiting(client, 20)
        await eventually(lambda: server.client().info("clients")["blocked_clients"] == 1)
        server.command("CONFIG", "RESETSTAT")
        over = time.monotonic() + 1
        await eventually(lambda: time.monotonic() > over)
        told: Any = server.client().info("commandstats")
        assert "cmdstat_evalsha" not in told
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_dead_holders_leave_behind_is_cleared_away(server: Server) -> None:
    index = Keys(hash_tag("asyncjobs", 0, 1)).key("locks")
    async with Client(server.url) as client:
        for number in range(20):
            await client.storage.acquire_lock(f"dead {number}", "dead", 1)
        for number in range(20):
            await client.storage.acquire_lock(f"living {number}", "living", 60_000)
        assert server.command("ZCARD", index) == 20
        for number in range(20):
            await client.storage.release_lock(f"living {number}", "living")
        assert server.command("ZCARD", index) == 0
