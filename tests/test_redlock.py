"""Redlock: a lock on a majority of servers that fail, and whose clocks are wrong; two never have it."""
# ruff: noqa: PT012 - what is tested is what becomes of a block of code

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from asyncjobs import Client, Lock, Redlock
from asyncjobs.clock import system_clock
from asyncjobs.errors import LockLost, LockNotAcquired, OptionError, StorageUnavailable
from asyncjobs.locks import LockTasks
from asyncjobs.redlock import DRIFT, QuorumHold
from asyncjobs.storage.locks import LockReply
from asyncjobs.storage.memory import MemoryStorage
from tests.servers import Server
from tests.waiting import eventually

TTL = 1
BRIEF_MS = 300
"""A ttl below what users may give, so that holders that die don't take long."""


class Node(MemoryStorage):
    """A server that can be down, stall, and have a clock of its own."""

    def __init__(self) -> None:
        began = system_clock()
        super().__init__(
            clock=lambda: began + round((system_clock() - began) * self.rate) + self.ahead,
        )
        self.ahead = 0
        self.rate = 1.0
        self.down = False
        self.stalled = False
        self.granting = asyncio.Event()
        self.granting.set()
        self.granted = 0
        self.chance: random.Random | None = None
        """How far away it is: so that those that want a lock at once come to each in another order."""

    async def _pass(self) -> None:
        if self.chance is not None:
            for _ in range(self.chance.randrange(12)):
                await asyncio.sleep(0)
        if self.down:
            raise StorageUnavailable("it is down")
        if self.stalled:
            await asyncio.Event().wait()

    async def acquire_lock(self, *args: Any) -> LockReply:
        await self._pass()
        await self.granting.wait()
        self.granted += 1
        return await super().acquire_lock(*args)

    async def renew_lock(self, *args: Any) -> bool:
        await self._pass()
        return await super().renew_lock(*args)

    async def release_lock(self, *args: Any) -> None:
        await self._pass()
        await super().release_lock(*args)


@pytest.fixture
def nodes() -> list[Node]:
    return [Node() for _ in range(5)]


@pytest.fixture
async def redlock(nodes: list[Node]) -> AsyncIterator[Redlock]:
    async with Redlock([Client(node) for node in nodes]) as redlock:
        yield redlock


async def holders(nodes: list[Node], name: str = "ledger") -> list[str | None]:
    """Whose it is on each node."""
    locks = [await node.get_lock(name) for node in nodes]
    return [None if lock is None else lock.holder for lock in locks]


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_it_is_held_on_all_and_released_on_all(redlock: Redlock, nodes: list[Node]) -> None:
    async with redlock.lock("ledger", ttl=30) as lock:
        assert isinstance(lock, Lock)
        (holder,) = set(await holders(nodes))
        assert holder is not None
        assert not lock.lost
        assert timedelta(seconds=20) < lock.remaining < timedelta(seconds=24)
        assert {(await node.get_lock("ledger")).number for node in nodes} == {lock.token}  # type: ignore[union-attr]
        with pytest.raises(LockNotAcquired, match="another holds it, or wants it too, on 5 of 5 servers"):
            await redlock.lock("ledger", wait=0).__aenter__()
        assert await holders(nodes) == [holder] * 5
    assert await holders(nodes) == [None] * 5


async def test_the_next_one_has_it_as_soon_as_it_is_released(redlock: Redlock, nodes: list[Node]) -> None:
    async with redlock.lock("ledger", ttl=3600) as first:
        getting = asyncio.create_task(redlock.lock("ledger", ttl=3600).__aenter__())

        async def waits() -> bool:
            locks = [await node.get_lock("ledger") for node in nodes]
            return all(lock is not None and lock.waiting == 1 for lock in locks)

        await eventually(waits)
    second = await asyncio.wait_for(getting, 10)
    assert second.token > first.token
    await second.release()


@pytest.mark.parametrize("fault", ["down", "stalled"])
async def test_a_minority_may_fail(redlock: Redlock, nodes: list[Node], fault: str) -> None:
    for node in nodes[:2]:
        setattr(node, fault, True)
    async with redlock.lock("ledger", ttl=TTL) as lock:
        assert (await holders(nodes))[:2] == [None, None]
        until = max([(await node.get_lock("ledger")).until_ms for node in nodes[2:]])  # type: ignore[union-attr]

        async def renewed() -> bool:
            return (await nodes[2].get_lock("ledger")).until_ms > until + TTL * 1000  # type: ignore[union-attr]

        await eventually(renewed)
        assert not lock.lost
    assert await holders(nodes) == [None] * 5


