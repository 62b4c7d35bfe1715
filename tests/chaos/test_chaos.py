"""Everything goes wrong at once, at random, and the books still balance.

`ASYNCJOBS_CHAOS_SECONDS` makes it longer, `ASYNCJOBS_TEST_SEED` repeats its choices.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from asyncjobs import Call, Client, Job, State
from asyncjobs.storage.redis.scripts import all_scripts
from tests.chaos import jobs
from tests.chaos.controlled import limits_were_kept, some_controlled_call, was_given_up
from tests.conftest import ServerFactory
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger, Line
from tests.faults.observing import all_ended, jobs_of, passed
from tests.faults.overlap import limits_are_idle
from tests.faults.worker_process import START_SECONDS, WorkerProcess
from tests.proxy import ThreadedProxy
from tests.servers import Server
from tests.waiting import eventually

SECONDS = float(os.environ.get("ASYNCJOBS_CHAOS_SECONDS") or 10)
JOBS = int(200 * SECONDS)
CLIENTS = 4
LEASE = 3
APP = "tests.chaos.jobs"


class Workers:
    """Two workers, through a proxy each, which die, stall and stop, and are started again."""

    def __init__(
        self, start: WorkerFactory, proxy: ThreadedProxy, shards: int, chance: random.Random, uvloop: bool
    ) -> None:
        self._start = start
        self._proxy = proxy
        self._shards = shards
        self._chance = chance
        self._uvloop = uvloop
        self._worker = self._new()

    def _new(self) -> WorkerProcess:
        return self._start(
            self._proxy.url,
            app=APP,
            queues=jobs.QUEUES,
            wait=False,
            shards=self._shards,
            lease=LEASE,
            concurrency=self._chance.choice((5, 20, 100)),
            grace=0.3,
            stall_timeout=0.2,
            patience=self._chance.choice((0.2, 10)),
            uvloop=self._uvloop,
        )

    def _started_again(self) -> bool:
        """Whether it had ended, as it may only where Redis was out of reach at its start."""
        if self._worker.alive:
            return False
        assert not self._worker.ids, f"it crashed:\n{self._worker.log}"
        self._worker = self._new()
        return True

    async def suffer(self) -> str:
        await passed(self._chance.uniform(0.5, 2.5))
        if self._started_again():
            return "couldn't start"
        match self._chance.choice(("killed", "killed", "stalled", "stopped")):
            case "killed":
                self._worker.kill()
                self._worker = self._new()
                return "killed"
            case "stalled":
                self._worker.pause()
                await passed(self._chance.uniform(0.5, LEASE + 2))
                self._worker.resume()
                return "stalled"
            case _:
                await asyncio.to_thread(self._worker.stop)
                self._worker = self._new()
                return "stopped"

    async def recover(self) -> None:
        """One that runs for certain: the last one may have begun in an outage, and end yet."""
        await eventually(lambda: not self._started_again() and self._worker.ids, START_SECONDS)

    def stop(self) -> int:
        return self._worker.stop()


class Network:
    """A proxy whose connections break, stall and lose what they carry."""

    def __init__(self, proxy: ThreadedProxy, chance: random.Random) -> None:
        self._proxy = proxy
        self._chance = chance
        self._scripts = {script.name: script.sha for script in all_scripts()}

    async def suffer(self) -> str:
        await passed(self._chance.uniform(0.05, 0.5))
        match self._chance.randrange(6):
            case 0:
                return "cut" if self._proxy.cut() else "nothing to cut"
            case 1:
                self._proxy.cut(lambda _: self._chance.random() < 0.5)
                return "cut"
            case 2:
                self._proxy.drop_reply(
                    self._scripts[self._chance.choice(("exchange", "create", "heartbeat"))]
                )
                return "reply dropped"
            case 3:
                self._proxy.drop_reply(times=self._chance.randint(1, 4))
                return "reply dropped"
            case 4:
                self._proxy.drop_request(times=self._chance.randint(1, 4))
                return "request dropped"
            case _:
                self._proxy.black_hole()
                await passed(self._chance.uniform(0.05, 1.5))
                self._proxy.black_hole(False)
                return "black hole"

    async def recover(self) -> None:
        self._proxy.heal()


class Redis:
    """A durable server that forgets scripts, stalls, and is killed."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self._server = server
        self._chance = chance

    async def suffer(self) -> str:
        await passed(self._chance.uniform(0.5, 2))
        match self._chance.choice(("scripts forgotten", "scripts forgotten", "stalled", "killed")):
            case "stalled":
                await asyncio.to_thread(self._server.pause)
                await passed(self._chance.uniform(0.1, 1.5))
                self._server.resume()
                return "stalled"
            case "killed":
                await asyncio.to_thread(self._server.kill)
                await passed(self._chance.uniform(0, 0.5))
                await asyncio.to_thread(self._server.start)
                return "killed"
            case what:
                await asyncio.to_thread(self._server.command, "SCRIPT", "FLUSH")
                return what

    async def recover(self) -> None:
        pass


