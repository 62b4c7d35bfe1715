"""Group commit: calls that arrive while one is on its way ride together in the next.

No timer and no added wait: a lone call leaves at once. Each caller waits for its own part; cancelling it
never cancels the trip, which is a task of the group's own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Collects items and sends them in groups, one group at a time.

    `send` gets a group and returns one result for each item; if it raises, all callers of that group see it.
    A caller's own items are never split over two groups. `size` tells an item's bytes.
    """

    def __init__(
        self,
        send: Callable[[list[Item]], Awaitable[Sequence[Result]]],
        size: Callable[[Item], int],
        *,
        max_items: int,
        max_bytes: int,
    ) -> None:
        self._send = send
        self._size = size
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._waiting: deque[tuple[Sequence[Item], asyncio.Future[Sequence[Result]]]] = deque()
        self._trip: asyncio.Task[None] | None = None

    def add(self, items: Sequence[Item]) -> asyncio.Future[Sequence[Result]]:
        """Hand in items that belong together; the future brings their results."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Result]] = loop.create_future()
        self._waiting.append((items, future))
        if self._trip is None:
            self._trip = loop.create_task(self._trips(), name="asyncjobs group commit")
        return future

    async def _trips(self) -> None:
        try:
            while self._waiting:
                group, callers = self._next_group()
                try:
                    results = await self._send(group)
                except Exception as error:
                    for _, future in callers:
                        if not future.done():
                            future.set_exception(error)
                            future.exception()
                    continue
                start = 0
                for count, future in callers:
                    if not future.done():
                        future.set_result(results[start : start + count])
                    start += count
        finally:
            self._trip = None
            while self._waiting:
                self._waiting.popleft()[1].cancel()

    def _next_group(self) -> tuple[list[Item], list[tuple[int, asyncio.Future[Sequence[Result]]]]]:
        group: list[Item] = []
        callers: list[tuple[int, asyncio.Future[Sequence[Result]]]] = []
        bytes_ = 0
        while self._waiting:
            items, future = self._waiting[0]
            size = sum(map(self._size, items))
            if group and (len(group) + len(items) > self._max_items or bytes_ + size > self._max_bytes):
                break
            self._waiting.popleft()
            if future.cancelled():
                # Its caller is gone before anything of it was sent: it asked for nothing to be made.
                continue
            group += items
            bytes_ += size
            callers.append((len(items), future))
        return group, callers

    async def close(self) -> None:
        """Wait until what was handed in has been sent."""
        if self._trip is not None:
            await asyncio.wait([self._trip])
