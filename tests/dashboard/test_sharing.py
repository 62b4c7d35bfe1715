"""Pages that many look at cost the storage what one costs."""

from __future__ import annotations

import asyncio

import pytest

from asyncjobs import Client, Registry
from asyncjobs_dashboard.sharing import MOST_KEPT, Shared
from tests.dashboard.conftest import Serve, token
from tests.waiting import eventually


class Source:
    """What is read, and how often it was."""

    def __init__(self) -> None:
        self.readings = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def read(self) -> int:
        self.readings += 1
        number = self.readings
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return number


async def test_those_who_ask_at_the_same_time_get_one_reading() -> None:
    shared, source = Shared(60), Source()
    source.gate.clear()
    asked = [asyncio.create_task(shared.get("page", source.read)) for _ in range(100)]
    await asyncio.sleep(0)
    source.gate.set()
    assert set(await asyncio.gather(*asked)) == {1}
    assert await shared.get("page", source.read) == 1
    assert await shared.get("other page", source.read) == 2


async def test_what_is_old_is_read_again() -> None:
    shared, source = Shared(0), Source()
    assert [await shared.get("page", source.read) for _ in range(2)] == [1, 2]


async def test_a_change_is_seen_at_once_also_while_a_reading_is_under_way() -> None:
    shared, source = Shared(60), Source()
    source.gate.clear()
    before = asyncio.create_task(shared.get("page", source.read))
    await eventually(lambda: source.readings == 1, because="it is under way")
    shared.outdate()
    after = asyncio.create_task(shared.get("page", source.read))
    await eventually(lambda: source.readings == 2, because="it is begun anew")
    source.gate.set()
    assert (await before, await after) == (1, 2)
    assert await shared.get("page", source.read) == 2


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    shared, source = Shared(60), Source()
    source.gate.clear()
    leaving = asyncio.create_task(shared.get("page", source.read))
    staying = asyncio.create_task(shared.get("page", source.read))
    await eventually(lambda: source.readings == 1, because="it is under way")
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    source.gate.set()
    assert await staying == 1


async def test_an_error_is_told_to_all_and_not_kept() -> None:
    shared, source = Shared(60), Source()
    source.error = ValueError("no")
    told = await asyncio.gather(*(shared.get("page", source.read) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in told] == [ValueError] * 3
    assert source.readings == 1
    source.error = None
    assert await shared.get("page", source.read) == 2


async def test_only_so_many_are_kept() -> None:
    shared, source = Shared(60), Source()
    for page in range(3 * MOST_KEPT):
        await shared.get(page, source.read)
    assert len(shared._readings) <= MOST_KEPT
    await shared.close()


@pytest.mark.parametrize(
    "path", ["/jobs/scheduled", "/job/JOB", "/batches", "/recurring", "/limits", "/locks"]
)
async def test_a_hundred_who_look_at_a_page_cost_what_one_costs(
    client: Client, registry: Registry, serve: Serve, path: str
) -> None:
    @registry.job
    async def work() -> None: ...

    job = await client.enqueue_in(3600, work)
    browser = await serve(client, poll=30)
    path = path.replace("JOB", job.id)
    assert (await browser.get(path)).status == 200
    asked: list[str] = []

    class Asking:
        """Tells which verbs of the storage are asked for."""

        def __init__(self, storage: object) -> None:
            self._storage = storage

        def __getattr__(self, name: str) -> object:
            asked.append(name)
            return getattr(self._storage, name)

    real, client.storage = client.storage, Asking(client.storage)  # type: ignore[assignment]
    try:
        statuses = {(await browser.get(path)).status for _ in range(20)}
    finally:
        client.storage = real
    assert statuses == {200}
    assert set(asked) <= {"shards"}


async def test_what_was_done_is_seen_on_the_next_page(
    client: Client, registry: Registry, serve: Serve
) -> None:
    @registry.job
    async def work() -> None: ...

    job = await client.enqueue_in(3600, work)
    browser = await serve(client, poll=30)
    form = {"csrf_token": await token(browser, f"/job/{job.id}")}
    text = await (await browser.post(f"/job/{job.id}/cancel", data=form)).text()
    assert "The job was cancelled" in text
    assert 'class="state cancelled"' in text
