"""Every page, with jobs in every state: it renders, and what jobs bring along is text and nothing else."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from asyncjobs import Client, Registry, State, Worker
from asyncjobs_dashboard.navigation import STATES
from tests.dashboard.conftest import Browser, Serve
from tests.dashboard.scene import PAYLOAD, set_up

DANGEROUS = ("<script>alert", "<img src=x")


class Page(HTMLParser):
    """What a page has of scripts, styles and handlers."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self._in_script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        names = {name for name, _ in attrs}
        if tag == "style" or "style" in names or any(name.startswith("on") for name in names):
            self.inline.append(f"{tag} {attrs}")
        if tag == "script" and "src" not in names:
            self.inline.append(f"{tag} {attrs}")

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False


async def read(browser: Browser, path: str, status: int = 200) -> str:
    """A page, which must have nothing inline and none of the jobs' own markup."""
    response = await browser.get(path)
    text = await response.text()
    assert response.status == status, text
    assert not [found for found in DANGEROUS if found in text]
    assert Page(text).inline == []
    return text


async def test_every_page_with_jobs_in_every_state(client: Client, registry: Registry, serve: Serve) -> None:
    async with Worker(registry, client, queues=["evil", "default"], grace=0.1):
        scene = await set_up(client, registry)
        assert set(scene.ids) == set(STATES)
        browser = await serve(client)

        overview = await read(browser, "/")
        assert "No worker serves queue unserved" in overview
        assert "1 job failed in this hour" in overview
        await read(browser, "/overview/parts?history=day")
        for state, job_id in scene.ids.items():
            listed = await read(browser, f"/jobs/{state}")
            assert f"/job/{job_id}" in listed, state
            shown = await read(browser, f"/job/{job_id}")
            assert "&lt;script&gt;alert" in shown, state
            found = await read(browser, f"/jobs/{state}?text=onerror")
            assert f"/job/{job_id}" in found, state
            await read(browser, f"/job/{job_id}?done=requeue")
        failed = await read(browser, f"/job/{scene.ids[State.FAILED]}")
        assert 'class="gr"' in failed
        assert "ValueError" in await read(browser, "/jobs/failed")
        running = await read(browser, f"/job/{scene.ids[State.PROCESSING]}")
        assert "25%" in running
        assert f"/job/{scene.ids[State.AWAITING]}" in running
        await read(browser, f"/search?q={scene.batch}")
        (info,) = await client.workers()
        assert info.id in await read(browser, f"/search?q={info.id}")
        await read(browser, "/bulk")


@pytest.mark.parametrize("path", ["/search", "/jobs/failed", "/jobs/succeeded", "/job/x"])
async def test_what_is_asked_for_is_escaped_as_well(memory: Client, serve: Serve, path: str) -> None:
    browser = await serve(memory)
    for name in ("q", "queue", "name", "id", "text", "from", "size", "order", "done"):
        response = await browser.get(path, params={name: PAYLOAD})
        text = await response.text()
        assert response.status in (200, 404)
        assert not [found for found in DANGEROUS if found in text]


@pytest.mark.parametrize("state", STATES)
async def test_an_empty_list_says_something(memory: Client, serve: Serve, state: State) -> None:
    text = await read(await serve(memory), f"/jobs/{state}")
    assert 'class="empty"' in text


async def test_an_empty_namespace_says_what_to_do(memory: Client, serve: Serve) -> None:
    text = await read(await serve(memory), "/")
    assert "asyncjobs enqueue app:registry" in text
    assert "asyncjobs worker app:registry" in text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nowhere", 404),
        ("/jobs/nonsense", 404),
        ("/jobs/staging", 404),
        ("/job/nothing", 404),
        ("/bulk/nothing", 404),
        ("/jobs/failed?since=yesterday", 400),
        ("/static/../app.py", 404),
    ],
)
async def test_what_is_not_there(memory: Client, serve: Serve, path: str, status: int) -> None:
    await read(await serve(memory), path, status)


async def test_an_id_is_found_by_search(memory: Client, registry: Registry, serve: Serve) -> None:
    @registry.job
    async def work() -> None: ...

    job = await memory.enqueue(work)
    browser = await serve(memory)
    response = await browser.get("/search", params={"q": f" {job.id} "}, allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, f"/job/{job.id}")


async def test_it_can_be_mounted_anywhere(memory: Client, registry: Registry, serve: Serve) -> None:
    @registry.job
    async def work() -> None: ...

    job = await memory.enqueue(work)
    browser = await serve(memory, prefix="/admin/jobs/")
    for path in ("/", "/jobs/enqueued", f"/job/{job.id}", "/bulk", "/nowhere", "/search?q=x"):
        response = await browser.get(f"/admin/jobs{path}")
        text = await response.text()
        links = re.findall(r'(?:href|src|action|hx-get|data-live)="([^"#?]+)', text)
        assert links
        assert all(link.startswith("/admin/jobs/") for link in links), path
        for link in set(links):
            if "/static/" in link:
                assert (await browser.get(link)).status == 200
    first = await browser.get(f"/admin/jobs/job/{job.id}")
    assert first.status == 200
    kept = list(browser.session.cookie_jar)
    assert [cookie["path"] for cookie in kept] == ["/admin/jobs/"]