@pytest.mark.parametrize("fault", ["down", "stalled"])
async def test_without_a_majority_nobody_gets_it(redlock: Redlock, nodes: list[Node], fault: str) -> None:
    for node in nodes[:3]:
        setattr(node, fault, True)
    for wait in (0, 0.3):
        with pytest.raises(LockNotAcquired, match="of 5 servers answered, and 3 are needed"):
            await redlock.lock("ledger", wait=wait).__aenter__()
        await eventually(lambda: _all_free(nodes))
    getting = asyncio.create_task(redlock.lock("ledger").__aenter__())
    await asyncio.sleep(0)
    for node in nodes:
        setattr(node, fault, False)
    lock = await asyncio.wait_for(getting, 10)
    await lock.release()


async def _all_free(nodes: list[Node]) -> bool:
    return await holders(nodes) == [None] * len(nodes)


@pytest.mark.parametrize("fault", ["down", "stalled"])
async def test_whoever_has_it_loses_it_with_the_majority(
    redlock: Redlock, nodes: list[Node], fault: str
) -> None:
    ended: list[float] = []
    with pytest.raises(LockLost, match="wasn't renewed"):
        async with redlock.lock("ledger", ttl=TTL) as lock:
            for node in nodes[:3]:
                setattr(node, fault, True)
            try:
                await for_ever()
            finally:
                ended.append(time.monotonic())
    for node in nodes:
        setattr(node, fault, False)
    hold: Any = lock._hold
    assert ended[0] < hold.valid_until, "before another could have it"


async def test_it_is_lost_when_a_majority_refuses_to_extend_it(redlock: Redlock, nodes: list[Node]) -> None:
    with pytest.raises(LockLost, match="ran out, or was released"):
        async with redlock.lock("ledger", ttl=TTL):
            for node in nodes[:3]:
                lock = await node.get_lock("ledger")
                assert lock is not None
                await node.release_lock("ledger", lock.holder)
            await for_ever()
    await eventually(lambda: _all_free(nodes))


async def test_a_minority_that_forgot_it_costs_nothing(redlock: Redlock, nodes: list[Node]) -> None:
    async with redlock.lock("ledger", ttl=TTL) as lock:
        for node in nodes[:2]:
            node._shards = MemoryStorage()._shards
        assert not await redlock.lock("ledger", wait=0).acquire()
        until = (await nodes[2].get_lock("ledger")).until_ms  # type: ignore[union-attr]

        async def renewed() -> bool:
            return (await nodes[2].get_lock("ledger")).until_ms > until + TTL * 1000  # type: ignore[union-attr]

        await eventually(renewed)
        assert not lock.lost


async def test_what_was_granted_in_vain_is_given_back(redlock: Redlock, nodes: list[Node]) -> None:
    for node in nodes[:3]:
        await node.acquire_lock("ledger", "another", 60_000)
    assert not await redlock.lock("ledger", wait=0).acquire()
    assert await holders(nodes) == ["another"] * 3 + [None] * 2
    # Nor does anybody wait there.
    assert not await redlock.lock("ledger", wait=0.05).acquire()
    assert [(await node.get_lock("ledger")).waiting for node in nodes[:3]] == [0] * 3  # type: ignore[union-attr]


async def test_one_that_is_cancelled_as_it_gets_it_leaves_nothing(
    redlock: Redlock, nodes: list[Node]
) -> None:
    nodes[0].stalled = nodes[1].stalled = nodes[2].stalled = True
    getting = asyncio.create_task(redlock.lock("ledger").acquire())

    async def granted() -> bool:
        return (await holders(nodes))[3] is not None

    await eventually(granted)
    getting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await getting
    await eventually(lambda: _all_free(nodes))


async def test_one_that_grants_it_late_is_told_of_the_release_after_that(
    redlock: Redlock, nodes: list[Node]
) -> None:
    nodes[0].granting.clear()
    async with redlock.lock("ledger"):
        assert (await holders(nodes))[0] is None, "the majority was enough"
    assert nodes[0].granted == 0
    nodes[0].granting.set()
    await eventually(lambda: nodes[0].granted == 1)
    await eventually(lambda: _all_free(nodes))


@pytest.mark.parametrize("count", [0, 1, 2])
async def test_too_few_servers(nodes: list[Node], count: int) -> None:
    with pytest.raises(OptionError, match=r"client\.lock"):
        Redlock([Client(node) for node in nodes[:count]])


async def test_a_server_that_is_given_twice(nodes: list[Node]) -> None:
    with pytest.raises(OptionError, match="twice"):
        Redlock([Client(nodes[0]), Client(nodes[1]), Client(nodes[0])])


async def test_a_server_that_is_given_twice_by_other_addresses(
    nodes: list[Node], server: Server, redis_url: str
) -> None:
    other = redis_url.replace("127.0.0.1", "localhost")
    assert other != redis_url
    clients = [Client(redis_url), Client(nodes[0]), Client(other, namespace="other")]
    async with Redlock(clients) as redlock:
        with pytest.raises(OptionError, match="number 1 and 3 of its clients are of the same one"):
            await redlock.lock("ledger", ttl=TTL).acquire()

        async def released() -> bool:
            return not any([await client.locks() for client in clients])

        await eventually(released)


