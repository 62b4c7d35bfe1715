"""docket (pydocket): a Redis stream, a hash a task."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from docket import Docket, Worker

from benchmarks.drivers.protocol import AsyncDriver, mark_sample, mark_start, serve


async def noop(argument: str | None = None) -> None:
    mark_start()


async def sample(given: int) -> None:
    mark_sample(given)


class PyDocket(AsyncDriver):
    version = version("pydocket")
    settings = "concurrency=100, minimum_check_interval 10 ms (default 250), state kept 15 min (default)"
    # The script that ends a task also takes its entry out of the stream.
    probe = ["XLEN", "bench:stream"]  # noqa: RUF012
    has_bulk = True

    def connect(self, url: str) -> Docket:
        # redis-py's default of 100 connections is too few for 100 tasks beside the worker's own loops.
        docket = Docket(name="bench", url=f"{url}?max_connections=300")
        docket.register(noop)
        docket.register(sample)
        return docket

    async def open(self, url: str) -> None:
        self.docket = self.connect(url)
        await self.docket.__aenter__()

    async def close(self) -> None:
        await self.docket.__aexit__(None, None, None)

    async def enqueue(self) -> None:
        await self.docket.add(noop)()

    async def enqueue_bulk(self, count: int, argument: str | None) -> None:
        call = self.docket.call
        given = (argument,) if argument else ()
        await self.docket.add_many([call(noop)(*given) for _ in range(count)])

    async def enqueue_sample(self, given: int) -> None:
        await self.docket.add(sample)(given)

    async def enqueue_at(self, due_wall: int) -> None:
        await self.docket.add(sample, when=datetime.fromtimestamp(due_wall / 1e6, UTC))(due_wall)

    async def work(self, url: str, measure: str) -> None:
        # With all slots taken the worker sleeps for minimum_check_interval before it looks again, so the
        # default of 250 ms bounds 100 slots to 400 no-op tasks/s. Below 10 ms nothing more is gained.
        interval = timedelta(milliseconds=10)
        async with (
            self.connect(url) as docket,
            Worker(docket, concurrency=100, minimum_check_interval=interval) as worker,
        ):
            await worker.run_forever()


if __name__ == "__main__":
    serve(PyDocket())
