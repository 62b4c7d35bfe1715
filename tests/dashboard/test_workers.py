"""The pages of the workers: what they show, and what their buttons do."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from asyncjobs import Client, JobContext, Registry, Worker
from asyncjobs_dashboard.pages import workers as workers_module
from tests.dashboard.conftest import Browser, Serve, token
from tests.dashboard.machines import process, register
from tests.dashboard.scene import PAYLOAD
from tests.dashboard.test_pages import read
from tests.waiting import eventually


@pytest.fixture
def hold(registry: Registry) -> Any:
    @registry.job(name="holds", context=True)
    async def hold(context: JobContext, text: str) -> None:
        context.progress(0.25)
        await asyncio.sleep(3600)

    return hold


async def text_of(browser: Browser, path: str) -> str:
    """A page's text, without its markup."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", await read(browser, path)))


async def press(browser: Browser, worker: str, action: str) -> str:
    right = await token(browser, f"/worker/{worker}")
    response = await browser.post(
        f"/worker/{worker}/{action}", data={"csrf_token": right}, allow_redirects=False
    )
    assert response.status == 303, await response.text()
    return response.headers["Location"]


async def test_a_worker_and_what_it_runs(client: Client, registry: Registry, hold: Any, serve: Serve) -> None:
    @registry.process(name="listens")
    async def listen() -> None:
        await asyncio.sleep(3600)

    async with Worker(registry, client, queues=["default", "mail"], concurrency=7, grace=0.1) as worker:
        job = await client.enqueue(hold, PAYLOAD)
        browser = await serve(client, poll=0.1)
        path = f"/worker/{worker.id}"
        await eventually(lambda: _says(browser, path, "25%"))
        await eventually(lambda: _says(browser, path, "listens running"))
        text = await eventually(lambda: _says(browser, path, "1 of 7"))
        assert "Running for" in text
        shown = await read(browser, path)
        assert f'href="/job/{job.id}"' in shown
        assert "&lt;script&gt;alert" in shown
        assert 'href="/queues?q=mail"' in shown
        listed = await text_of(browser, "/workers")
        assert "1 / 7" in listed
        assert "default, mail" in listed
        assert f'href="{path}"' in await read(browser, "/workers")
        assert f'href="{path}"' in await read(browser, "/")
        assert f'href="{path}"' in await read(browser, f"/search?q={worker.id}")
        assert f'href="{path}"' in await read(browser, f"/job/{job.id}")
        assert f'href="{path}"' in await read(browser, "/jobs/processing")


async def _says(browser: Browser, path: str, said: str) -> str:
    text = await text_of(browser, path)
    return text if said in text else ""


async def test_telling_one_to_be_quiet(client: Client, registry: Registry, serve: Serve) -> None:
    async with Worker(registry, client) as worker:
        browser = await serve(client, poll=0.1)
        location = await press(browser, worker.id, "quiet")
        assert location == f"/worker/{worker.id}?done=quiet"
        assert "told to take no new jobs" in await text_of(browser, location)
        text = await eventually(lambda: _says(browser, f"/worker/{worker.id}", " quiet "))
        assert "Quiet…" not in text
        assert "Stop…" in text
        await eventually(lambda: _says(browser, "/workers", "1 quiet"))


async def test_stopping_one(client: Client, registry: Registry, serve: Serve) -> None:
    async with Worker(registry, client) as worker:
        browser = await serve(client, poll=0.1)
        await press(browser, worker.id, "stop")
        async with asyncio.timeout(10):
            await worker.stopping.wait()
    gone = await eventually(lambda: _gone(browser, worker.id))
    assert "no such worker any more" in gone


async def _gone(browser: Browser, worker: str) -> str:
    response = await browser.get(f"/worker/{worker}")
    return await response.text() if response.status == 404 else ""


