"""The page of the background processes: where each runs, and who holds the lock of those that run once."""

from __future__ import annotations

import asyncio
import re

import pytest

from asyncjobs import Client, Exponential, Registry, Worker
from asyncjobs_dashboard.pages import processes as processes_module
from asyncjobs_dashboard.setup import SETUP
from tests.dashboard.conftest import Browser, Serve
from tests.dashboard.machines import process, register
from tests.dashboard.scene import PAYLOAD
from tests.dashboard.test_pages import read
from tests.waiting import eventually


async def card(browser: Browser, name: str) -> str:
    """What is said of a process, without markup; "" if there is none of that name."""
    text = await read(browser, "/processes")
    for each in re.findall(r'<section class="card" id="process-\d+".*?</section>', text, re.DOTALL):
        if f">{name}</h2>" in each:
            return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", each)).strip()
    return ""


async def _says(browser: Browser, name: str, *said: str) -> str:
    text = await card(browser, name)
    return text if all(each in text for each in said) else ""


async def test_where_each_runs(client: Client, registry: Registry, serve: Serve) -> None:
    @registry.process(name="once", scope="cluster")
    async def once() -> None:
        await asyncio.sleep(3600)

    @registry.process(name="everywhere")
    async def everywhere() -> None:
        await asyncio.sleep(3600)

    @registry.process(name="fails", backoff=Exponential(base=30))
    async def fail() -> None:
        raise ValueError(PAYLOAD)

    async with Worker(registry, client) as one, Worker(registry, client) as two:
        browser = await serve(client, poll=0.1)
        text = await eventually(
            lambda: _says(browser, "once", "running in 1", "standby in 1", "holds its lock")
        )
        assert "It runs in one worker at a time." in text
        lock = await client.get_lock("process:once")
        assert lock is not None
        assert f"(token {lock.token})" in text
        text = await eventually(lambda: _says(browser, "everywhere", "running in 2"))
        assert "one worker at a time" not in text
        text = await eventually(lambda: _says(browser, "fails", "restarting in 2"))
        assert "ValueError:" in text
        assert "&lt;script&gt;alert" in await read(browser, "/processes")
        assert "1 process failed, and waits" in await read(browser, "/processes")
        for worker in (one, two):
            assert f'href="/worker/{worker.id}"' in await read(browser, "/processes")
            assert "&lt;script&gt;alert" in await read(browser, f"/worker/{worker.id}")


async def test_who_holds_the_lock(memory: Client, serve: Serve) -> None:
    await register(memory, "host-1-a", processes=[process("once", "standby")])
    await register(memory, "host-2-b", processes=[process("once")])
    browser = await serve(memory, poll=0.1)
    assert "Nobody holds its lock just now" in await card(browser, "once")
    await memory.storage.acquire_lock("process:once", "host-2-0123456789abcdef", 60_000)
    text = await eventually(lambda: _says(browser, "once", "host:2 holds its lock"))
    assert "runs out in 59 s" in text or "runs out in 60 s" in text or "in 1 min" in text
    await memory.storage.release_lock("process:once", "host-2-0123456789abcdef")
    await memory.storage.acquire_lock("process:once", "other-3-0123456789abcdef", 60_000)
    await eventually(lambda: _says(browser, "once", "other-3-0123456789abcdef , of which no worker is known"))


async def test_locks_are_asked_for_once_for_all_who_look(
    memory: Client, registry: Registry, serve: Serve
) -> None:
    @registry.process(name="everywhere")
    async def everywhere() -> None: ...

    await register(memory, "host-1-a", processes=[process("once"), process("everywhere")])
    asked: list[str] = []
    get_lock = memory.get_lock

    async def counted(name: str, /) -> object:
        asked.append(name)
        return await get_lock(name)

    memory.get_lock = counted  # type: ignore[method-assign,assignment]
    browser = await serve(memory, poll=60)
    for _ in range(3):
        await read(browser, "/processes")
    assert asked == ["process:once"]
    assert browser.server.app[SETUP].live.readings == 1


async def test_many(memory: Client, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes_module, "PAGE", 4)
    monkeypatch.setattr(processes_module, "MOST_WORKERS", 2)
    for number in range(5):
        state = "restarting" if number == 3 else "running"
        said = [
            process(f"does-{each}", state if each == 0 else "running", restarts=number) for each in range(6)
        ]
        await register(memory, f"host-{number}-a", processes=said)
    browser = await serve(memory)
    text = await card(browser, "does-0")
    assert text.index("host:3") < text.index("host:4")
    assert "and 3 workers more; 10 restarts in all of them" in text
    assert "does-4" not in await read(browser, "/processes")
    rest = await read(browser, "/processes?from=4")
    assert "does-3" not in rest
    assert "does-5" in rest
    assert 'href="/processes?from=0" rel="prev"' in rest
    found = await read(browser, "/processes?q=S-5")
    assert "does-5" in found
    assert "does-4" not in found
    assert "No background process matches" in await read(browser, "/processes?q=nothing")


async def test_none(memory: Client, serve: Serve) -> None:
    browser = await serve(memory, poll=0.1)
    assert "No worker is running" in await read(browser, "/processes")
    await register(memory, "host-1-a")
    await eventually(lambda: _declare(browser))


async def _declare(browser: Browser) -> bool:
    return "@registry.process" in await read(browser, "/processes")
