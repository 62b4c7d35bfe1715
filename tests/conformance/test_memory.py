from __future__ import annotations

import asyncio

import pytest

from asyncjobs.clock import Clock
from asyncjobs.errors import OptionError
from asyncjobs.ids import new_id
from asyncjobs.storage.base import STUB_MS, Created, NewJob, State, Storage
from asyncjobs.storage.conformance import MovableClock, StorageConformance, StorageFactory
from asyncjobs.storage.memory import MemoryStorage


class TestMemory(StorageConformance):
    @pytest.fixture(params=[1, 3])
    def storage_factory(self, request: pytest.FixtureRequest) -> StorageFactory:
        def make(clock: Clock) -> Storage:
            return MemoryStorage(shards=request.param, clock=clock)

        return make


async def test_a_removed_jobs_id_is_forgotten_in_the_end() -> None:
    clock = MovableClock()
    storage = MemoryStorage(clock=clock)
    job = NewJob(new_id(), "job", "default")
    await storage.create([job])
    await storage.delete(job.id)
    clock.advance(STUB_MS)

    assert await storage.create([job]) == [Created.CREATED]


async def test_a_waiting_worker_is_woken_from_another_threads_event_loop() -> None:
    storage = MemoryStorage()
    waiting = asyncio.create_task(storage.wait_for_work(0, ["default"], 10))
    await asyncio.sleep(0)

    await asyncio.to_thread(asyncio.run, storage.create([NewJob(new_id(), "job", "default")]))

    assert await waiting == "default"


async def test_a_cancelled_wait_leaves_the_marker_for_others() -> None:
    storage = MemoryStorage()
    waiting = asyncio.create_task(storage.wait_for_work(0, ["default"], 10))
    await asyncio.sleep(0)
    await storage.create([NewJob(new_id(), "job", "default")])
    waiting.cancel()
    await asyncio.wait([waiting])

    assert await storage.wait_for_work(0, ["default"], 0) == "default"


@pytest.mark.parametrize("shards", [0, 63])
def test_a_number_of_shards_that_cannot_be_is_refused(shards: int) -> None:
    with pytest.raises(OptionError, match="shards must be from 1 to 62"):
        MemoryStorage(shards=shards)


async def test_states_whose_jobs_are_not_in_a_list_cannot_be_cleared() -> None:
    with pytest.raises(OptionError):
        await MemoryStorage().clear(0, State.PROCESSING, 10)