async def test_one_that_is_gone(memory: Client, serve: Serve) -> None:
    await register(memory, "host-7-new")
    await register(memory, "host-8-other")
    await register(memory, "elsewhere-9-other")
    browser = await serve(memory)
    text = await read(browser, "/worker/host-7-old", 404)
    assert "In its process there is" in text
    assert 'href="/worker/host-7-new"' in text
    assert 'href="/worker/host-8-other"' in text
    assert "elsewhere-9" not in text
    assert "went back to their queues" in await read(browser, "/worker/host-6-old", 404)
    assert "went back to their queues" in await read(browser, "/worker/nonsense", 404)
    # A page that is open loads itself again, so that it doesn't go on showing what isn't so any more.
    response = await browser.get("/worker/host-7-old", headers={"HX-Request": "true"})
    assert (response.status, response.headers["HX-Refresh"]) == (404, "true")
    right = await token(browser, "/worker/host-7-new")
    response = await browser.post("/worker/host-7-old/stop", data={"csrf_token": right})
    assert response.status == 404
    assert "no such worker" in await response.text()
    response = await browser.post("/worker/host-7-new/explode", data={"csrf_token": right})
    assert response.status == 400


async def test_what_is_wrong_with_one(memory: Client, serve: Serve) -> None:
    await register(memory, "host-1-slow", lag_ms=2400)
    await register(memory, "host-2-silent", lease=1)
    await register(memory, "host-3-fine")
    browser = await serve(memory)
    text = await read(browser, "/workers")
    rows = re.findall(r'<tr id="worker-\d+">.*?</tr>', text, re.DOTALL)
    assert [("stalls" in row, "silent" in row) for row in rows] == [
        (True, False),
        (False, True),
        (False, False),
    ]
    assert "2.4 s late: a job blocks it" in await read(browser, "/worker/host-1-slow")
    assert "Nothing has been heard of it" in await read(browser, "/worker/host-2-silent")
    fine = await read(browser, "/worker/host-3-fine")
    assert "late: a job" not in fine
    assert "Nothing has been heard" not in fine


async def test_percentiles(memory: Client, serve: Serve) -> None:
    await register(memory, "host-1-a", waits=[[20, 90], [50, 10]], runs=[[40, 1]])
    text = await text_of(await serve(memory), "/worker/host-1-a")
    assert re.search(r"waiting 3 ms 579 ms 579 ms running 102 ms 102 ms 102 ms", text)


async def test_whatever_a_worker_says_is_text(memory: Client, serve: Serve) -> None:
    said = process("evil<script>alert(1)</script>", "restarting", error=PAYLOAD)
    await register(memory, "host-1-a", host=PAYLOAD, queues=[PAYLOAD], processes=[said])
    await register(memory, f"{PAYLOAD}-1-b")
    browser = await serve(memory)
    for path in ("/", "/workers", "/worker/host-1-a", "/processes", "/search?q=host", "/queues"):
        await read(browser, path)


async def test_many_workers(memory: Client, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "PAGE", 10)
    for number in range(25):
        queues = ["mail"] if number < 3 else ["default"]
        await register(memory, f"host-{number + 10}-a", queues=queues, quiet=number == 2)
    browser = await serve(memory)

    async def shown(path: str) -> list[int]:
        return [int(pid) for pid in re.findall(r'href="/worker/host-(\d+)-a"', await read(browser, path))]

    assert await shown("/workers") == list(range(10, 20))
    assert await shown("/workers?from=20") == list(range(30, 35))
    assert await shown("/workers?q=HOST:1") == list(range(10, 20))
    assert await shown("/workers?queue=mail") == [10, 11]
    text = await read(browser, "/workers?q=host&from=10")
    assert 'href="/workers?q=host&amp;from=20" rel="next"' in text
    assert "No worker matches" in await read(browser, "/workers?q=nothing")
    assert "asyncjobs worker app:registry --queues reports" in await read(browser, "/workers?queue=reports")


async def test_no_worker(memory: Client, serve: Serve) -> None:
    assert "No worker is running" in await read(await serve(memory), "/workers")


async def test_readers_see_no_buttons(memory: Client, serve: Serve) -> None:
    worker = await register(memory, "host-1-a")
    text = await read(await serve(memory, read_only=True), f"/worker/{worker}")
    assert not [word for word in ('method="post"', "Stop", "Quiet", "csrf_token") if word in text]
