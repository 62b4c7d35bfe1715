"""A browser that runs no scripts: pages show everything, and forms work (the buttons: test_buttons.py)."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from asyncjobs import State
from tests.browser.conftest import OpenTab
from tests.browser.pages import PAGES, Shown
from tests.browser.stage import Stage


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
async def test_a_page(gallery: Stage, open_tab: OpenTab, shown: Shown) -> None:
    tab = await open_tab(gallery.url, javascript=False)
    await tab.go(shown.path(gallery), shown.status)
    await expect(tab.page.locator("h1")).to_be_visible()
    await expect(tab.page.locator("#pulse")).to_have_text("not live")
    await expect(tab.page.locator("#theme")).to_be_hidden()


async def test_the_graph_is_a_table(gallery: Stage, open_tab: OpenTab) -> None:
    tab = await open_tab(gallery.url, javascript=False)
    await tab.go("/")
    await expect(tab.page.locator("#live-graph")).to_be_hidden()
    await expect(tab.page.get_by_role("columnheader", name="succeeded/s")).to_be_visible()
    await tab.page.get_by_role("link", name="30 days").click()
    await expect(tab.page.get_by_role("heading", name="Last 30 days")).to_be_visible()


async def test_searching(gallery: Stage, open_tab: OpenTab) -> None:
    tab = await open_tab(gallery.url, javascript=False)
    await tab.go("/")
    await tab.page.locator("#find").fill(gallery.scene.ids[State.RETRYING])
    await tab.page.locator("#find").press("Enter")
    await expect(tab.page.locator("h1")).to_have_text("retries")


async def test_filtering_and_paging(gallery: Stage, open_tab: OpenTab) -> None:
    tab = await open_tab(gallery.url, javascript=False)
    await tab.go("/jobs/enqueued?size=1")
    rows = tab.page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    first = await rows.inner_text()
    await tab.page.get_by_role("link", name="Next").click()
    await expect(rows).not_to_have_text(first)
    await tab.page.get_by_label("Arguments").fill("in a batch")
    await tab.page.get_by_role("button", name="Filter").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("in a batch")
    await tab.page.get_by_role("link", name="Clear").click()
    await expect(rows).to_have_count(2)
