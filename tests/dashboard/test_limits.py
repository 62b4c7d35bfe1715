"""Limits: what is in use of them, and their numbers, which can be changed and reset."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import web

from asyncjobs import Client, Limit, Registry, State, Worker
from asyncjobs_dashboard import Access
from tests.dashboard.conftest import Browser, Serve, token
from tests.dashboard.scene import PAYLOAD, set_up
from tests.dashboard.test_batches import plain
from tests.dashboard.test_pages import read


@pytest.fixture
def jobs(registry: Registry) -> dict[str, Any]:
    @registry.job(name="mail", limits=[Limit("smtp", rate=1, per=3600)])
    async def mail(number: int) -> None: ...

    @registry.job(name="report", limits=[Limit("tenant", concurrency=2, key="{tenant}")])
    async def report(tenant: str) -> None: ...

    @registry.job(name="book", mutex="account:{number}")
    async def book(number: int) -> None: ...

    return {"mail": mail, "report": report, "book": book}


async def rows(browser: Browser, path: str = "/limits") -> list[str]:
    """What is in use, as it is read."""
    text = await read(browser, path)
    return [plain(row).strip() for row in re.findall(r'<tr id="key-.*?</tr>', text, re.DOTALL)]


async def numbers(browser: Browser) -> list[str]:
    """The numbers, as they are read by who may only look."""
    text = await read(browser, "/limits")
    found = re.findall(r'<li id="limit-\d+">.*?</strong>.*?</span>(?:</span>)?', text, re.DOTALL)
    return [plain(each).strip() for each in found]


async def send(browser: Browser, action: str, **form: str) -> Any:
    form["csrf_token"] = await token(browser, "/limits")
    return await browser.post(f"/limits/{action}", data=form)


async def test_none_says_how_to_declare_one(client: Client, serve: Serve) -> None:
    assert "limits=[Limit(" in await read(await serve(client), "/limits")


async def test_what_is_in_use(client: Client, registry: Registry, jobs: dict[str, Any], serve: Serve) -> None:
    for tenant in ("acme", "acme", "acme", "zeta"):
        await client.enqueue(jobs["report"], tenant)
    await client.enqueue(jobs["book"], 7)
    browser = await serve(client)
    assert await rows(browser) == [
        "mutex account:7 0 0 of 1 at once 0 1 0",
        "tenant acme 0 0 of 2 at once 0 2 1",
        "tenant zeta 0 0 of 2 at once 0 1 0",
    ]
    text = await read(browser, "/limits")
    assert "3 keys" in text
    assert 'href="/jobs/throttled"' in text


async def test_a_rate_says_how_many_have_started(
    client: Client, registry: Registry, jobs: dict[str, Any], serve: Serve
) -> None:
    first = await client.enqueue(jobs["mail"], 1)
    second = await client.enqueue(jobs["mail"], 2)
    async with Worker(registry, client):
        await client.wait_for_end(first.id, 10)
    assert (await second.refresh()).state is State.THROTTLED
    assert await rows(await serve(client)) == ["smtp 1 1 of 1 in 1 h 0 0 1"]


async def test_keys_and_numbers_are_paged(
    client: Client, registry: Registry, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncjobs_dashboard.pages.limits.PAGE", 2)
    for name in "abcde":

        @registry.job(name=name, limits=[Limit(f"limit-{name}", concurrency=1)])
        async def work() -> None: ...

        await client.enqueue(work)
    browser = await serve(client)
    names = [await rows(browser, f"/limits?from={offset}") for offset in (0, 2, 4)]
    assert [[row.split()[0] for row in page] for page in names] == [
        ["limit-a", "limit-b"],
        ["limit-c", "limit-d"],
        ["limit-e"],
    ]
    text = await read(browser, "/limits?numbers=2&from=4")
    assert re.findall(r'<li id="limit-\d+"><strong[^>]*>([\w-]+)', text) == ["limit-c", "limit-d"]
    assert "3 to 4 of 5" in text
    assert "5 to 5 of 5" in text
    assert "There are only 5 limits" in await read(browser, "/limits?numbers=10")
    assert "none that far down" in await read(browser, "/limits?from=10")


async def test_changing_and_resetting(client: Client, jobs: dict[str, Any], serve: Serve) -> None:
    waiting = [await client.enqueue(jobs["report"], "acme") for _ in range(4)]
    await client.enqueue(jobs["mail"], 1)
    browser = await serve(client)
    assert await numbers(browser) == ["smtp 1 in 1 h", "tenant 2 at once"]
    assert "Reset…" not in await read(browser, "/limits")

    response = await send(browser, "set", name="tenant", concurrency="4")
    assert (response.status, response.url.path) == (200, "/limits")
    assert "tenant now has these numbers" in await response.text()
    assert await numbers(browser) == ["smtp 1 in 1 h", "tenant 4 at once set by hand"]
    assert [(await job.refresh()).state for job in waiting] == ["enqueued"] * 4

    await send(browser, "set", name="smtp", rate="50", per="0.5")
    assert (await numbers(browser))[0] == "smtp 50 in 500 ms set by hand"

    response = await send(browser, "reset", name="tenant")
    assert "tenant gets its numbers from the code again" in await response.text()
    assert (await numbers(browser))[1] == "tenant 2 at once"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"name": "tenant"}, "either concurrency=, or rate="),
        ({"name": "tenant", "concurrency": "1", "rate": "1"}, "either concurrency=, or rate="),
        ({"name": "tenant", "concurrency": "0"}, "whole number from 1 to 100,000"),
        ({"name": "tenant", "concurrency": "-1"}, "give a whole number"),
        ({"name": "tenant", "concurrency": "1.5"}, "give a whole number"),
        ({"name": "tenant", "concurrency": "lots"}, "give a whole number"),
        ({"name": "tenant", "concurrency": "9" * 5000}, "give a whole number"),
        ({"name": "tenant", "rate": "5", "per": "1"}, "so many at once"),
        ({"name": "tenant", "rate": "5", "per": "soon"}, "give seconds"),
        ({"name": "tenant", "rate": "5", "per": "nan"}, "negative or nan"),
        ({"name": "tenant", "rate": "5", "per": "0"}, "per"),
        ({"name": "tennant", "concurrency": "5"}, "did you mean tenant"),
        ({"name": "", "concurrency": "5"}, "be called"),
        ({"name": PAYLOAD, "concurrency": "5"}, "be called"),
        ({"concurrency": "5"}, "be called"),
    ],
    ids=str,
)
async def test_numbers_that_cannot_be_right(
    memory: Client, jobs: dict[str, Any], serve: Serve, form: dict[str, str], said: str
) -> None:
    await memory.enqueue(jobs["report"], "acme")
    browser = await serve(memory)
    response = await send(browser, "set", **form)
    text = await response.text()
    assert response.status == 400
    assert said in text
    assert "<script>alert" not in text
    assert await numbers(browser) == ["tenant 2 at once"]


async def test_resetting_what_is_not_there(memory: Client, jobs: dict[str, Any], serve: Serve) -> None:
    await memory.enqueue(jobs["report"], "acme")
    response = await send(await serve(memory), "reset", name="nothing")
    assert response.status == 400
    assert "there is no limit" in await response.text()


async def test_readers_see_no_buttons(client: Client, jobs: dict[str, Any], serve: Serve) -> None:
    async def authorize(request: web.Request) -> Access:
        return Access.READ

    await client.enqueue(jobs["report"], "acme")
    for browser in (await serve(client, authorize=authorize), await serve(client, read_only=True)):
        text = await read(browser, "/limits")
        assert "acme" in text
        assert 'method="post"' not in text
        assert "csrf_token" not in text


async def test_keys_are_text_and_nothing_else(
    client: Client, registry: Registry, jobs: dict[str, Any], serve: Serve
) -> None:
    async with Worker(registry, client, queues=["evil", "default"], grace=0.1):
        await set_up(client, registry)
        await client.enqueue(jobs["report"].options(queue="unserved"), PAYLOAD)
        browser = await serve(client)
        assert "&lt;script&gt;alert" in await read(browser, "/limits")
        for name in ("from", "numbers", "done", "name"):
            response = await browser.get("/limits", params={"done": "set", name: PAYLOAD})
            assert "<script>alert" not in await response.text()
