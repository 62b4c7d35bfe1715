"""How long finished jobs stay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from asyncjobs import Client, Registry, Retention, Retry, State
from asyncjobs.errors import JobFailed
from tests.reaching import reaches
from tests.waiting import eventually
from tests.worker.conftest import StartWorker


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers look every 50 ms for what is past its time, not every ten seconds."""
    monkeypatch.setattr("asyncjobs.worker.maintenance.TRIM_EVERY", 0.05)


async def gone(client: Client, *job_ids: str) -> None:
    async def all_gone() -> bool:
        return not any([await client.get(job_id) for job_id in job_ids])

    await eventually(all_gone, because="the jobs are removed")


@pytest.mark.usefixtures("often")
class TestAges:
    async def test_each_state_has_its_own(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retry=Retry(max_retries=0))
        async def maybe(well: bool) -> None:
            if not well:
                raise ValueError

        await start_worker(
            retention=Retention(succeeded=0.1, cancelled=timedelta(milliseconds=100), failed=3600)
        )
        cancelled = await client.enqueue_in(60, maybe, True)
        await cancelled.cancel()
        succeeded, failed = await client.enqueue(maybe, True), await client.enqueue(maybe, False)
        await reaches(failed, State.FAILED)
        await gone(client, succeeded.id, cancelled.id)
        assert (await failed.refresh()).state is State.FAILED
        stats = await client.stats()
        assert (stats.counts[State.SUCCEEDED], stats.counts[State.CANCELLED]) == (0, 0)
        assert stats.totals["trimmed"] == 2
        assert stats.totals["succeeded"] == 1

    async def test_a_definitions_own_counts_more_than_the_workers(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retention=0.05)
        async def brief() -> int:
            return 1

        @registry.job(retention=timedelta(hours=1))
        async def lasting() -> int:
            return 2

        @registry.job
        async def plain() -> int:
            return 3

        await start_worker(retention=Retention(succeeded=0.1))
        kept = await client.enqueue(lasting)
        await kept.result(timeout=10)
        await gone(client, (await client.enqueue(brief)).id, (await client.enqueue(plain)).id)
        assert await kept.result(timeout=0) == 2

    async def test_one_calls_own_counts_most(
        self, client: Client, registry: Registry, start_worker: StartWorker
    ) -> None:
        @registry.job(retention=3600)
        async def lasting() -> None: ...

        await start_worker()
        kept = await client.enqueue(lasting)
        await gone(client, (await client.enqueue(lasting.options(retention=0.05))).id)
        assert (await reaches(kept, State.SUCCEEDED)).state is State.SUCCEEDED


async def test_zero_removes_a_job_the_moment_it_ends(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(retention=0, retry=Retry(max_retries=1, delay=0))
    async def maybe(well: bool) -> None:
        if not well:
            raise ValueError

    await start_worker()
    jobs: list[Any] = [await client.enqueue(maybe, True), await client.enqueue(maybe, False)]
    await gone(client, *(job.id for job in jobs))
    stats = await client.stats()
    assert (stats.totals["succeeded"], stats.totals["failed"], stats.totals["retried"]) == (1, 1, 1)
    assert sum(stats.counts.values()) == 0


async def test_of_each_list_the_newest_are_kept_up_to_a_number(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def number(number: int) -> int:
        return number

    await start_worker(concurrency=1, retention=Retention(max_jobs=10))
    jobs = await client.enqueue_many(number.call(n) for n in range(60))
    assert await jobs[-1].result(timeout=10) == 59

    async def ten() -> bool:
        return await client.count("succeeded") == 10

    await eventually(ten, because="the oldest are trimmed as others finish")
    assert [await job.result() for job in await client.jobs("succeeded")] == list(range(50, 60))


async def test_by_default_all_three_stay(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(retry=Retry(max_retries=0))
    async def maybe(well: bool) -> str:
        if not well:
            raise ValueError("no")
        return "yes"

    await start_worker()
    succeeded, failed = await client.enqueue(maybe, True), await client.enqueue(maybe, False)
    cancelled = await client.enqueue_in(60, maybe, True)
    await cancelled.cancel()
    assert await succeeded.result(timeout=10) == "yes"
    with pytest.raises(JobFailed):
        await failed.result(timeout=10)
    for state, job in (("succeeded", succeeded), ("failed", failed), ("cancelled", cancelled)):
        assert [found.id for found in await client.jobs(state)] == [job.id]
