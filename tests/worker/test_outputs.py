"""Results that are handed from job to job: `job.output` as an argument of a continuation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from asyncjobs import PREVIOUS, Client, Registry, Retry, State
from asyncjobs.errors import JobFailed, OptionError, OutputError
from tests.reaching import reaches
from tests.worker import crunching
from tests.worker.conftest import StartWorker


@dataclass
class Point:
    x: int
    y: float


@pytest.fixture
def registry() -> Registry:
    return Registry(retry=Retry(max_retries=0))


@pytest.fixture(params=[1, 3], ids=["one shard", "three shards"])
async def client(request: pytest.FixtureRequest, redis_url: str, registry: Registry) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry, shards=request.param) as client:
        yield client


async def test_it_arrives_as_what_was_returned(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def find(x: int) -> Point:
        return Point(x, 0.5)

    @registry.job
    async def move(point: Point, *, by: int) -> Point:
        assert type(point) is Point
        return Point(point.x + by, point.y)

    @registry.job
    async def number() -> int:
        return 40

    job = await client.enqueue(find, 1)
    size = await client.enqueue(number)
    moved = await client.continue_with([job, size], move, job.output, by=size.output)
    await start_worker()
    assert await moved.result(timeout=10) == Point(41, 0.5)
    assert await moved.refresh() is moved


async def test_it_may_be_anywhere_in_the_arguments(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def word(text: str) -> str:
        return text

    @registry.job
    async def tell(*args: Any, **kwargs: Any) -> list[Any]:
        return [list(args), kwargs]

    a, b = [await client.enqueue(word, text) for text in "ab"]
    job = await client.continue_with(
        [a, b],
        tell,
        [a.output, "x", [b.output]],
        {"deep": {"deeper": (a.output, 1)}, "set": {b.output}},
        a.output,
        tail={"b": b.output},
    )
    await start_worker()
    assert await job.result(timeout=10) == [
        [["a", "x", ["b"]], {"deep": {"deeper": ("a", 1)}, "set": {"b"}}, "a"],
        {"tail": {"b": "b"}},
    ]


@pytest.mark.parametrize("value", [None, 0, "", [], False, b"", "x" * 300, "é" * 63, b"\0" * 64])
async def test_values_of_every_kind(
    client: Client, registry: Registry, start_worker: StartWorker, value: object
) -> None:
    @registry.job
    async def give() -> Any:
        return value

    @registry.job
    async def take(taken: Any) -> list[Any]:
        return [taken, type(taken).__name__]

    first = await client.enqueue(give)
    job = await client.continue_with(first, take, first.output)
    await start_worker()
    assert await job.result(timeout=10) == [value, type(value).__name__]


async def test_large_results(client: Client, registry: Registry, start_worker: StartWorker) -> None:
    @registry.job
    async def give(size: int) -> bytes:
        return bytes(range(256)) * (size // 256)

    @registry.job
    async def join(parts: list[bytes]) -> list[int]:
        assert all(part == bytes(range(256)) * (len(part) // 256) for part in parts)
        return [len(part) for part in parts]

    sizes = [256, 65_536, 700_416]
    jobs = await client.enqueue_many(give.call(size) for size in sizes)
    joined = await client.continue_with(jobs, join, [job.output for job in jobs])
    await start_worker()
    assert await joined.result(timeout=20) == sizes


async def test_of_a_parent_that_had_ended_and_of_one_that_is_retried(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    attempts: list[int] = []

    @registry.job(retry=Retry(max_retries=1, delay=0.01))
    async def second_time() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("not yet")
        return len(attempts)

    @registry.job
    async def double(number: int) -> int:
        return 2 * number

    await start_worker()
    parent = await client.enqueue(second_time)
    early = await client.continue_with(parent, double, parent.output)
    assert await early.result(timeout=10) == 4
    late = await client.continue_with(parent, double, parent.output)
    assert await late.result(timeout=10) == 4


async def test_it_is_there_though_the_parent_is_not_any_more(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job(retention=0)
    async def give() -> str:
        return "given"

    @registry.job(queue="later")
    async def take(text: str) -> str:
        return text

    parent = await client.enqueue(give)
    child = await client.continue_with(parent, take, parent.output)
    await start_worker(queues=["default"])
    await reaches(child, State.ENQUEUED)
    if await client.get(parent.id) is not None:
        await parent.delete()
    await start_worker(queues=["later"])
    assert await child.result(timeout=10) == "given"
    # And when it runs again.
    await child.requeue()
    assert await child.result(timeout=10) == "given"


async def test_in_threads(client: Client, registry: Registry, start_worker: StartWorker) -> None:
    @registry.job
    def give() -> list[int]:
        return [1, 2]

    @registry.job
    def take(numbers: list[int], more: list[list[int]]) -> int:
        return sum(numbers) + sum(map(sum, more))

    parent = await client.enqueue(give)
    child = await client.continue_with(parent, take, parent.output, [parent.output, [10]])
    await start_worker()
    assert await child.result(timeout=10) == 16


@pytest.mark.parametrize("registry", [crunching.registry])
async def test_in_processes(client: Client, registry: Registry, start_worker: StartWorker) -> None:
    parent = await client.enqueue(crunching.add, 1, second=(2,))
    child = await client.continue_with(parent, crunching.add, 7, second=parent.output)
    await start_worker()
    assert await child.result(timeout=60) == (7, 1, 2)


async def test_what_was_shown_before_it_is_filled_in(client: Client, registry: Registry) -> None:
    @registry.job
    async def give() -> str:
        return ""

    parent = await client.enqueue(give)
    child = await client.continue_with(parent, give.registry.job(name="take")(_take), parent.output)
    found = await client.get(child.id)
    assert found is not None
    (shown,), _ = found.arguments()
    assert repr(shown) == f"<output of {parent.id}>"


async def _take(text: str) -> str:
    return text


@pytest.mark.parametrize(
    "use",
    [
        lambda output: str(output),
        lambda output: f"{output}",
        lambda output: output + 1,
        lambda output: 1 + output,
        lambda output: output["key"],
        lambda output: output.attribute,
        lambda output: output.method(),
        lambda output: bool(output),
        lambda output: [*output],
        lambda output: output == 1,
        lambda output: output < 1,
        lambda output: len(output),
        lambda output: 1 in output,
        lambda output: int(output),
        lambda output: setattr(output, "x", 1),
    ],
)
async def test_any_other_use_is_refused_where_it_is_made(
    client: Client, registry: Registry, use: Callable[[Any], object]
) -> None:
    @registry.job
    async def give() -> int:
        return 1

    job = await client.enqueue(give)
    with pytest.raises(OutputError, match=f"<output of {job.id}> stands for a result that isn't there yet"):
        use(job.output)


async def test_what_cannot_be_handed_over_is_refused_where_it_is_made(
    client: Client, registry: Registry
) -> None:
    @registry.job
    async def give() -> str:
        return ""

    @registry.job(keep_result=False)
    async def forget() -> str:
        return ""

    @registry.job
    async def take(text: str) -> None: ...

    job, stranger = await client.enqueue(give), await client.enqueue(give)
    forgets = await client.enqueue(forget)
    gives_not = await client.enqueue(give.options(keep_result=False))
    not_waiting = f"takes the output of job {job.id}, not waiting for it: use continue_with"
    with pytest.raises(OptionError, match=not_waiting):
        await client.enqueue(take, job.output)
    with pytest.raises(OptionError, match=not_waiting):
        await client.enqueue_in(5, take, job.output)
    with pytest.raises(OptionError, match=not_waiting):
        await client.enqueue_many([take.call(job.output)])
    with pytest.raises(OptionError, match="a recurring job waits for none"):
        await client.recurring.put("again", timedelta(hours=1), take.call(job.output))
    with pytest.raises(OptionError, match=not_waiting):
        await client.continue_with(stranger, take, job.output)
    for unkept in (forgets, gives_not):
        with pytest.raises(OptionError, match="has keep_result=False, so there is no output of it"):
            await client.continue_with(unkept, take, unkept.output)
    with pytest.raises(OptionError, match="only there if it succeeds: on='finished' can't take it"):
        await client.continue_with(job, take.call(job.output), on="finished")
    with pytest.raises(OptionError, match=r"PREVIOUS is for chain\(\)"):
        await client.continue_with(job, take, PREVIOUS)
    with pytest.raises(OptionError, match="takes the output of job before"):
        await client.enqueue(take, PREVIOUS)
    assert await client.count("awaiting") == 0
    assert await client.count("enqueued") == 4


async def test_a_result_that_holds_one_is_refused(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def give() -> str:
        return ""

    @registry.job
    async def hold(nested: bool) -> Any:
        output = (await client.enqueue(give)).output
        return [output] if nested else output

    await start_worker()
    for nested in (True, False):
        job = await client.enqueue(hold, nested)
        with pytest.raises(JobFailed, match=r"the result holds the output of job .* await job\.result\(\)"):
            await job.result(timeout=10)


async def test_a_job_that_is_run_by_hand_before_its_parent_fails_and_says_why(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    @registry.job
    async def give() -> str:
        return "given"

    # There is no use in trying again.
    @registry.job(retry=Retry(max_retries=5, delay=0.01))
    async def take(text: str) -> str:
        return text

    parent = await client.enqueue(give.options(queue="unserved"))
    child = await client.continue_with(parent, take, parent.output)
    await child.cancel()
    await child.requeue()
    await start_worker(queues=["default"])
    with pytest.raises(JobFailed, match=f"the result of job {parent.id} isn't there"):
        await child.result(timeout=10)
    assert (await child.refresh()).attempt == 1
    await start_worker(queues=["unserved"])
    await parent.result(timeout=10)
    again = await client.continue_with(parent, take, parent.output)
    assert await again.result(timeout=10) == "given"


async def test_a_parent_whose_worker_keeps_no_result_lets_the_child_fail_with_the_reason(
    client: Client, registry: Registry, start_worker: StartWorker
) -> None:
    """Whoever continued it knew it only by a stub, which says nothing of results."""

    @registry.job(name="give", keep_result=False)
    async def give() -> str:
        return "given"

    @registry.job
    async def take(text: str) -> str:
        return text

    elsewhere = Registry()

    @elsewhere.external("give")
    async def stub() -> str:
        raise NotImplementedError

    parent = await client.enqueue(stub)
    child = await client.continue_with(parent, take, parent.output)
    await start_worker()
    with pytest.raises(JobFailed, match="keeps none \\(keep_result=False\\)"):
        await child.result(timeout=10)
