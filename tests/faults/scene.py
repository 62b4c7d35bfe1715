"""A namespace with jobs in every state and all that may belong to them, for tests that damage it by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Any

from asyncjobs import Client, JobContext, Limit, Registry, Retry, State, Worker
from asyncjobs.ids import new_id
from asyncjobs.storage.audit import Finding, Mending
from asyncjobs.storage.base import ExchangeRequest, NewBatch, NewJob
from asyncjobs.storage.redis.keys import FIELDS, Keys, hash_tag
from tests.servers import Server
from tests.waiting import eventually

KEYS = Keys(hash_tag("asyncjobs", 0, 1))
IDLE, WORK = "idle", "work"
"""A queue that nobody serves before the end, and one that a worker serves from the beginning."""
FINAL = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

SLOT = Limit("slot", concurrency=1, key=lambda: "a: b")
RATE = Limit("rate", rate=1, per=3600)

registry = Registry(queue=IDLE, retry=Retry(max_retries=0))


class Runs:
    """What the jobs of a scene did."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.gate = asyncio.Event()


runs: Runs


@registry.job(context=True)
async def brief(context: JobContext, number: int = 1) -> int:
    runs.begun[context.id] += 1
    return number


@registry.job(context=True)
async def fail(context: JobContext) -> None:
    runs.begun[context.id] += 1
    raise ValueError("as it was told")


@registry.job(context=True, retry=Retry(max_retries=1, delay=3600))
async def fail_at_first(context: JobContext) -> None:
    runs.begun[context.id] += 1
    if context.attempt == 1:
        raise ValueError("at first")


@registry.job(context=True)
async def gated(context: JobContext) -> None:
    runs.begun[context.id] += 1
    context.log("it waits")
    await runs.gate.wait()


@registry.job(context=True, limits=[SLOT], unique="held")
async def holding(context: JobContext) -> None:
    runs.begun[context.id] += 1
    await runs.gate.wait()


@registry.job(context=True, limits=[SLOT])
async def throttled(context: JobContext) -> None:
    runs.begun[context.id] += 1


@registry.job(context=True, limits=[RATE])
async def rated(context: JobContext) -> None:
    runs.begun[context.id] += 1


@registry.job(context=True, unique="waiting")
async def unique(context: JobContext) -> None:
    runs.begun[context.id] += 1


@registry.job(context=True)
async def stubborn(context: JobContext) -> None:
    runs.begun[context.id] += 1
    while not runs.gate.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await runs.gate.wait()


@registry.recurring("0 0 1 1 *", id="declared")
async def yearly() -> None: ...


