"""Locks: those that are held, and taking one away from its holder."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from aiohttp import web

from asyncjobs import Client
from asyncjobs_dashboard import Access
from tests.dashboard.conftest import Browser, Serve, token
from tests.dashboard.scene import PAYLOAD
from tests.dashboard.test_batches import plain
from tests.dashboard.test_pages import read
from tests.waiting import eventually


async def take(client: Client, name: str, holder: str = "host-1-abc", ttl_ms: int = 60_000) -> None:
    """Hold it as somebody who has died since."""
    assert (await client.storage.acquire_lock(name, holder, ttl_ms)).number


async def release(browser: Browser, name: str, holder: str) -> Any:
    form = {"name": name, "holder": holder, "csrf_token": await token(browser, "/locks")}
    return await browser.post("/locks/release", data=form)


async def test_none_says_how_to_take_one(client: Client, serve: Serve) -> None:
    browser = await serve(client)
    assert "client.lock(" in await read(browser, "/locks")
    assert "No lock is that far down" in await read(browser, "/locks?from=50")


async def test_the_list(client: Client, serve: Serve) -> None:
    await take(client, "process:clean")
    async with client.lock("ledger", ttl=30) as lock:
        waits = asyncio.create_task(_wait_for(client, "ledger"))
        await eventually(lambda: _waiting(client, "ledger"))
        info = await client.get_lock("ledger")
        assert info is not None
        text = await read(await serve(client), "/locks")
        rows = [plain(row).strip() for row in re.findall(r'<li id="row-.*?</dl>', text, re.DOTALL)]
        assert rows[0].startswith(f"ledger held by {info.holder} runs out in ")
        assert rows[0].endswith(f"waiting 1 fencing token {lock.token}")
        assert rows[1].startswith("clean background process held by host-1-abc")
    assert await waits


async def test_the_list_goes_on(client: Client, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncjobs_dashboard.pages.locks.PAGE", 2)
    for number in range(5):
        await take(client, f"lock-{number}", ttl_ms=60_000 + 1000 * number)
    browser = await serve(client)
    path, seen = "/locks", list[str]()
    for _ in range(3):
        text = await read(browser, path)
        seen += re.findall(r"<strong>(lock-\d)</strong>", text)
        path = next(iter(re.findall(r'href="([^"]+)" rel="next"', text)), "")
    assert seen == [f"lock-{number}" for number in range(5)]
    assert path == ""


@pytest.mark.parametrize("name", ["ledger", "customers/4711 ?#&%20+", f" {PAYLOAD}", "process:clean", "ü·ü"])
async def test_releasing(client: Client, serve: Serve, name: str) -> None:
    await take(client, name)
    browser = await serve(client)
    assert "goes on beside the next one" in await read(browser, "/locks")
    response = await release(browser, name, "host-1-abc")
    assert (response.status, response.url.path) == (200, "/locks")
    assert "The lock was taken from its holder" in await response.text()
    assert await client.get_lock(name) is None


async def test_only_from_the_holder_that_was_shown(client: Client, serve: Serve) -> None:
    await take(client, "other")
    await take(client, "ledger", "the next one")
    browser = await serve(client)
    response = await release(browser, "ledger", "host-1-abc")
    assert "Nothing was done" in await response.text()
    held = await client.get_lock("ledger")
    assert held is not None
    assert held.holder == "the next one"
    assert "Nothing was done" in await (await release(browser, "nothing", "host-1-abc")).text()
    for form in ({"name": "ledger"}, {"holder": "the next one"}, {}):
        right = await token(browser, "/locks")
        refused = await browser.post("/locks/release", data={**form, "csrf_token": right})
        assert refused.status == 400
    assert await client.get_lock("ledger") is not None


async def test_readers_see_no_buttons(client: Client, serve: Serve) -> None:
    async def authorize(request: web.Request) -> Access:
        return Access.READ

    await take(client, "ledger")
    for browser in (await serve(client, authorize=authorize), await serve(client, read_only=True)):
        text = await read(browser, "/locks")
        assert "ledger" in text
        assert 'method="post"' not in text
        assert "csrf_token" not in text


async def test_names_are_text_and_nothing_else(client: Client, serve: Serve) -> None:
    await take(client, PAYLOAD, f"holder{PAYLOAD}")
    await take(client, f"process:{PAYLOAD}")
    browser = await serve(client)
    assert "&lt;script&gt;alert" in await read(browser, "/locks")
    for name in ("from", "done"):
        response = await browser.get("/locks", params={name: PAYLOAD})
        assert "<script>alert" not in await response.text()


async def _wait_for(client: Client, name: str) -> bool:
    async with client.lock(name):
        return True


async def _waiting(client: Client, name: str) -> bool:
    info = await client.get_lock(name)
    return info is not None and info.waiting == 1
