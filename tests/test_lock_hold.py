"""Holding a lock: what its holder knows of it when the storage answers late, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from asyncjobs import lock_inbox
from asyncjobs.clock import system_clock
from asyncjobs.errors import StorageUnavailable
from asyncjobs.lock_hold import LOST_AFTER, LockHold
from asyncjobs.lock_inbox import LockInbox
from asyncjobs.storage.locks import LockReply
from asyncjobs.storage.memory import MemoryStorage
from tests.waiting import eventually

TTL_MS = 4_000


class UnreliableStorage(MemoryStorage):
    """Its next answers about locks don't come, or are refused."""

    def __init__(self) -> None:
        super().__init__()
        self.hang = 0
        self.unavailable = False
        self.acquired = asyncio.Event()
        self.answering = asyncio.Event()
        self.answering.set()
        self.renewals = 0

    async def acquire_lock(self, name: str, token: str, ttl_ms: int, inbox: str = "") -> LockReply:
        reply = await super().acquire_lock(name, token, ttl_ms, inbox)
        self.acquired.set()
        await self.answering.wait()
        return reply

    async def renew_lock(self, name: str, token: str, ttl_ms: int, floor: int = 0) -> bool:
        if self.unavailable:
            raise StorageUnavailable("out of order")
        if self.hang:
            self.hang -= 1
            await asyncio.Event().wait()
        renewed = await super().renew_lock(name, token, ttl_ms, floor)
        self.renewals += 1
        return renewed


@pytest.fixture
def storage() -> UnreliableStorage:
    return UnreliableStorage()


@pytest.fixture
async def inbox(storage: UnreliableStorage) -> AsyncIterator[LockInbox]:
    inbox = LockInbox(storage)
    yield inbox
    await inbox.close()


@asynccontextmanager
async def kept(hold: LockHold) -> AsyncIterator[None]:
    keeping = asyncio.create_task(hold.keep())
    yield
    keeping.cancel()
    await asyncio.wait([keeping])


async def test_a_renewal_that_is_never_answered_is_tried_again_in_time(
    storage: UnreliableStorage, inbox: LockInbox
) -> None:
    lost = asyncio.Event()
    hold = LockHold(storage, inbox, "ledger", TTL_MS, lost.set)
    assert await hold.acquire()
    storage.hang = 1
    async with kept(hold):
        await eventually(lambda: storage.renewals >= 2)
    assert hold.held
    assert not lost.is_set()


async def test_without_answers_it_is_lost_before_anybody_else_can_have_it(
    storage: UnreliableStorage, inbox: LockInbox
) -> None:
    lost_at: list[int] = []
    hold = LockHold(storage, inbox, "ledger", TTL_MS, lambda: lost_at.append(system_clock()))
    acquired_at = system_clock()
    assert await hold.acquire()
    storage.unavailable = True
    async with kept(hold):
        await eventually(lambda: lost_at)
    lock = await storage.get_lock("ledger")
    assert not hold.held
    assert lost_at[0] >= acquired_at + TTL_MS * LOST_AFTER - 1
    assert lock is not None
    assert lost_at[0] < lock.until_ms


async def test_when_it_is_anothers_it_is_lost_with_the_next_renewal(
    storage: UnreliableStorage, inbox: LockInbox
) -> None:
    lost = asyncio.Event()
    hold = LockHold(storage, inbox, "ledger", 1_000, lost.set)
    assert await hold.acquire()
    lock = await storage.get_lock("ledger")
    assert lock is not None
    await storage.release_lock("ledger", lock.holder)
    await storage.acquire_lock("ledger", "another", 60_000)
    await asyncio.wait_for(hold.keep(), 10)
    assert lost.is_set()
    assert not hold.held
    assert not await hold.acquire()


async def test_one_that_was_acquired_too_late_is_not_relied_on(
    storage: UnreliableStorage, inbox: LockInbox
) -> None:
    hold = LockHold(storage, inbox, "ledger", 50, lambda: None)
    storage.answering.clear()
    acquiring = asyncio.create_task(hold.acquire())
    await asyncio.wait_for(storage.acquired.wait(), 10)

    async def over() -> bool:
        return await storage.get_lock("ledger") is None

    await eventually(over)
    storage.answering.set()
    assert not await acquiring
    assert not hold.held
    await eventually(hold.acquire)


async def test_one_that_died_as_it_waited_keeps_nobody_else_waiting(
    storage: UnreliableStorage, inbox: LockInbox
) -> None:
    holder, dead, living = (LockHold(storage, inbox, "ledger", 86_400_000, lambda: None) for _ in range(3))
    assert await holder.acquire()
    assert not await dead.acquire()
    came = system_clock()
    await eventually(lambda: system_clock() > came)
    assert not await living.acquire()
    waiting = asyncio.create_task(living.wait())
    await asyncio.sleep(0)
    await holder.release()
    await asyncio.wait_for(waiting, 10)
    assert await living.acquire()


async def test_a_release_is_told_at_once_to_the_one_that_waits(
    storage: UnreliableStorage, inbox: LockInbox
) -> None:
    holder = LockHold(storage, inbox, "ledger", 60_000, lambda: None)
    waiter = LockHold(storage, inbox, "ledger", 60_000, lambda: None)
    assert await holder.acquire()
    assert not await waiter.acquire()
    waiting = asyncio.create_task(waiter.wait())
    await asyncio.sleep(0)
    await holder.release()
    await asyncio.wait_for(waiting, 10)
    assert await waiter.acquire()
    assert waiter.number > holder.number
    await waiter.release()
    assert await storage.get_lock("ledger") is None


async def test_when_word_may_have_been_lost_those_that_wait_try_again(
    storage: UnreliableStorage, inbox: LockInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that isn't answered in time, or fails, may have taken something with it."""
    monkeypatch.setattr(lock_inbox, "RETRY_DELAY", 0)
    holder = LockHold(storage, inbox, "ledger", 86_400_000, lambda: None)
    waiter = LockHold(storage, inbox, "ledger", 86_400_000, lambda: None)
    assert await holder.acquire()
    for fault in (TimeoutError(), StorageUnavailable("out of order")):
        assert not await waiter.acquire()
        with monkeypatch.context() as failing:

            async def receive(*args: object, fault: Exception = fault) -> list[str]:
                await asyncio.sleep(0)
                raise fault

            failing.setattr(storage, "receive", receive)
            await asyncio.wait_for(waiter.wait(), 10)
            await inbox.close()