@pytest.mark.parametrize(
    ("name", "options"), [("", {}), ("process:x", {}), ("ledger", {"ttl": 0.1}), ("ledger", {"wait": -1})]
)
async def test_what_cannot_be(redlock: Redlock, name: str, options: Any) -> None:
    with pytest.raises(OptionError):
        redlock.lock(name, **options)


# -- who has it when, by the algorithm's own terms --


@dataclass(frozen=True)
class Turn:
    """When somebody had it, by one clock: until it was let go of, or until the algorithm says."""

    began: float
    ended: float
    token: int


class Holders:
    """Several that want a lock, each with connections of its own, of which some die as they hold it."""

    def __init__(self, nodes: list[Node], chance: random.Random) -> None:
        self.nodes = nodes
        self.chance = chance
        self.turns: list[Turn] = []
        self.tasks = LockTasks()

    async def want(self, turns: int) -> None:
        """Have it so often, until it is let go of or, as one that dies, not."""
        for _ in range(turns):
            hold = QuorumHold(self.nodes, "ledger", BRIEF_MS, lambda: None, self.tasks)
            while not await hold.acquire():
                await hold.wait()
            began = time.monotonic()
            for _ in range(self.chance.randrange(5)):
                await asyncio.sleep(0)
            if self.chance.random() < 0.2:
                # It dies: what it began before is its own, until the lock's time is over.
                hold.forget()
                self.turns.append(Turn(began, hold.valid_until, hold.number))
            else:
                self.turns.append(Turn(began, min(time.monotonic(), hold.valid_until), hold.number))
                await hold.release()

    def assert_never_two(self) -> None:
        turns = sorted(self.turns, key=lambda turn: turn.began)
        for earlier, later in pairwise(turns):
            assert earlier.ended <= later.began, f"{earlier} overlaps {later}"
            assert earlier.token < later.token


@pytest.fixture
def chance() -> random.Random:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


async def contend(nodes: list[Node], chance: random.Random, count: int = 6, turns: int = 8) -> Holders:
    wanted = Holders(nodes, chance)
    for node in nodes:
        node.chance = chance
    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(wanted.want(turns))
    assert len(wanted.turns) == count * turns
    return wanted


async def test_two_never_have_it_though_holders_die(nodes: list[Node], chance: random.Random) -> None:
    for number, node in enumerate(nodes):
        node.ahead = number * 3_600_000 - 7_200_000
    (await contend(nodes, chance)).assert_never_two()


async def test_two_never_have_it_though_clocks_run_apart_as_far_as_they_may(
    nodes: list[Node], chance: random.Random
) -> None:
    """The lock's time on one that is fast is over 1 % too early."""
    for number, node in enumerate(nodes):
        node.rate = 1 + DRIFT * (number - 2) / 2
    (await contend(nodes, chance)).assert_never_two()


async def test_what_is_held_on_all_survives_the_jumps_of_a_minoritys_clocks(
    redlock: Redlock, nodes: list[Node]
) -> None:
    async with redlock.lock("ledger", ttl=60) as lock:
        for node in nodes[:2]:
            node.ahead += 120_000
            assert await node.get_lock("ledger") is None
        assert not await redlock.lock("ledger", ttl=60, wait=0).acquire()
        assert not lock.lost


async def test_two_never_have_it_though_servers_come_and_go(nodes: list[Node], chance: random.Random) -> None:
    over = asyncio.Event()

    async def come_and_go() -> None:
        while not over.is_set():
            down = chance.sample(nodes, 2)
            for node in nodes:
                node.down = node in down
            for _ in range(20):
                await asyncio.sleep(0)

    failing = asyncio.create_task(come_and_go())
    wanted = await contend(nodes, chance, 3, 5)
    over.set()
    await failing
    wanted.assert_never_two()


async def test_tokens_grow_whatever_clocks_the_majority_has(
    redlock: Redlock, nodes: list[Node], chance: random.Random
) -> None:
    tokens: list[int] = []
    for _ in range(50):
        for node in nodes:
            node.ahead = chance.randrange(-3_600_000, 3_600_000)
            node.down = False
        for node in chance.sample(nodes, 2):
            node.down = True
        async with redlock.lock("ledger", wait=10) as lock:
            tokens.append(lock.token)
            for node in nodes:
                node.down = False
    assert tokens == sorted(set(tokens))


async def test_where_time_fails_tokens_still_tell_who_came_later(redlock: Redlock, nodes: list[Node]) -> None:
    """Beyond its terms: the clocks of a majority jump, so that two have it at once."""
    nodes[4].ahead = 3_600_000
    async with redlock.lock("ledger", ttl=60) as first:
        for node in nodes[:3]:
            node.ahead += 120_000
        nodes[4].down = True
        async with redlock.lock("ledger", ttl=60, wait=0) as second:
            assert not first.lost
            assert second.token > first.token
