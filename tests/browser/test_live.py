"""What an open page does by itself: it shows what is so now, and leaves alone whoever works with it."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from asyncjobs import Client, JobContext, Registry, Worker
from asyncjobs_dashboard import Dashboard
from asyncjobs_dashboard.setup import SETUP
from tests.browser.conftest import OpenTab
from tests.conftest import ServerFactory
from tests.waiting import eventually

OLDEST = 2.0
"""Seconds that a number which is shown may be old."""
GREEN = """(box) => {
  const canvas = box.querySelector("canvas");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] > 200 && data[at + 1] > data[at] + 40 && data[at + 1] > data[at + 2] + 30) found += 1;
  return found;
}"""
"""How many pixels of the graph have the colour of jobs that succeeded."""


@dataclass
class Works:
    """A dashboard, and jobs that do what the test says."""

    client: Client
    dashboard: Dashboard
    quick: Any
    later: Any
    steps: asyncio.Queue[float] = field(default_factory=asyncio.Queue[float])
    """How far the long job is: it goes on with each, and ends at 1."""
    long: Any = None

    @property
    def watchers(self) -> int:
        """Pages that are live."""
        return self.dashboard.app[SETUP].live.watchers


def declare(registry: Registry, works: Works) -> None:
    @registry.job(name="quick")
    async def quick() -> None: ...

    @registry.job(name="later", queue="nobody's")
    async def later(number: int) -> None: ...

    @registry.job(name="long", context=True)
    async def long(context: JobContext) -> None:
        while (step := await works.steps.get()) < 1:
            context.log(f"reached {step:.0%}")
            context.progress(step, f"part {step:.2f}")

    works.quick, works.later, works.long = quick, later, long


@pytest.fixture
async def works(redis_url: str) -> AsyncIterator[Works]:
    registry = Registry()
    async with (
        Client(redis_url, registry=registry) as client,
        Worker(registry, client, grace=0.1),
        Dashboard(client, port=0) as dashboard,
    ):
        works = Works(client, dashboard, None, None)
        declare(registry, works)
        yield works


async def text(place: Locator) -> str:
    return (await place.text_content() or "").strip()


async def until(place: Locator, wanted: str) -> None:
    await eventually(lambda: _has(place, wanted), 15, because=f"{place} says {wanted}")


async def _has(place: Locator, wanted: str) -> bool:
    return wanted in await text(place)


async def test_numbers_are_never_old(works: Works, open_tab: OpenTab) -> None:
    tab = await open_tab(works.dashboard.url)
    await tab.go("/")
    await tab.is_live()
    beside_its_name = tab.page.locator('nav [data-number="counts.enqueued"]')
    tile = tab.page.locator(".tiles a", has_text="enqueued").locator("b")
    ages: list[float] = []
    for number in range(1, 6):
        await works.client.enqueue(works.later, number)
        began = time.monotonic()
        await asyncio.gather(until(beside_its_name, str(number)), until(tile, str(number)))
        ages.append(time.monotonic() - began)
    # The machine may be busy with other things for once.
    assert statistics.median(ages) <= OLDEST, ages


async def test_the_graph_goes_on(works: Works, open_tab: OpenTab) -> None:
    tab = await open_tab(works.dashboard.url)
    # Chromium has advice for those who read canvases, as this test does.
    tab.forgive("getImageData")
    await tab.go("/")
    await tab.is_live()
    graph = tab.page.locator("#live-graph")
    rate = tab.page.locator('[data-number="succeeded"]')
    before = int(await graph.evaluate(GREEN))

    async def busy() -> bool:
        await works.client.enqueue_many([works.quick.call() for _ in range(50)])
        return await text(rate) not in ("0", "–") and int(await graph.evaluate(GREEN)) > before + 20

    await eventually(busy, because="the graph has a line where jobs succeeded")
    await eventually(lambda: _has(tab.page.locator(".facts"), "succeeded in all"))


async def test_a_job_is_watched_from_its_start_to_its_end(works: Works, open_tab: OpenTab) -> None:
    job = await works.client.enqueue(works.long)
    tab = await open_tab(works.dashboard.url)
    await tab.go(f"/job/{job.id}")
    state = tab.page.locator(".strip .state")
    await until(state, "processing")
    for step in (0.25, 0.5):
        works.steps.put_nowait(step)
        await until(tab.page.locator(".progress-line"), f"{step:.0%}")
        await until(tab.page.locator(".progress-line"), f"part {step:.2f}")
        await until(tab.page.locator(".log"), f"reached {step:.0%}")
    assert "reached 25%" in await text(tab.page.locator(".log"))
    works.steps.put_nowait(1)
    await until(state, "succeeded")
    await until(tab.page.locator(".timeline"), "Succeeded")


async def test_a_list_waits_while_jobs_are_chosen(works: Works, open_tab: OpenTab) -> None:
    for number in range(2):
        await works.client.enqueue(works.later, number)
    tab = await open_tab(works.dashboard.url)
    await tab.go("/jobs/enqueued")
    await tab.is_live()
    rows = tab.page.locator("tbody tr")
    chosen = rows.first.get_by_role("checkbox")
    await chosen.check()
    await expect(tab.page.locator("[data-chosen-count]")).to_have_text("(1)")

    await works.client.enqueue(works.later, 3)
    # The count is new; by the time of the second one, the list would have been asked for again.
    await until(tab.page.locator("h1 .count"), "3")
    await works.client.enqueue(works.later, 4)
    await until(tab.page.locator("h1 .count"), "4")
    await expect(chosen).to_be_checked()
    assert await rows.count() == 2

    await chosen.uncheck()
    await tab.page.locator("h1").click()
    await expect(rows).to_have_count(4)


async def test_a_menu_stays_open(works: Works, open_tab: OpenTab) -> None:
    await works.client.enqueue(works.later, 1)
    tab = await open_tab(works.dashboard.url)
    await tab.go("/jobs/enqueued")
    await tab.is_live()
    menu = await tab.menu("Cancel")
    for count in (2, 3):
        await works.client.enqueue(works.later, count)
        await until(tab.page.locator("h1 .count"), str(count))
    await expect(menu.locator(".pop")).to_be_visible()
    await tab.menu("Delete")
    await expect(menu.locator(".pop")).to_be_hidden()
    await tab.page.keyboard.press("Escape")
    await expect(tab.page.locator("tbody tr")).to_have_count(3)


@pytest.mark.parametrize("path", ["/", "/jobs/enqueued", "job"])
async def test_what_is_refreshed_stays_in_place(works: Works, open_tab: OpenTab, path: str) -> None:
    """Or the focus would be lost every second."""
    job = await works.client.enqueue(works.later, 0)
    tab = await open_tab(works.dashboard.url)
    await tab.go(f"/job/{job.id}" if path == "job" else path)
    await tab.is_live()
    kept = "() => { window.kept = [...document.querySelectorAll('[data-refresh] *')]; return kept.length; }"
    assert await tab.page.evaluate(kept)
    for _ in range(2):
        async with tab.page.expect_response(lambda response: "live" not in response.url):
            pass
    await tab.page.wait_for_load_state()
    gone = "() => kept.filter((each) => !each.isConnected).map((each) => each.outerHTML)"
    assert await tab.page.evaluate(gone) == []


async def test_what_is_opened_and_selected_stays(works: Works, open_tab: OpenTab) -> None:
    tab = await open_tab(works.dashboard.url)
    await tab.go("/")
    await tab.is_live()
    table = tab.page.locator("details.as-table")
    await table.locator("summary").click()
    tile = tab.page.locator(".tiles a", has_text="enqueued").locator("b")
    await works.client.enqueue(works.later, 1)
    await until(tile, "1")
    await expect(table.locator("table")).to_be_visible()

    await tab.page.locator("#queues-title").select_text()
    for count in (2, 3):
        await works.client.enqueue(works.later, count)
        await until(tab.page.locator('nav [data-number="counts.enqueued"]'), str(count))
    assert await tab.page.evaluate("() => String(getSelection()).trim()") == "Queues"
    await tab.page.evaluate("() => getSelection().empty()")
    await until(tile, "3")


async def test_a_dashboard_that_comes_back(works: Works, open_tab: OpenTab) -> None:
    tab = await open_tab(works.dashboard.url)
    await tab.go("/jobs/enqueued")
    await tab.is_live()
    pulse = tab.page.locator("#pulse")
    for words in ("ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE"):
        tab.forgive(words)
    port = int(works.dashboard.url.rstrip("/").rsplit(":", 1)[1])
    await works.dashboard.__aexit__(None, None, None)
    await until(pulse, "connecting")
    await works.client.enqueue(works.later, 1)
    async with Dashboard(works.client, port=port):
        await until(pulse, "live")
        await until(tab.page.locator("h1 .count"), "1")


async def test_a_storage_that_comes_back(own_server: ServerFactory, open_tab: OpenTab) -> None:
    server = own_server()
    async with Client(server.url) as client, Dashboard(client, port=0) as dashboard:
        tab = await open_tab(dashboard.url)
        tab.forgive("status of 503")
        await tab.go("/")
        await tab.is_live()
        trouble = tab.page.locator("#trouble")
        await expect(trouble).to_be_hidden()
        server.kill()
        await expect(trouble).to_be_visible(timeout=20_000)
        await expect(trouble).to_contain_text("What is shown is old")
        await until(tab.page.locator("#pulse"), "no answer")
        server.start()
        await expect(trouble).to_be_hidden(timeout=20_000)
        await tab.is_live()


HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
"""What a browser does to a tab behind another; one without a screen shows all that it has."""


async def test_only_what_is_seen_is_live(works: Works, open_tab: OpenTab) -> None:
    tab = await open_tab(works.dashboard.url)
    await tab.go("/")
    await eventually(lambda: works.watchers == 1)
    await tab.page.evaluate(HIDE, True)
    await eventually(lambda: works.watchers == 0)
    await tab.page.evaluate(HIDE, False)
    await eventually(lambda: works.watchers == 1)
    await tab.is_live()


async def test_going_elsewhere_and_back(works: Works, open_tab: OpenTab) -> None:
    tab = await open_tab(works.dashboard.url)
    await tab.go("/")
    await tab.is_live()
    await tab.page.get_by_role("link", name="Bulk jobs").click()
    await expect(tab.page.locator("h1")).to_have_text("Bulk jobs")
    await tab.is_live()
    await eventually(lambda: works.watchers == 1)
    await tab.page.go_back()
    await expect(tab.page.locator("h1")).to_have_text("Overview")
    await tab.is_live()
    await works.client.enqueue(works.later, 1)
    await until(tab.page.locator('nav [data-number="counts.enqueued"]'), "1")
    await eventually(lambda: works.watchers == 1)


async def test_many_tabs_of_one_browser(works: Works, open_tab: OpenTab) -> None:
    """A browser opens six connections to a server: those that are seen need no more."""
    first = await open_tab(works.dashboard.url)
    await first.go("/")
    await first.is_live()
    for _ in range(7):
        hidden = await open_tab(works.dashboard.url, beside=first)
        await hidden.go("/bulk")
        await hidden.page.evaluate(HIDE, True)
    last = await open_tab(works.dashboard.url, beside=first)
    await last.go("/")
    await last.is_live()
    await eventually(lambda: works.watchers == 2)


async def test_light_and_dark_by_hand(works: Works, open_tab: OpenTab) -> None:
    tab = await open_tab(works.dashboard.url, theme="light")
    await tab.go("/")
    await tab.is_live()
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = await tab.page.evaluate(ground)
    await tab.page.get_by_role("button", name="Change between light and dark").click()
    dark = await tab.page.evaluate(ground)
    assert dark != light
    await tab.page.reload()
    await tab.is_live()
    assert await tab.page.evaluate(ground) == dark
    await tab.page.get_by_role("button", name="Change between light and dark").click()
    assert await tab.page.evaluate(ground) == light
