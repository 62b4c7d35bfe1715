"""Pages far down lists that span shards or queues: each job is on one of them, and little is read for it."""

from __future__ import annotations

import random

import pytest

from asyncjobs.ids import new_id
from asyncjobs.storage.base import NewJob, State
from asyncjobs.storage.redis import RedisStorage, reading

JOBS, PAGE = 400, 37
START = 1_900_000_000_000


@pytest.fixture(params=[1, 3])
async def storage(request: pytest.FixtureRequest, redis_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(reading, "NEAR", 20)
    storage = RedisStorage(redis_url, shards=request.param)
    await storage.open()
    yield storage
    await storage.close()


async def pages(storage: RedisStorage, state: State, *, newest_first: bool) -> list[str]:
    found: list[str] = []
    for offset in range(0, JOBS + 2 * PAGE, PAGE):
        page = await storage.jobs(state, offset=offset, limit=PAGE, newest_first=newest_first)
        assert page.total == JOBS
        assert len(page.jobs) == max(0, min(PAGE, JOBS - offset))
        found += [job.id for job in page.jobs]
    return found


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("moments", [1, 3, 60, 5_000])
async def test_of_a_list_in_order_of_time(storage: RedisStorage, newest_first: bool, moments: int) -> None:
    chance = random.Random(moments)
    due = {new_id(at % storage.shards): START + chance.randrange(moments) for at in range(JOBS)}
    await storage.create([NewJob(job_id, "job", "default", due_ms=ms) for job_id, ms in due.items()])

    found = await pages(storage, State.SCHEDULED, newest_first=newest_first)

    assert len(set(found)) == JOBS
    times = [due[job_id] for job_id in found]
    assert times == sorted(times, reverse=newest_first)


@pytest.mark.parametrize("newest_first", [False, True])
async def test_of_what_is_enqueued_in_many_queues(storage: RedisStorage, newest_first: bool) -> None:
    jobs = [NewJob(new_id(at % storage.shards), "job", f"queue{at % 7}") for at in range(JOBS)]
    await storage.create(jobs)

    found = await pages(storage, State.ENQUEUED, newest_first=newest_first)

    assert len(set(found)) == JOBS
    queues = {job.id: job.queue for job in jobs}
    names = [queues[job_id] for job_id in found]
    assert names == sorted(names, reverse=newest_first)
