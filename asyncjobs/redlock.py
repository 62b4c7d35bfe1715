"""A lock on a majority of independent servers, by the algorithm that Redis' documentation calls Redlock.

1. The same random token is set on all servers in parallel, each with a time-out that is small beside the ttl.
2. It is held if a majority granted it and its validity is positive: the ttl, less the time that this took,
   less what clocks may drift apart. Else it is released on all, those included that didn't answer.
3. Then, and only then, it is tried again, after a random delay.
4. It is extended in the same way: by a majority, within the validity.

https://redis.io/docs/latest/develop/use/patterns/distributed-locks/ says so. One step is our own: the highest
of the numbers that the servers gave is written back to a majority of them, each still held, before it is used
as the fencing token. Any later holder's majority has one of these servers in it, whose next number is higher;
so tokens grow from holder to holder whatever clocks do, as long as servers don't lose what they knew.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from asyncjobs.errors import OptionError, StorageError, StorageUnavailable
from asyncjobs.ids import shard_for
from asyncjobs.lock_hold import Hold, new_token
from asyncjobs.locks import Lock, LockTasks, check_lock_name, check_lock_times
from asyncjobs.storage.base import LockReply, Storage

if TYPE_CHECKING:
    from asyncjobs.client import Client

T = TypeVar("T")

FEWEST = 3
"""Servers, below which a majority survives no loss of one."""
DRIFT = 0.01
"""The part of the ttl by which clocks may run apart in it, and to that:"""
DRIFT_SECONDS = 0.002
NODE_PATIENCE = 0.05
"""The part of the ttl that a server has to answer in, within these bounds:"""
LEAST_PATIENCE = 0.1
MOST_PATIENCE = 1.0
STRAGGLERS = 0.02
"""Seconds that the others have once a majority has answered; or as long again as that took."""
SPREAD = 0.01
"""Seconds within which those that were told of a release try again; doubled when they divided the servers."""
MOST_SPREAD = 0.2
LOOK_AGAIN = 10.0
"""Seconds within which it is tried again untold: all that were told of a release may have died."""
UNREACHABLE_DELAY = 1.0
"""Seconds within which it is tried again while too few servers answer."""


class Servers:
    """Which servers the storages of a Redlock turn out to be on: each is asked once, at its first use."""

    def __init__(self) -> None:
        self._ids: dict[int, frozenset[str]] = {}

    async def know(self, node: int, storage: Storage) -> None:
        """Ask a storage, if it isn't known. Raises `StorageUnavailable`."""
        if node in self._ids:
            return
        try:
            ids = (await storage.server()).run_ids
        except StorageUnavailable:
            raise
        except StorageError:
            # It doesn't let itself be asked: who has set it up has to know.
            ids = ()
        self._ids[node] = frozenset(ids)

    def check(self) -> None:
        """Raise `OptionError` if two are known to be on one server, of which a majority may be made."""
        for node, ids in sorted(self._ids.items()):
            for other in sorted(self._ids.keys()):
                if other < node and ids & self._ids[other]:
                    raise OptionError(
                        f"a Redlock needs a client for each of several independent servers, and number"
                        f" {other + 1} and {node + 1} of its clients are of the same one: give each another"
                        f" server, or use client.lock() with a single one"
                    )


