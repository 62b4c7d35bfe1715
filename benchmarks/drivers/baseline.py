"""No job queue at all: the bare redis-py client, to see what of a figure is the client library's own cost."""

from __future__ import annotations

import redis
from redis.asyncio import Redis

from benchmarks.drivers.protocol import AsyncDriver, serve

# The cheapest script there is: what is left is the round trip of an EVALSHA.
SCRIPT = "return 1"


class Baseline(AsyncDriver):
    version = redis.__version__
    settings = "one connection a call in flight, hiredis"
    probe: list[str] = []  # noqa: RUF012
    has_delayed = False

    async def open(self, url: str) -> None:
        # More than the 100 tasks of the concurrent measurement, so that none waits for a connection.
        self.redis = Redis.from_url(url, max_connections=200)
        self.sha = await self.redis.script_load(SCRIPT)
        if self.variant == "ping":
            self.settings = "PING, " + self.settings
        else:
            self.settings = "EVALSHA of `return 1`, " + self.settings

    async def close(self) -> None:
        await self.redis.aclose()

    async def enqueue(self) -> None:
        if self.variant == "ping":
            await self.redis.ping()
        else:
            await self.redis.evalsha(self.sha, 0)

    async def round_trip(self) -> None:
        await self.enqueue()


if __name__ == "__main__":
    serve(Baseline())
