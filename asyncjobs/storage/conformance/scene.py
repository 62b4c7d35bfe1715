"""What the tests of the kit act with: a clock to move, jobs, and workers that exchange."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from asyncjobs.clock import Clock
from asyncjobs.ids import new_id
from asyncjobs.storage.base import (
    BatchRecord,
    BatchState,
    Created,
    ExchangeReply,
    ExchangeRequest,
    Finish,
    Finished,
    Grant,
    HeartbeatReply,
    JobRecord,
    NewBatch,
    NewJob,
    On,
    Opened,
    Outcome,
    Parent,
    Retention,
    State,
    Storage,
)

StorageFactory = Callable[[Clock], Storage]
"""Makes a storage whose time comes from the clock given."""

LEASE_MS = 10_000
SOON = 5.0
"""Seconds within which what must happen happens, on a busy machine too."""
BRIEFLY = 0.05
"""Seconds to wait for what must not happen."""


class MovableClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now_ms: int = 1_900_000_000_000) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        """The present, in milliseconds since 1970."""
        return self.now_ms

    def advance(self, ms: int) -> int:
        """Move it on; the new time."""
        self.now_ms += ms
        return self.now_ms


class WorkerHand:
    """A registered worker, driven by hand. It counts its exchanges itself."""

    def __init__(self, scene: Scene, worker_id: str, lease_ms: int, shard: int | None = None) -> None:
        self.scene = scene
        self.id = worker_id
        self.lease_ms = lease_ms
        self.shard = scene.shard if shard is None else shard
        self.number = 0

    async def exchange(
        self,
        *finishes: Finish,
        slots: int = 0,
        queues: Sequence[str] = ("default",),
        popped: Sequence[str] = (),
        number: int | None = None,
        retention: Retention | None = None,
    ) -> ExchangeReply:
        """The next exchange; or `number`, sent again."""
        if number is None:
            self.number += 1
        request = ExchangeRequest(
            worker=self.id,
            number=self.number if number is None else number,
            slots=slots,
            queues=queues,
            popped=popped,
            finishes=finishes,
            retention=retention or Retention(),
        )
        return await self.scene.storage.exchange(self.shard, request)

    async def take(self, slots: int = 1, *queues: str) -> list[Grant]:
        """Fetch jobs of the queues (without any: of "default")."""
        reply = await self.exchange(slots=slots, queues=queues or ("default",))
        return reply.grants

    async def take_one(self, *queues: str) -> Grant:
        """Fetch the one job that is there to be had."""
        (grant,) = await self.take(1, *queues)
        return grant

    async def finish(
        self,
        grant: Grant,
        outcome: Outcome = Outcome.SUCCEEDED,
        *,
        retention: Retention | None = None,
        **details: Any,
    ) -> Finished:
        """End an attempt. `details`: further fields of `Finish`."""
        finish = Finish(grant.id, grant.exchange, outcome, **details)
        reply = await self.exchange(finish, retention=retention)
        (result,) = reply.results
        return result

    async def run(self, outcome: Outcome = Outcome.SUCCEEDED, *queues: str, **details: Any) -> str:
        """Fetch one job and end it so; its id."""
        grant = await self.take_one(*queues)
        assert await self.finish(grant, outcome, **details) is Finished.DONE
        return grant.id

    async def beat(self, held: int = 0, info: dict[str, object] | None = None) -> HeartbeatReply:
        """Renew the lease, in a thread as a worker does."""
        link = self.scene.storage.heartbeat_link(self.shard, self.id, self.lease_ms)
        try:
            return await asyncio.to_thread(link.beat, held, info)
        finally:
            await asyncio.to_thread(link.close)


class Scene:
    """A storage with a clock to move. Its jobs are all on one shard, the last, unless another is named."""

    def __init__(self, storage: Storage, clock: MovableClock) -> None:
        self.storage = storage
        self.clock = clock
        self.shard = storage.shards - 1
        self.elsewhere = 0
        """Another shard than that, where there are several."""
        self._workers = 0

    def new_id(self) -> str:
        """An id of a job that isn't made yet."""
        return new_id(self.shard)

    def new_job(self, queue: str = "default", **fields: Any) -> NewJob:
        """A job that isn't made yet."""
        values: dict[str, Any] = {"id": self.new_id(), "name": "module.function", "queue": queue}
        return NewJob(**(values | fields))

    async def create(self, queue: str = "default", **fields: Any) -> str:
        """Make a job; its id."""
        job = self.new_job(queue, **fields)
        await self.storage.create([job])
        return job.id

    async def create_many(self, count: int, queue: str = "default", **fields: Any) -> list[str]:
        """Make jobs in one call; their ids in order."""
        jobs = [self.new_job(queue, **fields) for _ in range(count)]
        await self.storage.create(jobs)
        return [job.id for job in jobs]

    async def worker(
        self, lease_ms: int = LEASE_MS, info: dict[str, object] | None = None, shard: int | None = None
    ) -> WorkerHand:
        """Register a worker."""
        self._workers += 1
        shard = self.shard if shard is None else shard
        hand = WorkerHand(self, f"worker-{self._workers}", lease_ms, shard)
        await self.storage.register(shard, hand.id, info or {}, lease_ms)
        return hand

    async def die(self, worker: WorkerHand) -> None:
        """Have a worker fall silent until its lease has run out, while another one renews its own."""
        witness = await self.worker(lease_ms=worker.lease_ms)
        for _ in range(4):
            self.clock.advance(worker.lease_ms // 4)
            await witness.beat()

    async def finished(self, state: State = State.SUCCEEDED, queue: str = "default", **details: Any) -> str:
        """Make a job and bring it into a final state; its id."""
        outcome = {
            State.SUCCEEDED: Outcome.SUCCEEDED,
            State.FAILED: Outcome.FAILED,
            State.CANCELLED: Outcome.CANCELLED,
        }[state]
        job_id = await self.create(queue)
        worker = await self.worker()
        assert await worker.run(outcome, queue, **details) == job_id
        await self.storage.unregister(self.shard, worker.id)
        return job_id

    # -- continuations and batches --

    async def carry_on(self) -> None:
        """Have everything done that one step was too short for, on all shards."""
        quiet = 0
        for _ in range(1_000):
            # A storage may carry on by itself as well, and word cross from a shard to one that was looked at.
            quiet = 0 if (await self.storage.stats()).follow_ups else quiet + 1
            if quiet == 2:
                return
            for shard in range(self.storage.shards):
                while await self.storage.carry_on(shard):
                    pass
        raise AssertionError("there is always more to carry on")

    async def run(self, outcome: Outcome, queue: str, shard: int | None = None, **details: Any) -> str:
        """Have a worker of its own run one job of a queue; its id."""
        worker = await self.worker(shard=shard)
        job_id = await worker.run(outcome, queue, **details)
        await self.storage.unregister(worker.shard, worker.id)
        return job_id

    async def continuation(
        self, *parents: Parent | str, queue: str = "default", on: On = On.SUCCEEDED, **fields: Any
    ) -> str:
        """Make a job that waits for others (ids stand for parents `on` that end); its id."""
        waits = [Parent(parent, on) if isinstance(parent, str) else parent for parent in parents]
        job = self.new_job(queue, parents=waits, **fields)
        assert await self.storage.create([job]) == [Created.CREATED]
        return job.id

    async def open_batch(self, parent: str = "", name: str = "") -> str:
        """Make a batch that is staging; its id."""
        batch = NewBatch(self.new_id(), name, parent)
        assert await self.storage.open_batches([batch]) is Opened.DONE
        return batch.id

    async def batch(self, jobs: int = 1, queue: str = "default", parent: str = "") -> tuple[str, list[str]]:
        """Make a batch and commit it: its id, and those of its jobs."""
        batch_id = await self.open_batch(parent)
        members = await self.create_many(jobs, queue, batch=batch_id)
        assert await self.storage.commit_batch(batch_id) is Opened.DONE
        await self.carry_on()
        return batch_id, members

    async def batch_record(self, batch_id: str) -> BatchRecord:
        """The batch, which is there."""
        record = await self.storage.get_batch(batch_id)
        assert record is not None, f"batch {batch_id} is gone"
        return record

    async def batch_state(self, batch_id: str) -> BatchState | None:
        """The batch's state; None if it is gone."""
        record = await self.storage.get_batch(batch_id)
        return record.state if record else None

    async def recount(self, batch_id: str, **removed: int) -> BatchRecord:
        """The batch, whose counters must be what its members' states say.

        `removed`: of members that are gone by now, how many had ended in which state (or count as that).
        """
        record = await self.batch_record(batch_id)
        members = await self.storage.members(batch_id, limit=10_000)
        assert members.total == len(members.ids) == len(set(members.ids))
        count = Counter(removed)
        for member in members.ids:
            if member.startswith("~"):
                count["nested"] += 1
                state = await self.batch_state(member[1:])
                if state is not None and state.is_finished:
                    count["nested_succeeded" if state is BatchState.SUCCEEDED else "nested_failed"] += 1
            else:
                job = await self.record(member)
                assert job.batch == batch_id
                count["total"] += 1
                count[job.state.value if job.state.is_final else "pending"] += 1
        count["total"] += sum(removed.values())
        counters = ("total", "succeeded", "failed", "cancelled", "pending")
        for counter in (*counters, "nested", "nested_succeeded", "nested_failed"):
            assert getattr(record, counter) == count[counter], (counter, record, count)
        ended = record.pending == 0 and record.nested == record.nested_succeeded + record.nested_failed
        assert record.state is BatchState.STAGING or record.state.is_finished == ended, record
        assert (record.finished_ms > 0) == record.state.is_finished
        return record

    async def record(self, job_id: str) -> JobRecord:
        """The job, which is there."""
        record = await self.storage.get(job_id)
        assert record is not None, f"job {job_id} is gone"
        return record

    async def state(self, job_id: str) -> State | None:
        """The job's state; None if it is gone."""
        record = await self.storage.get(job_id)
        return record.state if record else None

    async def events(self, job_id: str) -> list[str]:
        """What its history tells."""
        return [entry.event for entry in await self.storage.history(job_id)]

    async def listed(self, state: State, queue: str | None = None) -> list[str]:
        """The ids of all jobs in a state, in order."""
        page = await self.storage.jobs(state, queue=queue, limit=10_000)
        return [job.id for job in page.jobs]

    async def total(self, counter: str) -> int:
        """One of the totals."""
        stats = await self.storage.stats()
        return stats.totals[counter]

    async def length(self, queue: str = "default") -> int:
        """How long a queue is."""
        (record,) = [record for record in await self.storage.queues() if record.name == queue]
        return record.length

    async def take_marker(self, *queues: str) -> str | None:
        """Take a marker that is there already; None if none is."""
        return await self.storage.wait_for_work(self.shard, queues or ("default",), BRIEFLY)


class Fixtures:
    """The fixtures of the kit. A subclass overrides `storage_factory`."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The tests run on asyncio."""
        return "asyncio"

    @pytest.fixture
    def clock(self) -> MovableClock:
        """The time that the storage goes by."""
        return MovableClock()

    @pytest.fixture
    def storage_factory(self) -> StorageFactory:
        """To be overridden: makes the storage to be tested, holding nothing yet."""
        raise NotImplementedError("override the fixture storage_factory: see asyncjobs.storage.conformance")

    @pytest.fixture
    async def storage(self, storage_factory: StorageFactory, clock: MovableClock) -> AsyncIterator[Storage]:
        """The storage, open."""
        storage = storage_factory(clock)
        await storage.open()
        yield storage
        await storage.close()

    @pytest.fixture
    async def scene(self, storage: Storage, clock: MovableClock) -> Scene:
        """What a test acts with."""
        return Scene(storage, clock)
