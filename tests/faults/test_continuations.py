"""Large graphs of jobs, in which jobs fail and workers die, run in their order and to their end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from asyncjobs import PREVIOUS, Client, Job, State
from asyncjobs.errors import JobStateError
from asyncjobs.storage.redis import scripts
from tests.faults.apps import graph
from tests.faults.conftest import WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_ended, jobs_of, passed
from tests.faults.recount import nothing_follows
from tests.faults.worker_process import WorkerProcess
from tests.proxy import ThreadedProxy
from tests.waiting import eventually

LEASE = 3
GRAPH = "tests.faults.apps.graph"
NEAR = 200
"""How far back a job's parents are looked for."""

Parents = dict[str, tuple[list[str], list[str]]]
"""The parents of each job, and those of them whose output it takes."""


async def grow(client: Client, moments: random.Random, size: int) -> Parents:
    """Create a random graph while its first jobs run already; one job in ten fails at first."""
    jobs: list[Job[str]] = []
    parents: Parents = {}
    for _ in range(size):
        near = jobs[-NEAR:]
        chosen = moments.sample(near, min(len(near), moments.choice([0, 1, 1, 2, 4])))
        taken = [parent for parent in chosen if moments.random() < 0.5]
        seconds, failures = moments.uniform(0, 0.02), int(moments.random() < 0.1)
        outputs = [parent.output for parent in taken]
        if chosen:
            job = await client.continue_with(chosen, graph.node, seconds, failures, outputs)
        else:
            job = await client.enqueue(graph.node, seconds, failures, outputs)
        jobs.append(job)
        parents[job.id] = ([parent.id for parent in chosen], [parent.id for parent in taken])
    return parents


@asynccontextmanager
async def requeueing(client: Client) -> AsyncIterator[None]:
    """Requeue what has failed, again and again."""

    async def requeue() -> None:
        while True:
            for job in await client.jobs("failed", limit=100):
                with suppress(JobStateError):
                    await client.requeue(job.id)
            await passed(0.02)

    task = asyncio.create_task(requeue())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def all_succeeded(client: Client, count: int, timeout: float) -> None:
    async def there() -> bool:
        counts = (await client.stats()).counts
        assert counts[State.SUCCEEDED] == count, {str(state): n for state, n in counts.items() if n}
        return True

    await eventually(there, timeout, because=f"{count} jobs have succeeded")


def in_order(ledger: Ledger, parents: Parents) -> None:
    """No job began before each of its parents had come to its end, and each got their results."""
    ended: set[str] = set()
    begun: set[str] = set()
    for line in ledger.lines():
        if line.event == "end":
            ended.add(line.job_id)
        elif line.event == "start":
            begun.add(line.job_id)
            missing = [parent for parent in parents[line.job_id][0] if parent not in ended]
            assert not missing, f"{line.job_id} began before {missing} had ended"
        else:
            assert line.event.split("+")[1:] == parents[line.job_id][1]
    assert begun == ended == set(parents)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("size", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_a_graph_runs_in_its_order_though_jobs_fail(
    redis_url: str,
    start_worker: WorkerFactory,
    ledger: Ledger,
    moments: random.Random,
    shards: int,
    size: int,
):
    for _ in range(2):
        start_worker(redis_url, app=GRAPH, shards=shards, concurrency=50, lease=30)
    async with Client(redis_url, registry=graph.registry, shards=shards) as client, requeueing(client):
        parents = await grow(client, moments, size)
        await all_succeeded(client, size, 60 + size / 50)
        await nothing_follows(client)
        assert await client.check() == []
    in_order(ledger, parents)
    assert set(ledger.ends().values()) == {1}, "each job came to its end once"
    assert max(ledger.runs().values()) == 2


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_graph_runs_in_its_order_though_workers_die(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random, shards: int
):
    def start(wait: bool = True) -> WorkerProcess:
        return start_worker(redis_url, app=GRAPH, wait=wait, shards=shards, concurrency=20, lease=LEASE)

    workers = [start(), start()]
    async with Client(redis_url, registry=graph.registry, shards=shards) as client, requeueing(client):
        growing = asyncio.create_task(grow(client, moments, 1_000))
        for _ in range(4):
            await passed(moments.uniform(0, 0.7))
            victim = workers.pop(0)
            workers.append(start(wait=False))
            victim.kill()
            # It may take long to start, and the tasks beside this one go on meanwhile.
            await asyncio.to_thread(workers[-1].wait_until_serving)
        parents = await growing
        await all_succeeded(client, 1_000, 120)
        await nothing_follows(client)
        assert await client.check() == []
        in_order(ledger, parents)
        runs = ledger.runs()
        for job in await jobs_of(client, parents):
            assert runs[job.id] <= job.attempt
        totals = (await client.stats()).totals
        assert totals["succeeded"] == 1_000, "each job's success counted once"


@pytest.mark.parametrize("shards", [1, 3])
async def test_lost_replies(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger, shards: int
):
    async with (
        Client(proxy.url, registry=graph.registry, shards=shards) as through,
        Client(redis_url, registry=graph.registry, shards=shards) as client,
    ):
        start_worker(proxy.url, app=GRAPH, shards=shards, lease=LEASE, concurrency=20)
        ids: list[str] = []
        for _ in range(4):
            lost = [proxy.drop_reply(script.sha, times=2) for script in (scripts.CREATE, scripts.EXCHANGE)]
            if shards > 1:
                across = (scripts.CARRY_ON, scripts.ATTACH, scripts.HEAR, scripts.ACKNOWLEDGE)
                lost += [proxy.drop_reply(script.sha, times=2) for script in across]
            tops = [await through.enqueue(graph.node, 0.0, 0, []) for _ in range(3)]
            sides = [
                await through.continue_with(tops, graph.node, 0.0, 0, [top.output for top in tops])
                for _ in range(5)
            ]
            bottom = await through.continue_with(sides, graph.node, 0.0, 0, [side.output for side in sides])
            chained = await through.chain(
                graph.node.call(0.0, 0, []), *(graph.node.call(0.0, 0, [PREVIOUS]) for _ in range(5))
            )
            ids += [job.id for job in (*tops, *sides, bottom, *chained)]
            await all_ended(client, len(ids))
            await nothing_follows(client)
            await eventually(lambda lost=lost: all(fault.hits == 2 for fault in lost), 30)
        assert await client.check() == []
        for job in await jobs_of(client, ids):
            assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
        assert ledger.runs() == dict.fromkeys(ids, 1)
        assert sum((await client.stats()).counts.values()) == len(ids)
