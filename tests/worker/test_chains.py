"""Chains: each job runs after the one before, all of them or none are there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from asyncjobs import PREVIOUS, Client, Registry, Retry, State
from asyncjobs.errors import OptionError
from tests.reaching import reaches
from tests.worker.conftest import StartWorker
from tests.worker.steps import Steps


@pytest.fixture
def registry() -> Registry:
    return Registry(retry=Retry(max_retries=0))


@pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
async def client(request: pytest.FixtureRequest, redis_url: str, registry: Registry) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry, shards=request.param) as client:
        yield client


@pytest.fixture
def steps(registry: Registry) -> Steps:
    return Steps(registry)


async def test_each_runs_after_the_one_before(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def begin(text: str) -> list[str]:
        return [text]

    @registry.job
    async def add(texts: list[str], text: str) -> list[str]:
        return [*texts, text]

    @registry.job
    async def unrelated() -> str:
        return "unrelated"

    chained = await client.chain(
        begin.call("a"), add.call(PREVIOUS, "b"), add.call(PREVIOUS, "c"), unrelated.call()
    )
    assert [job.state for job in chained] == ["enqueued", "awaiting", "awaiting", "awaiting"]
    await start_worker()
    assert await chained[3].result(timeout=10) == "unrelated"
    assert await chained[2].result(timeout=10) == ["a", "b", "c"]


async def test_the_rest_waits_for_one_that_failed(
    client: Client, steps: Steps, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    steps.failing.add("b")
    chained = await client.chain(*(steps.step.call(label) for label in "abc"))
    await reaches(chained[1], State.FAILED)
    await worker.until_empty()
    assert (await chained[2].refresh()).state is State.AWAITING
    steps.failing.clear()
    await chained[1].requeue()
    await chained[2].result(timeout=10)
    assert steps.ran == ["a", "b", "b", "c"]


async def test_what_cannot_be_chained(client: Client, steps: Steps) -> None:
    job = await client.enqueue(steps.step, "job")
    unkept = steps.step.options(keep_result=False)
    wrong: list[tuple[list[Any], str]] = [
        ([], "at least one call"),
        ([steps.step], "isn't a call"),
        ([steps.step.call(PREVIOUS)], "none before it"),
        ([steps.step.call("a"), steps.step.call(job.output)], "PREVIOUS stands for"),
        ([unkept.call("a"), steps.step.call(PREVIOUS)], "keep_result=False"),
        ([steps.step.call("a")] * 251, "at most 250 calls, not 251"),
    ]
    for calls, message in wrong:
        with pytest.raises(OptionError, match=message):
            await client.chain(*calls)
    assert (await client.stats()).counts[State.AWAITING] == 0


async def test_the_longest(client: Client, steps: Steps, start_worker: StartWorker) -> None:
    chained = await client.chain(*(steps.step.call(str(number)) for number in range(250)))
    await start_worker()
    await chained[-1].result(timeout=60)
    assert steps.ran == [str(number) for number in range(250)]
