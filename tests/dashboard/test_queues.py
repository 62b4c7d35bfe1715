"""The page of the queues: what it shows, and what its buttons do."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from asyncjobs import Client, Registry, Worker
from asyncjobs_dashboard import bulk as bulk_module
from asyncjobs_dashboard.pages import queues as queues_module
from asyncjobs_dashboard.setup import SETUP
from tests.dashboard.conftest import Browser, Serve, token
from tests.dashboard.machines import register
from tests.dashboard.test_pages import read
from tests.waiting import eventually

ODD = "a/b'\"<script>alert(1)</script>#%&"


@pytest.fixture
def work(registry: Registry) -> Any:
    @registry.job(name="work", queue="mail")
    async def work(number: int) -> None: ...

    return work


async def fill(client: Client, work: Any, queue: str, count: int) -> None:
    await client.enqueue_many(work.options(queue=queue).call(number) for number in range(count))


async def row(browser: Browser, name: str, path: str = "/queues") -> str:
    """The row of a queue, as text; "" if there is none."""
    text = await read(browser, path)
    for each in re.findall(r'<tr id="queue-\d+">.*?</tr>', text, re.DOTALL):
        if f">{name}</a>" in each:
            return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", each)).strip()
    return ""


async def press(browser: Browser, action: str, queue: str, status: int = 303, **form: str) -> str:
    form |= {"csrf_token": await token(browser, "/queues"), "queue": queue}
    response = await browser.post(f"/queues/{action}", data=form, allow_redirects=False)
    assert response.status == status, await response.text()
    return response.headers.get("Location", "")


async def test_what_waits_and_who_serves_it(
    client: Client, registry: Registry, work: Any, serve: Serve
) -> None:
    await fill(client, work, "unserved", 3)
    await client.pause("mail")
    await fill(client, work, "mail", 2)
    async with Worker(registry, client, queues=["mail"]) as worker:
        browser = await serve(client)
        served = await eventually(lambda: _with(browser, "mail", f":{worker.id.split('-')[-2]}"))
        assert served.startswith("mail paused 2 ")
        assert "Resume queue mail" in served
        assert (await row(browser, "unserved")).startswith("unserved 3 ")
        assert "no worker" in await row(browser, "unserved")
        text = await read(browser, "/queues")
        assert f'href="/worker/{worker.id}"' in text
        assert 'href="/jobs/enqueued?queue=unserved"' in text
        assert 'class="tag bad">no worker' in text


async def _with(browser: Browser, name: str, said: str) -> str:
    shown = await row(browser, name)
    return shown if said in shown else ""


async def test_a_queue_that_only_a_quiet_worker_serves(memory: Client, work: Any, serve: Serve) -> None:
    await register(memory, "host-1-a", queues=["mail"], quiet=True)
    await fill(memory, work, "mail", 1)
    assert "no worker" in await row(await serve(memory), "mail")


async def test_pausing_and_resuming_shows_at_once(client: Client, work: Any, serve: Serve) -> None:
    await fill(client, work, "mail", 1)
    # Were it not read anew, the page would show for a minute what was so before.
    browser = await serve(client, poll=60)
    assert "paused" not in await row(browser, "mail")
    location = await press(browser, "pause", "mail")
    assert "is paused: no job of it starts any more" in await read(browser, location)
    assert "mail paused" in await row(browser, "mail", location)
    assert [queue.paused for queue in await client.queues()] == [True]
    location = await press(browser, "resume", "mail", q="ma", order="jobs")
    assert location == "/queues?q=ma&order=jobs&done=resume&queue=mail"
    assert "paused" not in await row(browser, "mail", location)
    assert [queue.paused for queue in await client.queues()] == [False]


async def test_purging(client: Client, work: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_module, "SWEEP", 7)
    await fill(client, work, "mail", 30)
    await fill(client, work, "other", 2)
    browser = await serve(client)
    assert "30 jobs in mail are deleted" in await row(browser, "mail")
    location = await press(browser, "purge", "mail")
    job = browser.server.app[SETUP].bulk.get(location.rsplit("/", 1)[1])
    await eventually(lambda: job.is_over)
    text = re.sub(r"\s+", " ", await read(browser, location))
    assert '<h1 class="break">Purge queue mail</h1>' in text
    assert "<h2>Done</h2>" in text
    assert "<span>deleted</span><b>30</b>" in text
    assert "Back to the queues" in text
    assert "Purge queue mail" in await read(browser, "/bulk")
    assert {queue.name: queue.length for queue in await client.queues()} == {"mail": 0, "other": 2}


async def test_a_purge_can_be_stopped(
    memory: Client, work: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_module, "SWEEP", 5)
    await fill(memory, work, "mail", 20)
    purge = memory.storage.purge
    steps = 0

    async def once(shard: int, queue: str, limit: int) -> tuple[int, bool]:
        nonlocal steps
        steps += 1
        if steps > 1:
            await asyncio.Event().wait()
        return await purge(shard, queue, limit)

    memory.storage.purge = once  # type: ignore[method-assign]
    browser = await serve(memory)
    location = await press(browser, "purge", "mail")
    await eventually(lambda: steps == 2)
    text = await read(browser, location)
    assert 'value="0.25"' in text
    stopped = await browser.post(f"{location}/stop", data={"csrf_token": await token(browser, location)})
    assert "Stopped" in await stopped.text()
    assert await memory.count("enqueued") == 15


async def test_a_purge_ends_though_others_add_as_fast(memory: Client, work: Any, serve: Serve) -> None:
    await fill(memory, work, "mail", 3)
    purge = memory.storage.purge

    async def refilled(shard: int, queue: str, limit: int) -> tuple[int, bool]:
        told = await purge(shard, queue, 1)
        await memory.enqueue(work, 1)
        return told[0], True

    memory.storage.purge = refilled  # type: ignore[method-assign]
    browser = await serve(memory)
    location = await press(browser, "purge", "mail")
    job = browser.server.app[SETUP].bulk.get(location.rsplit("/", 1)[1])
    await eventually(lambda: job.is_over)
    assert job.done == 3


@pytest.mark.parametrize("name", [ODD, "..", ".", "a/../b", "ünï"])
async def test_names_that_are_hard_on_urls(client: Client, work: Any, serve: Serve, name: str) -> None:
    await fill(client, work, name, 1)
    browser = await serve(client)
    location = await press(browser, "pause", name)
    await read(browser, location)
    assert [queue.paused for queue in await client.queues()] == [True]
    link = re.search(r'href="(/jobs/enqueued\?queue=[^"]+)"', await read(browser, "/queues"))
    assert link
    assert "work" in await read(browser, link[1])


@pytest.mark.parametrize(
    ("action", "queue", "said"),
    [
        ("explode", "mail", "not &#39;explode&#39;"),
        ("pause", "", "queue name"),
        ("purge", "a:b", "queue name"),
    ],
)
async def test_what_cannot_be_done(
    memory: Client, work: Any, serve: Serve, action: str, queue: str, said: str
) -> None:
    await fill(memory, work, "mail", 1)
    browser = await serve(memory)
    form = {"csrf_token": await token(browser, "/queues"), "queue": queue}
    response = await browser.post(f"/queues/{action}", data=form)
    assert response.status == 400
    assert said in await response.text()
    assert await memory.count("enqueued") == 1


async def test_a_note_is_only_about_queues_that_are_there(memory: Client, work: Any, serve: Serve) -> None:
    await fill(memory, work, "mail", 1)
    text = await read(await serve(memory), "/queues?done=pause&queue=everything+is+lost")
    assert "everything is lost" not in text


async def test_many_queues(memory: Client, work: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues_module, "PAGE", 10)
    for number in range(25):
        await fill(memory, work, f"queue-{number:02}", number + 1)
    browser = await serve(memory)

    async def shown(path: str) -> list[str]:
        return re.findall(r'queue=queue-(\d\d)"', await read(browser, path))

    assert await shown("/queues") == [f"{number:02}" for number in range(10)]
    assert await shown("/queues?from=20") == ["20", "21", "22", "23", "24"]
    assert (await shown("/queues?order=jobs"))[:3] == ["24", "23", "22"]
    assert (await shown("/queues?order=oldest"))[0] == "00"
    assert await shown("/queues?q=EUE-1&order=nonsense") == [str(number) for number in range(10, 20)]
    text = await read(browser, "/queues?q=queue&order=jobs&from=10")
    assert 'href="/queues?q=queue&amp;order=jobs&amp;from=20" rel="next"' in text
    assert 'href="/queues?q=queue&amp;order=jobs&amp;from=0" rel="prev"' in text
    assert "11 to 20 of 25" in text
    assert "No queue matches" in await read(browser, "/queues?q=nothing")


async def test_no_queue_yet(memory: Client, serve: Serve) -> None:
    assert "There is no queue yet" in await read(await serve(memory), "/queues")


async def test_readers_see_no_buttons(memory: Client, work: Any, serve: Serve) -> None:
    await fill(memory, work, "mail", 1)
    text = await read(await serve(memory, read_only=True), "/queues")
    assert "mail" in text
    assert not [word for word in ("<button>", 'method="post"', "Purge", "csrf_token") if word in text]


@pytest.mark.parametrize("path", ["/queues?order=jobs", "/workers", "/processes"])
async def test_pages_are_made_of_the_numbers_that_all_share(
    memory: Client, work: Any, serve: Serve, path: str
) -> None:
    await fill(memory, work, "mail", 1)
    browser = await serve(memory, poll=60)
    await read(browser, "/")

    async def asked(*_: object, **__: object) -> None:
        raise AssertionError("the storage was asked")

    for verb in ("stats", "queues", "workers", "jobs", "held", "throughput", "server", "locks", "get_lock"):
        setattr(memory.storage, verb, asked)
    await read(browser, path)


async def test_other_pages_lead_here(memory: Client, work: Any, serve: Serve) -> None:
    await fill(memory, work, "mail", 1)
    browser = await serve(memory)
    assert 'href="/queues?q=mail"' in await read(browser, "/")
    assert 'href="/queues?q=mail"' in await read(browser, "/search?q=MAI")
