"""What Redis keeps of limits: nothing of what is over, and nothing that counts is forgotten."""

from __future__ import annotations

import pytest

from asyncjobs.ids import new_id
from asyncjobs.storage.base import ExchangeRequest, Finish, LimitUse, NewJob, Numbers, Outcome
from asyncjobs.storage.redis import RedisStorage
from asyncjobs.storage.redis.keys import Keys, hash_tag
from tests.servers import Server

KEYS = Keys(hash_tag("asyncjobs", 0, 1))
RATE = Numbers(5, 1_000)


def job(limit: str, key: str = "", numbers: Numbers = RATE) -> NewJob:
    return NewJob(new_id(), "job", "default", limits=[LimitUse(limit, key, numbers)])


async def run(storage: RedisStorage, number: int) -> int:
    """Let all that may begin run to its end; how many that were."""
    grants = (await storage.exchange(0, ExchangeRequest("worker", number, 1_000, ["default"]))).grants
    ends = [Finish(grant.id, grant.exchange, Outcome.SUCCEEDED) for grant in grants]
    await storage.exchange(0, ExchangeRequest("worker", number + 1, 0, ["default"], finishes=ends))
    return len(grants)


async def test_keys_of_a_rate_whose_window_is_over_dont_pile_up(server: Server) -> None:
    storage = RedisStorage(server.url)
    await storage.open()
    await storage.register(0, "worker", {}, 60_000)
    number = 1
    for page in range(10):
        await storage.create([job("rate", f"{page}-{key}") for key in range(50)])
        assert await run(storage, number) == 50
        number += 2
        # Their time is over, and nobody has looked at any of them.
        server.command("DEL", *(KEYS.key("limit", f"rate:{page}-{key}") for key in range(50)))
    left = server.command("ZCARD", KEYS.key("active_limits"))
    assert left <= 200, "most of 500 are forgotten"
    records, _ = await storage.limits(limit=1_000)
    assert records == []
    assert await storage.limits(limit=1_000) == ([], 0)
    assert server.command("ZCARD", KEYS.key("active_limits")) == 0
    await storage.close()


async def test_a_limit_that_was_a_rate_keeps_what_it_counts(server: Server) -> None:
    storage = RedisStorage(server.url)
    await storage.open()
    await storage.register(0, "worker", {}, 60_000)
    await storage.create([job("changing")])
    assert await run(storage, 1) == 1
    assert server.command("PTTL", KEYS.key("limit", "changing")) > 0
    await storage.set_limit("changing", Numbers(1))
    await storage.create([job("changing", numbers=Numbers(1)) for _ in range(2)])
    (grant,) = (await storage.exchange(0, ExchangeRequest("worker", 3, 10, ["default"]))).grants
    assert server.command("PTTL", KEYS.key("limit", "changing")) == -1
    end = Finish(grant.id, grant.exchange, Outcome.SUCCEEDED)
    await storage.exchange(0, ExchangeRequest("worker", 4, 0, ["default"], finishes=[end]))
    assert await run(storage, 5) == 1
    assert await storage.limits() == ([], 0)
    await storage.close()


@pytest.mark.parametrize("by_hand", [True, False])
async def test_starts_are_kept_for_as_long_as_a_span_that_was_made_longer(
    server: Server, by_hand: bool
) -> None:
    storage = RedisStorage(server.url)
    await storage.open()
    await storage.register(0, "worker", {}, 60_000)
    longer = Numbers(5, 3_600_000)
    # The second key is none that is at hand when the numbers change.
    await storage.create([job("growing", key) for key in ("one", "two")])
    assert await run(storage, 1) == 2
    if by_hand:
        await storage.set_limit("growing", longer)
    else:
        await storage.create([job("growing", "one", longer)])
    while await storage.carry_on(0):
        pass
    for key in ("one", "two"):
        assert server.command("PTTL", KEYS.key("limit_starts", f"growing:{key}")) > longer.per_ms
        passes = server.command("PTTL", KEYS.key("limit", f"growing:{key}"))
        assert passes == -1 or passes > longer.per_ms
    await storage.close()