def some_call(chance: random.Random) -> Call[int]:
    queue = chance.choice(jobs.QUEUES)
    match chance.randrange(20):
        case 0:
            return jobs.blocking.options(queue=queue).call(chance.uniform(0, 0.1))
        case 1 | 2:
            return jobs.threaded.options(queue=queue).call(chance.uniform(0, 0.1))
        case 3 | 4:
            return jobs.failing.options(queue=queue).call(chance.randint(1, 3))
        case 5:
            return jobs.snoozing.options(queue=queue).call(time.time() + chance.uniform(0, 0.5))
        case 6 | 7:
            return jobs.talking.options(queue=queue).call(chance.randint(1, 20))
        case 8 | 9:
            return jobs.brief.options(queue=queue, priority=chance.randint(-3, 3)).call(0.0)
        case _:
            return jobs.brief.options(queue=queue).call(chance.expovariate(30))


async def some_batch(client: Client, chance: random.Random) -> list[Job[Any]]:
    """A batch with another one in it, and jobs that run after parts of it and after all of it."""
    async with client.batch() as batch:
        made: list[Job[Any]] = [batch.enqueue(some_call(chance)) for _ in range(chance.randint(1, 20))]
        made.append(batch.continue_with(made[0], some_call(chance)))
        with batch.batch() as inner:
            made += [inner.enqueue_in(chance.uniform(0, 0.5), some_call(chance)) for _ in range(3)]
    made.append(await client.continue_with(batch, jobs.after_batch, batch.id))
    made.append(await client.continue_with([batch, made[-1]], some_call(chance), on="finished"))
    return made


async def use(url: str, shards: int, chance: random.Random, deadline: float, promised: list[str]) -> None:
    """Enqueue one by one, later, and many at once, until the time is over and the work is done."""
    async with Client(url, registry=jobs.registry, shards=shards) as client:
        own = 0
        while own < JOBS / CLIENTS or time.monotonic() < deadline:
            match chance.randrange(14):
                case 10 | 11 | 12:
                    made = [await client.enqueue(some_controlled_call(chance))]
                case 13:
                    made = [await client.enqueue_in(chance.uniform(0.01, 0.5), some_controlled_call(chance))]
                    made += await client.enqueue_many(
                        some_controlled_call(chance) for _ in range(chance.randint(2, 20))
                    )
                case 0:
                    made = await client.enqueue_many(some_call(chance) for _ in range(chance.randint(2, 40)))
                case 1:
                    made = [await client.enqueue_in(chance.uniform(0.01, 1), some_call(chance))]
                case 2:
                    made = await some_batch(client, chance)
                case 3:
                    made = await client.chain(*(some_call(chance) for _ in range(chance.randint(2, 5))))
                case _:
                    made = [await client.enqueue(some_call(chance))]
            promised.extend(job.id for job in made)
            own += len(made)
            await passed(chance.uniform(0, 0.04))