class Scene:
    """The namespace: its jobs and batches by what they are."""

    def __init__(self, server: Server, client: Client) -> None:
        self.server = server
        self.client = client
        self.storage = client.storage
        self.worker = ""
        self.jobs: dict[str, str] = {}
        self.batches: dict[str, str] = {}

    # -- how it comes about --

    async def build(self) -> None:
        client, work = self.client, {"queue": WORK}
        suspect = await client.enqueue(brief)
        await self._recover_one()
        made: dict[str, Any] = {
            "suspect": suspect,
            "enqueued": await client.enqueue(brief),
            "another": await client.enqueue(brief),
            "urgent": await client.enqueue(brief.options(priority=5)),
            "parent": await client.enqueue(brief, 7),
            "scheduled": await client.enqueue_in(3600, brief),
            "retrying": await client.enqueue(fail_at_first.options(**work)),
            "succeeded": await client.enqueue(brief.options(**work)),
            "kept": await client.enqueue(brief.options(retention=3600, **work)),
            "failed": await client.enqueue(fail.options(**work)),
            "running": await client.enqueue(gated.options(**work)),
            "stubborn": await client.enqueue(stubborn.options(**work)),
            "cancelled": await client.enqueue(brief),
            "holder": await client.enqueue(holding.options(**work)),
            "rated": await client.enqueue(rated.options(**work)),
            "unique": await client.enqueue(unique),
        }
        async with client.batch("open") as batch:
            made["member"] = batch.enqueue(brief.options(**work))
            made["waiting member"] = batch.enqueue(brief)
            made["second member"] = batch.enqueue(brief)
            with batch.batch("inner") as inner:
                made["inner member"] = inner.enqueue(brief)
        async with client.batch("done") as done:
            made["done member"] = done.enqueue(brief.options(**work))
            with done.batch("inner done") as inner_done:
                made["inner done member"] = inner_done.enqueue(brief.options(**work))
        self.batches = {"open": batch.id, "inner": inner.id, "done": done.id, "inner done": inner_done.id}
        made["child"] = await client.continue_with(made["parent"], brief, made["parent"].output)
        made["child of two"] = await client.continue_with([made["parent"], batch], brief, 3)
        made["after batch"] = await client.continue_with(batch, brief, 4)
        self.jobs = {name: job.id for name, job in made.items()}
        await self._stage()
        await client.recurring.put("nightly", "@daily", brief.call(1))
        await self.storage.acquire_lock("ledger", "holder", 600_000)
        await self.storage.acquire_lock("ledger", "waiter", 600_000, "box")
        await made["cancelled"].cancel()
        gone = await client.enqueue(brief)
        await gone.delete()
        self.jobs["stub"] = gone.id
        await eventually(self._settled, because="all that is to run or to have ended does")
        self.jobs["throttled"] = (await client.enqueue(throttled)).id
        self.jobs["too early"] = (await client.enqueue(rated)).id
        await made["stubborn"].cancel()

    async def _recover_one(self) -> None:
        await self.storage.register(0, "dead", {}, 10_000)
        await self.storage.exchange(0, ExchangeRequest("dead", 1, 1, (IDLE,)))
        await self.storage.reap(0, "dead")

    async def _stage(self) -> None:
        self.batches["staging"] = batch_id = new_id(0)
        self.jobs["staged"] = new_id(0)
        await self.storage.open_batches([NewBatch(batch_id, "staging")])
        await self.storage.create([NewJob(self.jobs["staged"], brief.name, IDLE, batch=batch_id)])

    async def _settled(self) -> bool:
        running = {job.id for job in await self.client.jobs(State.PROCESSING)}
        ended = {job.id for state in FINAL for job in await self.client.jobs(state)}
        retrying = {job.id for job in await self.client.jobs(State.RETRYING)}
        wanted = ("succeeded", "kept", "rated", "failed", "member", "done member", "inner done member")
        done = await self.client.batch_of(self.batches["done"]).refresh()
        return (
            running == {self.jobs["running"], self.jobs["stubborn"], self.jobs["holder"]}
            and {self.jobs[name] for name in wanted} <= ended
            and retrying == {self.jobs["retrying"]}
            and done.state.is_finished
            and await self.client.recurring.get("declared") is not None
        )

    # -- damage --

    def key(self, kind: str, name: str = "") -> str:
        """A key of a kind: of the job or batch of that name, or of one that has such a key."""
        now = int(self.server.command("TIME")[0])
        default = {
            **dict.fromkeys(("job", "enqueued"), self.jobs["enqueued"]),
            "history": self.jobs["failed"],
            "log": self.jobs["running"],
            "continuations": self.jobs["parent"],
            **dict.fromkeys(("batch", "members", "batch_continuations"), self.batches["open"]),
            **dict.fromkeys(("queue", "priority", "suspects", "wake"), IDLE),
            **dict.fromkeys(("worker", "held", "control", "cancels"), self.worker),
            **dict.fromkeys(("lock", "lock_waiters", "lock_askers"), "ledger"),
            "recurring_facts": "nightly",
            "unique": "waiting",
            "limit": "slot:a: b",
            "limit_waiters": f"slot:a: b:{IDLE}",
            "limit_starts": "rate",
            "inbox": "box",
            "hour": str(now // 3600),
            "day": str(now // 86400),
        }
        own = self.jobs.get(name) or self.batches.get(name) or name or default.get(kind, "")
        return KEYS.key(kind, own)

    def do(self, command: str, kind: str, *args: str | int, of: str = "") -> Any:
        """A command on a key."""
        return self.server.command(command, self.key(kind, of), *args)

    def set(self, name: str, field: str, value: str | int) -> None:
        """Overwrite a field of a job's record."""
        self.do("HSET", "job", FIELDS[field], value, of=name)

    def unset(self, name: str, field: str) -> None:
        """Remove one."""
        assert self.do("HDEL", "job", FIELDS[field], of=name) == 1

    # -- what comes of it --

    async def check(self) -> list[Finding]:
        return await self.client.check(pause=0)

    async def repair(self) -> list[Mending]:
        return await self.client.repair(pause=0)

    async def finish(
        self, lost: Iterable[str] = (), again: Iterable[str] = (), left: Iterable[str] = ()
    ) -> None:
        """Let everything run: each job ends that wasn't `lost`, and none runs twice but those in `again`."""
        lost = {"staged", "stub", *lost}
        for name in ("scheduled", "retrying"):
            job = await self.client.get(self.jobs[name])
            if job is not None and job.state in (State.SCHEDULED, State.RETRYING):
                await self.client.run_now(job.id)
        await self.client.limits.set("rate", rate=100, per=1)
        runs.gate.set()
        alive = {name: job_id for name, job_id in self.jobs.items() if name not in lost}

        async def all_ended() -> bool:
            found = {name: await self.client.get(job_id) for name, job_id in alive.items()}
            left = {
                name: job and str(job.state)
                for name, job in found.items()
                if not job or job.state not in FINAL
            }
            assert not left, left
            return True

        async with (
            Client(self.server.url, registry=registry) as client,
            Worker(registry, client, queues=[IDLE]),
        ):
            await eventually(all_ended, 15)
        states = {name: (await self.client.read(job_id)).state for name, job_id in alive.items()}
        twice = {name for name, job_id in self.jobs.items() if runs.begun[job_id] > 1}
        assert twice <= {"retrying", *again}, (twice, states)
        for name, batch_id in self.batches.items():
            batch = await self.client.get_batch(batch_id)
            assert name == "staging" or (batch and batch.state.is_finished), (name, batch)
        assert {finding.id for finding in await self.check()} == set(left)


@contextlib.asynccontextmanager
async def scene(server: Server) -> AsyncIterator[Scene]:
    """Build it, with a worker that runs."""
    global runs
    runs = Runs()
    async with (
        Client(server.url, registry=registry) as client,
        Client(server.url, registry=registry) as own,
        Worker(registry, own, queues=[WORK], lease=5, grace=0) as worker,
    ):
        made = Scene(server, client)
        await made.build()
        made.worker = worker.id
        try:
            yield made
        finally:
            runs.gate.set()
