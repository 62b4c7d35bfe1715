"""The live numbers: new ones arrive, and however many look, the storage is asked once."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from asyncjobs import Client, Registry
from asyncjobs.errors import StorageUnavailable
from asyncjobs_dashboard import Dashboard
from asyncjobs_dashboard import streams as streams_module
from asyncjobs_dashboard.setup import SETUP
from tests.dashboard.conftest import Serve
from tests.waiting import eventually


async def events(response: aiohttp.ClientResponse, name: str = "numbers") -> Any:
    """The data of the next event of a name."""
    found = ""
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line.startswith("event: "):
            found = line.removeprefix("event: ")
        elif line.startswith("data: ") and found == name:
            return json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream has ended")


async def test_numbers_that_change_arrive(client: Client, registry: Registry, serve: Serve) -> None:
    @registry.job
    async def work() -> None: ...

    browser = await serve(client, poll=0.1)
    async with browser.get("/live") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert (await events(response))["counts"].get("enqueued", 0) == 0
        await client.enqueue(work)
        async with asyncio.timeout(5):
            while (await events(response))["counts"].get("enqueued", 0) != 1:
                pass


async def test_a_hundred_pages_ask_no_more_than_one(memory: Client) -> None:
    asked = 0
    stats = memory.storage.stats

    async def counted() -> Any:
        nonlocal asked
        asked += 1
        return await stats()

    memory.storage.stats = counted  # type: ignore[method-assign]
    async with AsyncExitStack() as stack:
        dashboard = await stack.enter_async_context(Dashboard(memory, port=0, poll=0.2))
        session = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        )
        opened = [await stack.enter_async_context(session.get(f"{dashboard.url}live")) for _ in range(100)]
        live = dashboard.app[SETUP].live
        await eventually(lambda: live.watchers == 100)
        before, readings = asked, live.readings
        for _ in range(3):
            await asyncio.gather(*(events(response) for response in opened))
        assert live.readings - readings <= 4
        assert asked - before == live.readings - readings


async def test_nobody_looks_and_nothing_is_read(memory: Client, serve: Serve, monkeypatch: Any) -> None:
    monkeypatch.setattr("asyncjobs_dashboard.live.LINGER", 0.0)
    browser = await serve(memory, poll=0.1)
    live = browser.server.app[SETUP].live
    async with browser.get("/live") as response:
        await events(response)
    await eventually(lambda: live.watchers == 0 and live.is_idle)


async def test_too_many_streams_are_refused(memory: Client, serve: Serve, monkeypatch: Any) -> None:
    monkeypatch.setattr(streams_module, "MOST_STREAMS", 1)
    browser = await serve(memory, poll=0.1)
    async with browser.get("/live") as first:
        await events(first)
        second = await browser.get("/live")
        assert second.status == 503
        assert "live already" in await second.text()


async def test_a_storage_that_gives_no_answer(memory: Client, serve: Serve) -> None:
    browser = await serve(memory, poll=0.1)
    answer = memory.storage.stats

    async def silent() -> Any:
        raise StorageUnavailable("no answer from redis")

    async with browser.get("/live") as response:
        await events(response)
        memory.storage.stats = silent  # type: ignore[method-assign]
        assert "no answer" in (await events(response, "trouble"))["message"]
        page = await eventually(lambda: _status(browser, 503))
        assert "no answer from redis" in page
        assert "Try again" in page
        memory.storage.stats = answer  # type: ignore[method-assign]
        await events(response)


async def _status(browser: Any, status: int) -> str:
    response = await browser.get("/")
    text = await response.text()
    return text if response.status == status else ""


async def test_it_starts_without_a_storage_and_finds_it_later(memory: Client, serve: Serve) -> None:
    there = memory.storage.open

    async def away() -> None:
        raise StorageUnavailable("connection refused")

    memory.storage.open = away  # type: ignore[method-assign]
    browser = await serve(memory)
    assert (await browser.get("/")).status == 503
    assert (await browser.get("/job/x")).status == 503
    memory.storage.open = there  # type: ignore[method-assign]
    assert (await browser.get("/")).status == 200


async def test_ending_ends_the_streams(memory: Client) -> None:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with Dashboard(memory, port=0, poll=0.1) as dashboard:
            response = await stack.enter_async_context(session.get(f"{dashboard.url}live"))
            await events(response)
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 1.5


async def test_metrics(memory: Client, registry: Registry, serve: Serve) -> None:
    @registry.job(queue="mail")
    async def work() -> None: ...

    await memory.enqueue(work)
    text = await (await (await serve(memory)).get("/metrics")).text()
    assert 'asyncjobs_jobs{state="enqueued"} 1' in text.splitlines()
    assert 'asyncjobs_queue_length{queue="mail"} 1' in text.splitlines()
    for line in text.splitlines():
        assert line.startswith(("# HELP asyncjobs_", "# TYPE asyncjobs_", "asyncjobs_"))
