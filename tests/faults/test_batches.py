"""Batches whose workers and clients are killed, whose replies get lost, and which many change at once."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter

import pytest

from asyncjobs import BatchBuilder, BatchState, Client, Job, State
from asyncjobs.errors import BatchClosed, JobStateError
from asyncjobs.ids import shard_of
from asyncjobs.storage.base import STAGING_MS, Opened
from asyncjobs.storage.redis import RedisStorage, scripts
from tests.faults.apps import counted, graph
from tests.faults.conftest import ProcessFactory, WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import all_ended, jobs_of, passed
from tests.faults.recount import nothing_follows, recount
from tests.faults.worker_process import WorkerProcess
from tests.proxy import ThreadedProxy, script_sha
from tests.servers import Server
from tests.waiting import eventually

LEASE = 3
GRAPH = "tests.faults.apps.graph"
KILLS = 6


def build(batch: BatchBuilder, moments: random.Random, size: int) -> list[Job[str]]:
    """A diamond, chains and plain jobs; all of them."""

    def seconds() -> float:
        return moments.uniform(0, 0.2)

    top = batch.enqueue(graph.node, seconds(), 0, [])
    jobs = [top]
    sides = [batch.continue_with(top, graph.node, seconds(), 0, [top.output]) for _ in range(size // 6)]
    jobs += sides
    jobs.append(batch.continue_with(sides, graph.node, seconds(), 0, [side.output for side in sides]))
    for _ in range(5):
        before = batch.enqueue(graph.node, seconds(), 0, [])
        jobs.append(before)
        for _ in range(size // 30):
            before = batch.continue_with(before, graph.node, seconds(), 0, [before.output])
            jobs.append(before)
    while len(jobs) < size:
        jobs.append(batch.enqueue(graph.node, seconds(), 0, []))
    return jobs


async def ran_once(job: Job[str], runs: int) -> None:
    """The job has been let run once: each further run followed the death of a worker."""
    await job.refresh()
    assert job.state is State.SUCCEEDED
    assert [entry.event for entry in await job.history()] == ["recovered"] * job.recoveries
    assert job.attempt == 1 + job.recoveries
    assert 1 <= runs <= job.attempt


@pytest.mark.parametrize("shards", [1, 3])
async def test_workers_killed_while_batches_run(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random, shards: int
):
    async with Client(redis_url, registry=graph.registry, shards=shards) as client:

        def start(wait: bool = True) -> WorkerProcess:
            return start_worker(redis_url, app=GRAPH, wait=wait, shards=shards, concurrency=20, lease=LEASE)

        workers = [start(), start()]
        async with client.batch("outer") as outer:
            jobs = build(outer, moments, 120)
            with outer.batch("inner") as inner:
                jobs += build(inner, moments, 120)
                with inner.batch("innermost") as innermost:
                    jobs += build(innermost, moments, 60)
            after_inner = outer.continue_with(inner, graph.node, 0.0, 0, [])
        after = await client.continue_with(outer, graph.node, 0.0, 0, [])
        regardless = await client.continue_with(
            [outer, innermost], graph.node.call(0.0, 0, []), on="finished"
        )
        for _ in range(KILLS):
            await passed(moments.uniform(0, 0.6))
            victim = workers.pop(0)
            workers.append(start(wait=False))
            victim.kill()
            # It may take long to start, and the tasks beside this one go on meanwhile.
            await asyncio.to_thread(workers[-1].wait_until_serving)
        await all_ended(client, len(jobs) + 3, 120)
        await nothing_follows(client)
        assert await client.check() == []
        assert await recount(client, outer.id) == len(jobs) + 1
        assert (await client.batch_of(outer.id).refresh()).state is BatchState.SUCCEEDED
        runs = ledger.runs()
        for job in (after, regardless, after_inner, *jobs):
            await ran_once(job, runs[job.id])
        last = {after.id, regardless.id}
        begun = next(at for at, line in enumerate(ledger.lines()) if line.job_id in last)
        ended = {line.job_id for line in ledger.lines()[:begun] if line.event == "end"}
        assert ended == {job.id for job in (*jobs, after_inner)}


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("creates", [0, 3, 10**9], ids=["as it begins", "in mid-way", "before the last step"])
async def test_a_client_killed_while_it_commits_leaves_nothing_that_runs(
    server: Server,
    start_process: ProcessFactory,
    start_worker: WorkerFactory,
    ledger: Ledger,
    shards: int,
    creates: int,
):
    start_worker(server.url, lease=LEASE, shards=shards)
    async with Client(server.url, registry=counted.registry, shards=shards) as client:
        await (await client.enqueue(counted.silent)).result(timeout=20)
        with ThreadedProxy(server.port) as proxy:
            passing = [creates]

            def beyond(request: list[bytes]) -> bool:
                sha = script_sha(request)
                if sha == scripts.CREATE.sha:
                    passing[0] -= 1
                return sha == scripts.COMMIT_BATCH.sha or passing[0] < 0

            fault = proxy.drop_request(beyond, times=10**9)
            producer = start_process("-m", "tests.faults.apps.batch_producer", proxy.url, str(shards), "2000")
            await eventually(lambda: fault.hits > 0, 30)
            producer.kill()
        batch_id = next(line.split()[1] for line in producer.log.splitlines() if line.startswith("batch"))
        assert "committed" not in producer.log

        # What comes after it runs, and nothing of it.
        jobs = await client.enqueue_many(counted.brief.call(0.0) for _ in range(50))
        await all_ended(client, 51)
        assert set(ledger.runs()) == {job.id for job in jobs}
        assert sum((await client.stats()).counts.values()) == 51
        assert await client.batches() == []

        later = RedisStorage(server.url, shards=shards, clock=lambda: int(time.time() * 1000) + STAGING_MS)
        await later.open()
        shard = shard_of(batch_id, shards)
        await later.sweep_batches(shard)
        assert await later.commit_batch(batch_id) is Opened.MISSING
        while await later.carry_on(shard):
            pass
        assert await later.commit_batch(batch_id) is Opened.MISSING
        await later.close()
        assert await client.get_batch(batch_id) is None
        left = [key for key in server.command("KEYS", "*:b:*") if server.command("PTTL", key.decode()) < 0]
        assert left == []
        kept = [key for key in server.command("KEYS", "*:j:*") if server.command("PTTL", key.decode()) < 0]
        assert await client.check() == []
        assert len(kept) == 51, "of its jobs there is only what is forgotten by itself"


@pytest.mark.parametrize("shards", [1, 3])
async def test_a_client_killed_when_it_has_committed_leaves_all_of_it(
    server: Server, start_process: ProcessFactory, start_worker: WorkerFactory, ledger: Ledger, shards: int
):
    async with Client(server.url, registry=counted.registry, shards=shards) as client:
        with ThreadedProxy(server.port) as proxy:
            fault = proxy.drop_reply(scripts.COMMIT_BATCH.sha)
            proxy.drop_request(lambda _: fault.remaining == 0, times=10**9)
            producer = start_process("-m", "tests.faults.apps.batch_producer", proxy.url, str(shards), "2000")
            await eventually(lambda: fault.hits == 1, 30)
            producer.kill()
        batch_id = next(line.split()[1] for line in producer.log.splitlines() if line.startswith("batch"))
        after = await client.continue_with(client.batch_of(batch_id), counted.brief, 0.0)
        start_worker(server.url, lease=LEASE, shards=shards, concurrency=100)
        await after.result(timeout=120)
        await nothing_follows(client)
        assert await client.check() == []
        assert await recount(client, batch_id) == 2_200
        assert set(ledger.runs().values()) == {1}
        assert len(ledger.runs()) == 2_201


@pytest.mark.parametrize("shards", [1, 3])
async def test_lost_replies(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger, shards: int
):
    async with (
        Client(proxy.url, registry=graph.registry, shards=shards) as through,
        Client(redis_url, registry=graph.registry, shards=shards) as client,
    ):
        start_worker(proxy.url, app=GRAPH, shards=shards, lease=LEASE, concurrency=20)
        lost = [
            proxy.drop_reply(script.sha, times=3)
            for script in (scripts.OPEN_BATCHES, scripts.CREATE, scripts.COMMIT_BATCH)
        ]
        async with through.batch("outer") as outer:
            jobs = [outer.enqueue(graph.node, 0.0, 0, []) for _ in range(600)]
            with outer.batch("inner") as inner:
                jobs += [inner.enqueue(graph.node, 0.0, 0, []) for _ in range(10)]
                jobs.append(inner.enqueue(graph.node, 0.2, 0, []))
        lost += [proxy.drop_reply(script.sha, times=3) for script in (scripts.EXCHANGE, scripts.CREATE)]
        lost[1].clear()
        after = await through.continue_with(outer, graph.node, 0.0, 0, [])
        await after.result(timeout=60)
        added = await through.batch_of(inner.id).enqueue_many(graph.node.call(0.0, 1, []) for _ in range(20))
        await all_ended(client, len(jobs) + 21)
        lost.append(proxy.drop_reply(scripts.REQUEUE.sha, times=3))
        for job in added:
            await through.requeue(job.id)
        await through.batch_of(outer.id).wait(timeout=60)
        await nothing_follows(client)
        assert await client.check() == []
        assert all(fault.hits for fault in lost)
        assert await recount(client, outer.id) == len(jobs) + 20
        assert (await client.batch_of(outer.id).refresh()).state is BatchState.SUCCEEDED
        expected = dict.fromkeys([job.id for job in [*jobs, after]], 1) | dict.fromkeys(
            [job.id for job in added], 2
        )
        assert ledger.runs() == expected


async def test_lost_replies_of_a_cancellation(
    redis_url: str, proxy: ThreadedProxy, start_worker: WorkerFactory, ledger: Ledger
):
    async with (
        Client(proxy.url, registry=counted.registry) as through,
        Client(redis_url, registry=counted.registry) as client,
    ):
        start_worker(proxy.url, lease=LEASE, concurrency=20)
        async with through.batch() as batch:
            batch.enqueue_many(counted.gated.call("never") for _ in range(1_200))
        await eventually(lambda: len(ledger.runs()) == 20)
        told = [
            proxy.drop_reply(script.sha, times=2)
            for script in (scripts.CANCEL_BATCH, scripts.CARRY_ON, scripts.EXCHANGE)
        ]
        await through.batch_of(batch.id).cancel()
        done = await client.batch_of(batch.id).wait(timeout=60)
        await nothing_follows(client)
        assert await client.check() == []
        assert [fault.hits > 0 for fault in told] == [True] * 3
        assert (done.state, done.cancelled) == (BatchState.CANCELLED, 1_200)
        assert await recount(client, batch.id) == 1_200
        assert len(ledger.runs()) == 20


@pytest.mark.parametrize("shards", [1, 3])
async def test_everything_at_once(
    redis_url: str, start_worker: WorkerFactory, ledger: Ledger, moments: random.Random, shards: int
):
    """Members add, finish and fail; clients add, nest, requeue, delete and cancel: the counters hold."""
    for _ in range(2):
        start_worker(redis_url, app=GRAPH, shards=shards, lease=LEASE, concurrency=20)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client(redis_url, registry=graph.registry, shards=shards))
            for _ in range(4)
        ]
        client = clients[0]
        async with client.batch("outer") as outer:
            for _ in range(100):
                outer.enqueue(graph.node, moments.uniform(0, 0.3), moments.randrange(2), [])
            outer.enqueue(graph.split, 0.05, 6)
            inside = []
            for number in range(4):
                with outer.batch(f"inner {number}") as inner:
                    inner.enqueue(graph.split, 0.05, 5)
                    for _ in range(30):
                        inner.enqueue(graph.node, moments.uniform(0, 0.5), moments.randrange(2), [])
                    inside.append(inner.id)
        followers = [
            await client.continue_with(client.batch_of(batch_id), graph.node.call(0.0, 0, []), on="finished")
            for batch_id in (outer.id, *inside)
        ]
        seen: Counter[str] = Counter()

        async def disturb(own: Client) -> None:
            for _ in range(60):
                what = moments.choice(["add", "add", "requeue", "requeue", "nest", "wait"])
                batch_id = moments.choice([outer.id, *inside])
                try:
                    if what == "add":
                        batch = own.batch_of(batch_id)
                        await batch.enqueue(graph.node, moments.uniform(0, 0.1), moments.randrange(2), [])
                    elif what == "nest":
                        async with own.batch_of(batch_id).batch() as late:
                            late.enqueue(graph.node, 0.0, moments.randrange(2), [])
                    elif what == "requeue":
                        for job in (await own.jobs("failed", limit=200))[-3:]:
                            await own.requeue(job.id)
                    else:
                        await passed(moments.uniform(0, 0.02))
                except (BatchClosed, JobStateError) as error:
                    seen[type(error).__name__] += 1
                else:
                    seen[what] += 1

        async def cancel_some() -> None:
            await passed(moments.uniform(0, 0.5))
            await clients[3].batch_of(inside[0]).cancel()
            await passed(moments.uniform(0, 0.3))
            await clients[3].batch_of(inside[1]).cancel()

        await asyncio.gather(*map(disturb, clients), cancel_some())
        assert seen["add"]
        assert seen["requeue"]

        async def all_over() -> bool:
            counts = (await client.stats()).counts
            busy = ("enqueued", "processing", "scheduled", "retrying", "awaiting")
            return not any(counts[State(state)] for state in busy)

        await eventually(all_over, 120)
        await nothing_follows(client)
        assert await client.check() == []
        assert await recount(client, outer.id) > 200
        for batch_id in inside:
            assert (await client.batch_of(batch_id).refresh()).state.is_finished
        for job in await jobs_of(client, [follower.id for follower in followers]):
            assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
        runs = ledger.runs()
        assert max(runs[follower.id] for follower in followers) == 1
