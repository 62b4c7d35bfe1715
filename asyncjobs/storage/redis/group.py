"""Group commit: calls that arrive while one is on its way ride together in the next.

No timer and no added wait: a lone call leaves at once. A trip belongs to the group, not to any caller, so
that a caller that is cancelled never takes the others' trip with it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from asyncjobs.errors import StorageUnavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

Done = Callable[[Sequence[Result] | Exception], None]


class GroupCommit(Generic[Item, Result]):
    """Collects items and sends them in groups, one group at a time.

    `depart` starts a trip with a group, and calls what it is given exactly once, with one result for each
    item or with the error that all callers of the group are to see. A caller's own items are never split over
    two groups. `size` tells an item's bytes. `patience`: seconds that a caller waits while no trip arrives.
    """

    def __init__(
        self,
        depart: Callable[[list[Item], Done[Result]], None],
        size: Callable[[Item], int],
        *,
        max_items: int,
        max_bytes: int,
        patience: float,
    ) -> None:
        self._depart = depart
        self._size = size
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._patience = patience
        self._waiting: deque[tuple[Sequence[Item], asyncio.Future[Sequence[Result]], float]] = deque()
        self._under_way: asyncio.Future[None] | None = None

    def add(self, items: Sequence[Item]) -> asyncio.Future[Sequence[Result]]:
        """Hand in items that belong together; the future brings their results."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Sequence[Result]] = loop.create_future()
        self._waiting.append((items, future, loop.time()))
        if self._under_way is None:
            self._start()
        return future

    def _start(self) -> None:
        group, callers = self._next_group()
        if not group:
            self._under_way = None
            return
        trip: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(results: Sequence[Result] | Exception) -> None:
            start = 0
            for count, future in callers:
                if future.done():
                    pass
                elif isinstance(results, Exception):
                    future.set_exception(results)
                else:
                    future.set_result(results[start : start + count])
                start += count
            if isinstance(results, StorageUnavailable):
                self._give_up_with(results)
            if not trip.done():
                trip.set_result(None)
            self._start()

        self._under_way = trip
        try:
            self._depart(group, done)
        except Exception as error:
            done(error)

    def _give_up_with(self, error: StorageUnavailable) -> None:
        """Nothing answers: those who have waited out their patience for this trip don't wait for the next."""
        now = asyncio.get_running_loop().time()
        while self._waiting and now - self._waiting[0][2] >= self._patience:
            _, future, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(error)

    def _next_group(self) -> tuple[list[Item], list[tuple[int, asyncio.Future[Sequence[Result]]]]]:
        group: list[Item] = []
        callers: list[tuple[int, asyncio.Future[Sequence[Result]]]] = []
        bytes_ = 0
        while self._waiting:
            items, future, _ = self._waiting[0]
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
        while self._under_way is not None:
            await asyncio.wait([self._under_way])
