"""`Client.check` finds what limits and unique keys say that isn't so, and `Client.repair` sets it right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from asyncjobs import Client, Limit, Registry, State, Unique, Worker
from asyncjobs.storage.redis.keys import FIELDS, LIMIT_FIELDS, STATES, Keys, hash_tag
from tests.by_hand import HandWorker
from tests.servers import Server

registry = Registry()
KEYS = Keys(hash_tag("asyncjobs", 0, 1))
KEY = "tenant:a: b"
"""A limit's id, with all that an id can have in it."""

Damage = Callable[[Server, dict[str, str]], None]


@registry.job(limits=[Limit("tenant", concurrency=2, key="{tenant}")], unique="{name}")
async def limited(tenant: str, name: str) -> None: ...


@registry.job(limits=[Limit("rate", rate=1, per=3600)])
async def rated() -> None: ...


@registry.job(unique=Unique("period:{name}", until=3600))
async def for_a_time(name: str) -> None: ...


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry) as client:
        yield client


async def scene(client: Client, worker: HandWorker) -> dict[str, str]:
    """Two of a limit run, one more of each queue waits; of a rate, one has started and one waits."""
    ids: dict[str, str] = {}
    for name in ("runs", "runs, too", "waits", "waits, too"):
        ids[name] = (await client.enqueue(limited, "a: b", name)).id
    await worker.take(2)
    elsewhere = limited.options(queue="other")
    ids["elsewhere"] = (await client.enqueue(elsewhere, "a: b", "elsewhere")).id
    for name in ("rated", "rated, too"):
        ids[name] = (await client.enqueue(rated)).id
    await worker.take(5)
    ids["period"] = (await client.enqueue(for_a_time, "x")).id
    ids["let in"] = (await client.enqueue(limited, "c", "let in")).id
    return ids


async def test_what_is_in_order_is_found_so(client: Client) -> None:
    worker = HandWorker(client)
    ids = await scene(client, worker)
    assert sorted((limit.running, limit.throttled) for limit in await client.limits.list()) == [
        (0, 0),
        (0, 1),
        (2, 3),
    ]
    assert await client.check(pause=0) == []
    await client.cancel(ids["waits"])
    await worker.end(ids["runs"])
    assert await client.check(pause=0) == []
    await worker.run("default", "other")
    assert await client.check(pause=0) == []


def _count_too_many(server: Server, ids: dict[str, str]) -> None:
    server.command("HINCRBY", KEYS.key("limit", KEY), LIMIT_FIELDS["running"], 1)


def _count_too_few(server: Server, ids: dict[str, str]) -> None:
    server.command("HSET", KEYS.key("limit", KEY), LIMIT_FIELDS["running"], 1)


def _count_none(server: Server, ids: dict[str, str]) -> None:
    server.command("DEL", KEYS.key("limit", KEY))


def _count_what_isnt_enqueued(server: Server, ids: dict[str, str]) -> None:
    server.command("HSET", KEYS.key("limit", KEY), LIMIT_FIELDS["enqueued"] + "default", 2)


def _count_what_doesnt_wait(server: Server, ids: dict[str, str]) -> None:
    server.command("HSET", KEYS.key("limit", KEY), LIMIT_FIELDS["waiting"] + "other", 5)


def _lose_list(server: Server, ids: dict[str, str]) -> None:
    server.command("ZREM", KEYS.key("active_limits"), KEY)


def _let_pass(server: Server, ids: dict[str, str]) -> None:
    server.command("PEXPIRE", KEYS.key("limit", KEY), 3_600_000)


def _lose_waiter(server: Server, ids: dict[str, str]) -> None:
    server.command("ZREM", KEYS.key("limit_waiters", f"{KEY}:default"), ids["waits"])


def _lose_waiters(server: Server, ids: dict[str, str]) -> None:
    server.command("DEL", KEYS.key("limit_waiters", f"{KEY}:other"))


def _wait_elsewhere(server: Server, ids: dict[str, str]) -> None:
    server.command("HSET", KEYS.key("job", ids["waits"]), FIELDS["throttled_by"], "- somewhere else")


def _wait_though_it_runs(server: Server, ids: dict[str, str]) -> None:
    server.command("ZADD", KEYS.key("limit_waiters", f"{KEY}:default"), 1, ids["runs"])


def _leave_throttled(server: Server, ids: dict[str, str]) -> None:
    server.command("ZREM", KEYS.key("throttled"), ids["waits"])


def _have_room(server: Server, ids: dict[str, str]) -> None:
    server.command("HSET", KEYS.key("limits"), "tenant", "4 0")


def _lose_window(server: Server, ids: dict[str, str]) -> None:
    server.command("DEL", KEYS.key("limit_due"))


