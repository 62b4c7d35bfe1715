"""One shard: its hash tag, its connections, and how a script is run on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from redis import exceptions as redis_errors

from asyncjobs.clock import Clock
from asyncjobs.errors import NotReplicated, StorageError
from asyncjobs.storage.redis.connection import (
    RETRY_DELAYS,
    EncodableArg,
    Link,
    OnReply,
    is_passing,
    translate,
)
from asyncjobs.storage.redis.keys import Keys, hash_tag
from asyncjobs.storage.redis.pools import Pools
from asyncjobs.storage.redis.scripts import Script

logger = logging.getLogger("asyncjobs.redis")

MAX_CALLS = 50
"""Requests under way at once on one shard, those that block apart."""


FOLLOW_UP = "asyncjobs follow-up"


class Shard:
    """Runs scripts on one shard, sending again what got no answer until the patience given is spent."""

    def __init__(
        self, pools: Pools, namespace: str, number: int, shards: int, clock: Clock | None, patience: float
    ) -> None:
        self.number = number
        self.keys = Keys(hash_tag(namespace, number, shards))
        self.tag = self.keys.tag
        self.clock = clock
        self._pools = pools
        self._patience = patience
        self._idle: list[Link] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls = asyncio.Semaphore(MAX_CALLS)

    def now(self) -> str:
        """The time to hand to a script: none in production, for then Redis' own counts."""
        return "" if self.clock is None else str(self.clock())

    async def run(self, script: Script, *args: EncodableArg, patience: float | None = None) -> Any:
        """Run a script; its reply. Raises our own errors."""
        script.check(len(args))
        since = time.monotonic()
        async with self._calls:
            command = ("EVALSHA", script.sha, 1, self.tag, *args)
            return await self.persist(command, script, patience, since=since)

    def start(self, script: Script, args: list[EncodableArg], done: OnReply, replicas: int = 0) -> None:
        """Run a script, without a task if possible: `done` is called once, with the reply or our error.

        `replicas`: how many of the server's replicas must have what it wrote before that is a reply.
        """
        script.check(len(args))
        command = ("EVALSHA", script.sha, 1, self.tag, *args)
        if replicas:
            self._start_slowly(command, script, done, replicas)
            return
        if not self._idle or not self._idle[-1].ready:
            self._start_slowly(command, script, done)
            return
        link = self._idle.pop()

        def on_reply(reply: Any) -> None:
            if not isinstance(reply, Exception):
                self._idle.append(link)
                done(reply)
            elif self._worth_repeating(reply):
                self._start_slowly(command, script, done)
            else:
                # Redis has answered, and would answer the same again.
                self._idle.append(link)
                done(translate(reply))

        link.ask(command, on_reply)

    def _worth_repeating(self, error: Exception) -> bool:
        return is_passing(error) or isinstance(error, (redis_errors.NoScriptError, redis_errors.AskError))

    def _start_slowly(
        self, command: tuple[EncodableArg, ...], script: Script, done: OnReply, replicas: int = 0
    ) -> None:
        async def carry_out() -> None:
            try:
                reply = await self.persist(command, script)
                if replicas:
                    await self._replicated(replicas)
            except Exception as error:
                reply = error
            done(reply)

        task = asyncio.get_running_loop().create_task(carry_out(), name=f"asyncjobs {script.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def follow_up(self, carry_on: Callable[[int], Awaitable[bool]]) -> None:
        """Carry on what a script was too short for, beside everything else. Workers do so if this can't."""

        async def carry_on_all() -> None:
            with contextlib.suppress(StorageError):
                while await carry_on(self.number):
                    pass

        if not any(task.get_name() == FOLLOW_UP for task in self._tasks):
            task = asyncio.get_running_loop().create_task(carry_on_all(), name=FOLLOW_UP)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Leave nothing running: wait for what was begun here, but break off what any worker carries on."""
        for task in self._tasks:
            if task.get_name() == FOLLOW_UP:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _replicated(self, replicas: int) -> None:
        """Wait until replicas have what the master had when it answered last. Raises `NotReplicated`."""
        # WAIT counts from the last command of its own connection (https://valkey.io/commands/wait): the one
        # that was put back just now.
        link = self._idle.pop()
        try:
            reached = await link.call("WAIT", replicas, int(self._patience * 1000), wait=self._patience)
        except (redis_errors.RedisError, OSError, EOFError) as error:
            await link.drop()
            raise NotReplicated(
                f"the job is stored, but its replication can't be confirmed: {error}"
            ) from error
        self._idle.append(link)
        if reached < replicas:
            raise NotReplicated(
                f"the job is stored, but {reached} of {replicas} replicas had it within {self._patience:g} s"
            )

    async def persist(
        self,
        command: tuple[EncodableArg, ...],
        script: Script | None = None,
        patience: float | None = None,
        wait: float = 0.0,
        since: float | None = None,
    ) -> Any:
        """Send a command, and send it again while Redis can't be reached.

        `wait`: how long the command itself blocks. `since`: when its caller began to be patient; None: when
        it fails first.
        """
        give_up = 0.0
        tries = 0
        while True:
            link: Link | None = None
            try:
                link = self._idle.pop() if self._idle else Link(await self._pools.pool_for(self.tag))
                try:
                    reply = await link.call(*command, wait=wait)
                except redis_errors.NoScriptError:
                    if script is None:
                        raise
                    reply = await link.call("EVAL", script.source, *command[2:])
            except (redis_errors.RedisError, OSError, EOFError) as error:
                passing = is_passing(error)
                if not passing and not await self._pools.moved(error):
                    if link is not None:
                        self._idle.append(link)
                    raise translate(error) from error
                if link is not None:
                    await link.drop()
                if not give_up:
                    began = time.monotonic() if since is None else since
                    give_up = began + (self._patience if patience is None else patience)
                    if passing:
                        await self._pools.unreachable()
                if time.monotonic() >= give_up:
                    raise translate(error) from error
                await self.close()
                await asyncio.sleep(RETRY_DELAYS[min(tries, len(RETRY_DELAYS) - 1)])
                tries += 1
            else:
                self._idle.append(link)
                return reply

    async def close(self) -> None:
        """Close all connections that aren't in use; the next requests make new ones."""
        while self._idle:
            await self._idle.pop().drop()