async def repeat(
    suffer: Callable[[], Awaitable[str]], deadline: float, suffered: Counter[str], who: str
) -> None:
    while time.monotonic() < deadline:
        suffered[f"{who} {await suffer()}"] += 1


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.timeout(120 + 4 * SECONDS)
async def test_the_books_balance(
    own_server: ServerFactory,
    start_worker: WorkerFactory,
    ledger: Ledger,
    moments: random.Random,
    shards: int,
):
    server = own_server(appendonly="yes", appendfsync="always")
    proxies = [ThreadedProxy(server.port) for _ in range(3)]
    promised: list[str] = []
    suffered: Counter[str] = Counter()

    def chance() -> random.Random:
        return random.Random(moments.random())

    try:
        for proxy in proxies:
            proxy.start()
        workers = [
            Workers(start_worker, proxy, shards, chance(), proxy is proxies[0]) for proxy in proxies[:2]
        ]
        networks = [Network(proxy, chance()) for proxy in proxies]
        redis = Redis(server, chance())
        deadline = time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as tasks:
            for who, sufferers in (("worker", workers), ("network", networks), ("redis", [redis])):
                for sufferer in sufferers:
                    tasks.create_task(repeat(sufferer.suffer, deadline, suffered, who))
            for _ in range(CLIENTS):
                tasks.create_task(use(proxies[2].url, shards, chance(), deadline, promised))
        for sufferer in (*networks, *workers):
            await sufferer.recover()
        async with Client(server.url, registry=jobs.registry, shards=shards) as client:
            # What a unique job's maker was promised may be one that was there.
            promised = list(dict.fromkeys(promised))
            await all_ended(client, len(promised), 60 + 2 * SECONDS)
            await balance(client, ledger, promised)
            await limits_were_kept(client, ledger, promised)
            await limits_are_idle(client)
            assert await client.check(pause=0.2) == []
            for worker in workers:
                await asyncio.to_thread(worker.stop)
            await nothing_is_left(client, server)
    finally:
        print(len(promised), "jobs;", *(f"{what}: {count}," for what, count in sorted(suffered.items())))
        for proxy in proxies:
            proxy.stop()


async def balance(client: Client, ledger: Ledger, promised: list[str]) -> None:
    assert len(promised) >= JOBS / 2
    given_up: set[str] = set()
    lines: dict[str, list[Line]] = {}
    for line in ledger.lines():
        lines.setdefault(line.job_id, []).append(line)
    for job in await jobs_of(client, promised):
        if await was_given_up(job):
            given_up.add(job.id)
            continue
        events = Counter(entry.event for entry in await job.history())
        told = (job.id, job.name, dict(events), lines.get(job.id, []))
        done = Counter(line.event for line in told[3])
        assert job.state == "succeeded", told
        # The result is that of the attempt that the job says was its last.
        assert await job.result() == job.attempt, told
        assert job.attempt == 1 + events["recovered"] + events["retrying"], told
        assert 1 <= done["start"] <= job.attempt + events["released"] + events["snoozed"], told
        assert done["end"] >= 1, told
    stats = await client.stats()
    # Once each, and nothing that nobody was promised.
    assert stats.totals["succeeded"] == stats.counts[State.SUCCEEDED] == len(promised) - len(given_up)
    assert stats.totals["cancelled"] == stats.counts[State.CANCELLED] == len(given_up)
    assert lines.keys() == set(promised) - given_up


async def nothing_is_left(client: Client, server: Server) -> None:
    stats = await client.stats()
    assert {state for state, count in stats.counts.items() if count} <= {State.SUCCEEDED, State.CANCELLED}
    assert stats.workers == 0
    assert [queue.length for queue in stats.queues] == [0] * len(jobs.QUEUES)
    left = {key.decode().partition("}:")[2].split(":")[0] for key in server.command("KEYS", "*")}
    kept = {
        "j",
        "b",
        "batches",
        "queues",
        "ghosts",
        "wake",
        "succeeded",
        "cancelled",
        "meta",
        "stats",
        "i",
        "limits",
    }
    # Starts of a rate are forgotten by themselves.
    assert left - {"lstarts"} <= kept, left
