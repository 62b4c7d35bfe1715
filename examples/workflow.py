"""A batch with a continuation, a chain, and results that are handed from job to job.

    python examples/workflow.py

It counts the words of this directory's files, one job a file, all at once; then, in a chain, it finds the
most frequent ones and makes a line of them.

It uses the Redis that ASYNCJOBS_REDIS names, else an embedded server.
"""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from asyncjobs import PREVIOUS, Client, Registry, Worker
from asyncjobs.embedded import EmbeddedServer

registry = Registry(timeout=60)


@registry.job
def count_words(path: str) -> dict[str, int]:
    return dict(Counter(re.findall(r"[a-z]{5,}", Path(path).read_text().lower())))


@registry.job
async def add_up(counts: list[dict[str, int]]) -> dict[str, int]:
    total = Counter[str]()
    for each in counts:
        total.update(each)
    return dict(total)


@registry.job
async def most_frequent(counts: dict[str, int], number: int) -> list[str]:
    return [word for word, _ in Counter(counts).most_common(number)]


@registry.job
async def in_a_line(words: list[str]) -> str:
    return ", ".join(words)


@registry.job
async def celebrate(text: str) -> None:
    print(text)


@contextmanager
def redis_url() -> Generator[str]:
    if url := os.environ.get("ASYNCJOBS_REDIS"):
        yield url
        return
    with EmbeddedServer() as server:
        yield server.url


async def main() -> None:
    with redis_url() as url:
        async with Client(url, registry=registry) as client, Worker(registry, client):
            # Nothing is sent before the block ends, and then all of it appears at once.
            async with client.batch("count words") as batch:
                files = sorted(Path(__file__).parent.glob("*.py"))
                counts = [batch.enqueue(count_words, str(path)) for path in files]
                total = batch.continue_with(counts, add_up, [job.output for job in counts])
            done = await client.continue_with(batch, celebrate, "All files are counted.")

            # Each runs when the one before has succeeded; the first one when the batch's last job has.
            frequent = await client.continue_with(total, most_frequent, total.output, 3)
            line = await client.continue_with(frequent, in_a_line, frequent.output)
            await done.result(timeout=30)
            print(await line.result(timeout=30))

            # The same in one go, where no job but the first needs anything else.
            *_, last = await client.chain(
                count_words.call(__file__), most_frequent.call(PREVIOUS, 3), in_a_line.call(PREVIOUS)
            )
            print(await last.result(timeout=30))

            stored = await client.batch_of(batch.id).refresh()
            print(f"batch {stored.name!r}: {stored.state}, {stored.succeeded} of {stored.total} jobs")


if __name__ == "__main__":
    asyncio.run(main())
