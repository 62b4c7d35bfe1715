"""What a job costs: Redis commands, round trips, bytes on the wire and in memory. See docs/measurements.md.

These are counts, not times: they don't depend on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import redis

from asyncjobs import Client, Limit, Registry, Worker
from asyncjobs.definition import Definition
from asyncjobs.storage.redis import scripts
from tests.servers import Server
from tests.waiting import eventually

registry = Registry()
JOBS = 2_000


@registry.job(name="bench.noop")
async def noop() -> None:
    pass


@registry.job(name="bench.number")
async def with_number(number: int) -> None:
    pass


@registry.job(name="bench.text")
async def with_text(text: str) -> None:
    pass


@dataclass
class Cost:
    commands: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    received: int = 0

    @property
    def round_trips(self) -> int:
        return self.commands.get("evalsha", 0) + self.commands.get("eval", 0)

    @property
    def inside(self) -> int:
        return sum(self.commands.values()) - self.round_trips


_OURS = (
    *("info", "config|resetstat", "client", "hello", "select", "ping", "auth"),
    *("client|setinfo", "client|setname"),
)


@contextmanager
def counted(client: redis.Redis) -> Iterator[Cost]:
    cost = Cost()
    client.config_resetstat()
    yield cost
    info = client.info("all")
    cost.commands = {
        name.removeprefix("cmdstat_"): stat["calls"]
        for name, stat in info.items()
        if name.startswith("cmdstat_") and name.removeprefix("cmdstat_") not in _OURS
    }
    cost.sent, cost.received = info["total_net_input_bytes"], info["total_net_output_bytes"]


def memory(client: redis.Redis) -> int:
    info = client.info("memory")
    return int(info["used_memory"]) - int(info["mem_clients_normal"])


async def test_a_lone_enqueue_is_one_round_trip_of_six_commands(server: Server) -> None:
    redis_client = server.client()
    async with Client(server.url) as client:
        await client.enqueue(noop)
        with counted(redis_client) as cost:
            await client.enqueue(noop)
    assert cost.round_trips == 1
    assert cost.commands == {
        "evalsha": 1,
        "time": 1,
        "exists": 1,
        "hset": 1,
        "rpush": 1,
        "hget": 1,  # is the queue paused?
        "zadd": 1,  # its marker
    }


async def test_enqueueing_many_costs_two_commands_a_job(server: Server) -> None:
    async with Client(server.url) as client:
        await client.enqueue(noop)
        with counted(server.client()) as cost:
            await client.enqueue_many(noop.call() for _ in range(JOBS))
    assert cost.inside / JOBS <= 2.05
    assert cost.round_trips / JOBS <= 0.005
    assert cost.sent / JOBS <= 110


async def test_draining_costs_little_more_than_four_commands_a_job(server: Server) -> None:
    async with Client(server.url) as client:
        await client.enqueue(noop)
        async with Worker(registry, client) as worker:
            await worker.until_empty()
        # A script is sent whole the first time, which says nothing of a job.
        for script in vars(scripts).values():
            if isinstance(script, scripts.Script):
                server.client().script_load(script.source)
        await client.enqueue_many(noop.call() for _ in range(JOBS))
        with counted(server.client()) as cost:
            async with Worker(registry, client, concurrency=100) as worker:
                await worker.until_empty()
    assert cost.inside / JOBS <= 4.5
    assert cost.round_trips / JOBS <= 0.03
    assert cost.sent / JOBS <= 80
    assert cost.received / JOBS <= 160


@pytest.mark.parametrize(
    ("definition", "created", "drained"),
    [
        (with_number.options(unique="noop:{number}"), 4.1, 8.4),
        (with_number.options(limits=[Limit("wide", concurrency=10 * JOBS)]), 2.1, 6.7),
        (with_number.options(limits=[Limit("narrow", concurrency=100)]), 4.1, 8.8),
        (with_number.options(limits=[Limit("rate", rate=10 * JOBS, per=60)]), 2.1, 6.7),
        (with_number.options(expires=600), 3.1, 5.6),
    ],
    ids=["unique", "never full", "full", "rate", "expires"],
)
async def test_unique_and_limited_jobs_cost_a_few_commands_more(
    server: Server, definition: Definition[[int], None], created: float, drained: float
) -> None:
    async with Client(server.url) as client:
        await client.enqueue(definition, JOBS)
        with counted(server.client()) as cost:
            await client.enqueue_many(definition.call(number) for number in range(JOBS))
        assert cost.inside / JOBS <= created
        with counted(server.client()) as cost:
            async with Worker(registry, client, concurrency=100) as worker:
                await worker.until_empty()
        assert cost.inside / JOBS <= drained


async def test_a_queued_and_a_finished_job_are_small_in_memory(server: Server) -> None:
    redis_client = server.client()
    async with Client(server.url) as client:
        await client.enqueue(noop)
        before = memory(redis_client)
        await client.enqueue_many(noop.call() for _ in range(20_000))
        queued = (memory(redis_client) - before) / 20_000
        async with Worker(registry, client) as worker:
            await worker.until_empty()
        finished = (memory(redis_client) - before) / 20_000
    assert queued <= 220
    assert finished <= 400


async def test_arguments_of_200_bytes_stay_in_the_compact_form(server: Server) -> None:
    redis_client = server.client()
    async with Client(server.url) as client:
        before = memory(redis_client)
        jobs = await client.enqueue_many(with_text.call("x" * 200) for _ in range(5_000))
        cost = (memory(redis_client) - before) / 5_000
        found = await client.get(jobs[0].id, with_text)
        assert found is not None
        assert found.arguments() == (["x" * 200], {})
    encoding = redis_client.object("encoding", f"{{asyncjobs}}:j:{jobs[0].id}")
    assert encoding in (b"listpack", b"ziplist")
    assert cost <= 450


async def test_an_idle_worker_asks_a_few_times_a_second_at_most(server: Server) -> None:
    redis_client = server.client()
    async with Client(server.url) as client, Worker(registry, client):
        with counted(redis_client) as cost:
            start = redis_client.time()[0]
            await eventually(lambda: redis_client.time()[0] - start >= 4, timeout=8)
    # A heartbeat, a look at its own messages, an exchange, a wait for markers, and a look for recurring
    # jobs: each once a second.
    assert cost.round_trips <= 19
    assert cost.commands.get("bzpopmin", 0) <= 6