def _lose_key(server: Server, ids: dict[str, str]) -> None:
    server.command("DEL", KEYS.key("unique", "waits"))


def _keep_key(server: Server, ids: dict[str, str]) -> None:
    server.command("SET", KEYS.key("unique", "nobody's"), ids["rated"])


def _keep_key_of_a_job_that_is_gone(server: Server, ids: dict[str, str]) -> None:
    server.command("SET", KEYS.key("unique", "nobody's"), "gone")


def _let_key_pass(server: Server, ids: dict[str, str]) -> None:
    server.command("PEXPIRE", KEYS.key("unique", "waits"), 3_600_000)


def _keep_key_for_ever(server: Server, ids: dict[str, str]) -> None:
    server.command("PERSIST", KEYS.key("unique", "period:x"))


def _forget_in_short(server: Server, ids: dict[str, str]) -> None:
    server.command("HSET", KEYS.key("job", ids["runs"]), FIELDS["linked"], ":")


def _lose_job(server: Server, ids: dict[str, str]) -> None:
    server.command("DEL", KEYS.key("job", ids["waits"]))


def _lose_one_that_runs(server: Server, ids: dict[str, str]) -> None:
    server.command("DEL", KEYS.key("job", ids["runs"]))


def _lose_queue(server: Server, ids: dict[str, str]) -> None:
    server.command("DEL", KEYS.key("queue", "default"))


def _fail_by_hand(server: Server, ids: dict[str, str]) -> None:
    server.command("HSET", KEYS.key("job", ids["let in"]), FIELDS["state"], STATES[State.FAILED])


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (_count_too_many, {"limit"}),
        (_count_too_few, {"limit"}),
        (_count_none, {"limit"}),
        (_count_what_isnt_enqueued, {"limit"}),
        (_count_what_doesnt_wait, {"limit"}),
        (_lose_list, {"limit"}),
        (_let_pass, {"limit"}),
        (_lose_waiter, {"job", "limit"}),
        (_lose_waiters, {"job", "limit"}),
        (_wait_elsewhere, {"job", "limit"}),
        (_wait_though_it_runs, {"limit"}),
        (_leave_throttled, {"job"}),
        (_have_room, {"limit"}),
        (_lose_window, {"limit"}),
        (_lose_key, {"unique"}),
        (_keep_key, {"unique"}),
        (_keep_key_of_a_job_that_is_gone, {"unique"}),
        (_let_key_pass, {"unique"}),
        (_keep_key_for_ever, {"expiry"}),
        (_forget_in_short, {"record"}),
        (_lose_job, {"id", "limit", "unique"}),
        (_lose_one_that_runs, {"lease", "limit", "unique"}),
        (_lose_queue, {"job"}),
        (_fail_by_hand, {"id", "job", "limit", "unique"}),
    ],
)
async def test_damage_is_found_and_mended(
    server: Server, client: Client, damage: Damage, kinds: set[str]
) -> None:
    worker = HandWorker(client)
    ids = await scene(client, worker)
    damage(server, ids)
    found = await client.check(pause=0)
    assert {finding.kind for finding in found} == kinds, found
    mended = await client.repair(pause=0)
    assert all(mending.is_done for mending in mended), mended
    assert await client.check(pause=0) == []

    # And it goes on: all that can end does, and nothing is left of the limit.
    if damage is _lose_one_that_runs:
        worker.held.pop(ids["runs"])
    while worker.held or await worker.take(100, "default", "other"):
        await worker.end()
    assert await client.check(pause=0) == []
    assert [limit.name for limit in await client.limits.list()] == ["rate"]
    counts = (await client.stats()).counts
    assert {state for state, count in counts.items() if count} <= {"succeeded", "failed", "throttled"}
    assert counts[State.THROTTLED] == 1, "the one that waits for its rate's window"


@pytest.mark.slow
async def test_nothing_is_found_while_much_goes_on(client: Client, redis_url: str) -> None:
    """Counts move all the time, and what is read in pages isn't of one moment."""
    done = False
    calls = [
        limited.options(retention=0),
        limited.options(retention=0, queue="other"),
        limited.options(retention=0, limits=[Limit("often", rate=50, per=0.1)]),
    ]

    async def go_on() -> None:
        number = 0
        while not done:
            number += 1
            await client.enqueue_many(
                calls[at % 3].call(f"tenant {at % 7}", f"{number} {at}") for at in range(50)
            )
            while (await client.stats()).counts[State.THROTTLED] > 200:
                assert await client.check(pause=0) == []

    async with (
        Client(redis_url, registry=registry) as own,
        Worker(registry, own, queues=["default", "other"], concurrency=20),
    ):
        busy = asyncio.create_task(go_on())
        try:
            for _ in range(4):
                assert await client.check(pause=0.1) == []
        finally:
            done = True
            await busy