class QuorumHold(Hold):
    """A claim to one lock by one holder on a majority of servers."""

    def __init__(
        self,
        storages: Sequence[Storage],
        name: str,
        ttl_ms: int,
        lost: Callable[[], None],
        tasks: LockTasks,
        *,
        waits: bool = True,
        servers: Servers | None = None,
    ) -> None:
        super().__init__(name, ttl_ms, lost)
        self.valid_until = 0.0
        """Until when it can't be another's, by `time.monotonic()` and the algorithm's own terms."""
        self._storages = storages
        self._quorum = len(storages) // 2 + 1
        self._tasks = tasks
        self._waits = waits
        self._servers = servers or Servers()
        self._patience = min(max(self._ttl * NODE_PATIENCE, LEAST_PATIENCE), MOST_PATIENCE)
        self._token = ""
        self._last: dict[int, asyncio.Task[None]] = {}
        self._refused: dict[int, float] = {}
        self._free_at = 0.0
        self._divided = 0
        self.why_refused = f"too few of {len(storages)} servers answered, and {self._quorum} are needed"

    async def acquire(self) -> bool:
        """Try once to get it. Raises `OptionError` if two storages are on one server."""
        self.pending = True
        waited_as, waited_at = self._token, self._refused
        # No token twice: a late release of the first would let go of the second.
        token = self._token = new_token()
        self._refused = {}
        busy = {node for node, task in self._last.items() if not task.done()}

        async def get(node: int, storage: Storage) -> LockReply:
            if node in busy:
                raise StorageUnavailable("it hasn't answered what came before")
            if node in waited_at:
                await storage.release_lock(self.name, waited_as, waited_as)
            await self._servers.know(node, storage)
            return await storage.acquire_lock(self.name, token, self._ttl_ms, token if self._waits else "")

        sent = time.monotonic()
        replies = await self._ask(get, lambda reply: reply.number > 0)
        self._servers.check()
        granted = [reply.number for reply in replies.values() if reply.number]
        if len(granted) >= self._quorum and await self._agree(token, max(granted), sent):
            return True
        await self._give_back(replies)
        return False

    async def _agree(self, token: str, number: int, sent: float) -> bool:
        """Make the highest number that of a majority; it is held if that comes about within its validity."""

        async def write_back(node: int, storage: Storage) -> bool:
            return await storage.renew_lock(self.name, token, self._ttl_ms, number)

        raised = await self._ask(write_back, bool)
        valid_until = sent + self._ttl * (1 - DRIFT) - DRIFT_SECONDS
        if sum(raised.values()) < self._quorum or time.monotonic() >= valid_until:
            return False
        self.number, self.held, self.valid_until = number, True, valid_until
        self._divided = 0
        self._count_from(sent)
        return self.held

    async def _give_back(self, replies: dict[int, LockReply]) -> None:
        """Release it wherever it wasn't refused, and note where it was, and for how long."""
        now = time.monotonic()
        self._refused = {
            node: now + reply.left_ms / 1000 for node, reply in replies.items() if not reply.number
        }
        granted = len(replies) - len(self._refused)
        servers = len(self._storages)
        if len(replies) < self._quorum:
            self.why_refused = f"{len(replies)} of {servers} servers answered, and {self._quorum} are needed"
        elif self._refused:
            self.why_refused = (
                f"another holds it, or wants it too, on {len(self._refused)} of {servers} servers"
            )
        self._divided = self._divided + 1 if granted and self._refused else 0
        free = [*self._refused.values(), *([now] * granted), *([math.inf] * (servers - len(replies)))]
        self._free_at = sorted(free)[self._quorum - 1]
        if not self._waits:
            self._refused = {}
        token, refused = self._token, self._refused
        self.pending = bool(refused)

        async def release(node: int, storage: Storage) -> bool:
            if node not in refused:
                await storage.release_lock(self.name, token, token)
            return True

        # Those that haven't answered what came before aren't waited for.
        await self._ask(release, bool, enough=len(replies), release=True)

    async def wait(self) -> None:
        """After `acquire` was refused, wait until it is worth another try: told by a server, or by chance."""
        seconds = min(self._free_at - time.monotonic(), random.uniform(0.5, 1) * LOOK_AGAIN)
        if math.isinf(self._free_at):
            seconds = random.uniform(0.5, 1) * UNREACHABLE_DELAY
        hearing = [
            asyncio.ensure_future(
                storage.receive(shard_for(self.name, storage.shards), self._token, max(seconds, 0))
            )
            for node, storage in enumerate(self._storages)
            if node in self._refused
        ]
        try:
            if hearing and seconds > 0:
                await asyncio.wait(hearing, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            elif seconds > 0:
                await asyncio.sleep(seconds)
        finally:
            for each in hearing:
                each.cancel()
            await asyncio.gather(*hearing, return_exceptions=True)
        await asyncio.sleep(random.uniform(0, min(SPREAD * 2 ** min(self._divided, 10), MOST_SPREAD)))

    async def renew(self) -> bool:
        """Extend it once; False if a majority can't be had any more. Raises `StorageUnavailable`."""
        token = self._token

        async def extend(node: int, storage: Storage) -> bool:
            return await storage.renew_lock(self.name, token, self._ttl_ms)

        sent = time.monotonic()
        answers = await self._ask(extend)
        extended = sum(answers.values())
        if extended >= self._quorum:
            if self.held:
                self.valid_until = sent + self._ttl * (1 - DRIFT) - DRIFT_SECONDS
                self._count_from(sent)
            return True
        if len(answers) - extended > len(self._storages) - self._quorum:
            return False
        raise StorageUnavailable(
            f"{extended} of {len(self._storages)} servers have renewed it, and {self._quorum} are needed"
        )

    async def release(self) -> None:
        """Let go of it, and of its places among those that wait, on all servers."""
        self.forget()
        token = self._token

        async def release(node: int, storage: Storage) -> bool:
            await storage.release_lock(self.name, token, token)
            return True

        await self._ask(release, bool, release=True)

    async def _ask(
        self,
        call: Callable[[int, Storage], Awaitable[T]],
        good: Callable[[T], bool] | None = None,
        *,
        enough: int | None = None,
        release: bool = False,
    ) -> dict[int, T]:
        """Ask all servers at once; the answers that came in time.

        With `enough` answers that are `good` (default: a majority), the others aren't waited for much longer.
        What was sent to them goes on, and what is sent to them next comes after it.
        """
        answers: dict[int, T] = {}

        async def ask(node: int, before: asyncio.Task[None] | None) -> None:
            if before is not None:
                await asyncio.wait([before])
            try:
                async with asyncio.timeout(self._patience):
                    answers[node] = await call(node, self._storages[node])
            except (StorageError, TimeoutError):
                pass

        for node in range(len(self._storages)):
            before = self._last.get(node)
            self._last[node] = self._tasks.start(
                ask(node, before if before is not None and not before.done() else None),
                f"lock {self.name}",
                release=release,
            )
        pending = set(self._last.values())
        enough = self._quorum if enough is None else enough
        began = time.monotonic()
        deadline = math.inf
        while pending:
            left = None if math.isinf(deadline) else max(0.0, deadline - time.monotonic())
            done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done and not math.isinf(deadline):
                break
            decided = good is not None and sum(map(good, answers.values())) >= enough
            if decided and math.isinf(deadline):
                now = time.monotonic()
                deadline = now + max(now - began, STRAGGLERS)
        return dict(answers)


class Redlock:
    """Locks on a majority of independent servers: `async with Redlock([one, two, three]).lock("ledger"): …`.

    For servers that fail independently of each other, none a replica of another. **With one server, or one
    and its replicas, `client.lock` is the right one.**

    `clients`: one for each server, at least 3, best an odd number; with 5, two may be down. They needn't be
    open, since one whose server is down can't be. Raises `OptionError`.
    """

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = tuple(clients)
        if len(self.clients) < FEWEST:
            raise OptionError(
                f"a Redlock of {len(self.clients)} servers doesn't survive the loss of one: give clients of 3"
                f" or 5 independent servers, or use client.lock() with a single one"
            )
        if len({id(client.storage) for client in self.clients}) < len(self.clients):
            raise OptionError("a Redlock needs a client for each server, and one is given twice")
        self._servers = Servers()
        self._tasks = LockTasks()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all clients, when what is being released is."""
        await self._tasks.close()
        for client in self.clients:
            await client.close()

    def lock(
        self, name: str, /, *, ttl: timedelta | float = 30.0, wait: timedelta | float | None = None
    ) -> Lock:
        """A lock for a part of your code, as `Client.lock` gives one, on a majority of the servers.

        While too few servers can be reached, nobody gets it, and whoever has it loses it. Raises
        `OptionError`; so does acquiring it if two of the clients turn out to be of one server.
        """
        check_lock_name(name)
        ttl_ms, seconds = check_lock_times(ttl, wait)
        storages = [client.storage for client in self.clients]

        def make(lost: Callable[[], None]) -> QuorumHold:
            return QuorumHold(
                storages, name, ttl_ms, lost, self._tasks, waits=seconds != 0, servers=self._servers
            )

        return Lock(name, seconds, make, self._tasks)
