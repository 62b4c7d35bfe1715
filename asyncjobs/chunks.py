"""Any iterable, plain or async, sent in chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_chunks(items: Iterable[T] | AsyncIterable[T], size: int) -> AsyncIterator[list[T]]:
    """Lists of `size` items, the last one of what is left."""
    chunk: list[T] = []
    if isinstance(items, AsyncIterable):
        async for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk
                chunk = []
    else:
        for item in items:
            chunk.append(item)
            if len(chunk) == size:
                yield chunk
                chunk = []
    if chunk:
        yield chunk


async def send_in_chunks(
    items: Iterable[T] | AsyncIterable[T],
    size: int,
    most_under_way: int,
    send: Callable[[list[T]], Coroutine[Any, Any, object]],
) -> None:
    """Send chunks of `size`, a few at a time, while the iterable goes on. Raises the first error of all."""
    under_way: list[asyncio.Task[object]] = []
    try:
        async for chunk in in_chunks(items, size):
            under_way.append(asyncio.create_task(send(chunk), name="asyncjobs chunk"))
            # Its turn: it leaves now, and the next chunk is made while it is on its way.
            await asyncio.sleep(0)
            if len(under_way) >= most_under_way:
                await under_way.pop(0)
    finally:
        # What was handed in goes out even if the iterable raised: the caller can't tell where it stood.
        results = await asyncio.gather(*under_way, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
