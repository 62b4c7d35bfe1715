"""Every page in a real browser: light, dark and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import expect

from asyncjobs import Client, State
from asyncjobs.errors import StorageUnavailable
from asyncjobs.storage.memory import MemoryStorage
from asyncjobs_dashboard import Access, Dashboard
from asyncjobs_dashboard.routes import ROUTES
from tests.browser.conftest import DESK, PHONE, OpenTab, Theme
from tests.browser.pages import NOT_PAGES, PAGES, Shown
from tests.browser.stage import Stage
from tests.browser.tab import Tab

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
LOOKS: dict[str, tuple[Theme, tuple[int, int]]] = {
    "light": ("light", DESK),
    "dark": ("dark", DESK),
    "phone": ("light", PHONE),
}


def test_the_table_is_whole() -> None:
    pages = {route.name for route in ROUTES if route.method == "GET" and not route.api} - NOT_PAGES
    assert {shown.route for shown in PAGES} - {""} == pages
    assert len({shown.name for shown in PAGES}) == len(PAGES)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
async def test_a_page(gallery: Stage, open_tab: OpenTab, shown: Shown, look: str) -> None:
    theme, size = LOOKS[look]
    tab = await open_tab(gallery.url, theme=theme, size=size)
    await tab.go(shown.path(gallery), shown.status)
    await tab.is_live()
    await hold(tab, f"{look}/{shown.name}")


async def hold(tab: Tab, name: str) -> None:
    """Keep how a page looks, and hold it to what is asked of all of them."""
    await tab.keep(SCREENSHOTS / f"{name}.png")
    await tab.check_markup()
    await tab.check_width()
    tab.check()
    await tab.check_access()


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("path", ["/", "/jobs/failed", "/jobs/enqueued", "/bulk"])
async def test_an_empty_page(open_tab: OpenTab, path: str, look: str) -> None:
    theme, size = LOOKS[look]
    async with Client(MemoryStorage()) as client, Dashboard(client, port=0) as dashboard:
        tab = await open_tab(dashboard.url, theme=theme, size=size)
        await tab.go(path)
        await tab.is_live()
        await expect(tab.page.locator(".empty")).to_be_visible()
        await hold(tab, f"{look}/empty-{path.strip('/').replace('/', '-') or 'overview'}")


async def deny(request: web.Request) -> Access:
    return Access.DENY


class Silent(MemoryStorage):
    async def stats(self) -> Any:
        raise StorageUnavailable("no answer from redis://redis.example:6379")


REFUSALS: dict[str, tuple[MemoryStorage, dict[str, Any], int, str]] = {
    "denied": (MemoryStorage(), {"authorize": deny}, 403, "You may not see this dashboard"),
    "host": (MemoryStorage(), {"allowed_hosts": ["jobs.example.com"]}, 403, "This host name isn't allowed"),
    "storage": (Silent(), {}, 503, "The storage can't be used"),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", REFUSALS)
async def test_a_page_that_says_why_there_is_none(open_tab: OpenTab, name: str, look: str) -> None:
    theme, size = LOOKS[look]
    storage, options, status, headline = REFUSALS[name]
    async with Client(storage) as client, Dashboard(client, port=0, **options) as dashboard:
        tab = await open_tab(dashboard.url, theme=theme, size=size)
        await tab.go("/", status)
        await expect(tab.page.locator("h1")).to_have_text(headline)
        await hold(tab, f"{look}/refused-{name}")


@pytest.mark.parametrize("look", LOOKS)
async def test_a_form_that_is_too_old(stage: Stage, open_tab: OpenTab, look: str) -> None:
    theme, size = LOOKS[look]
    tab = await open_tab(stage.url, theme=theme, size=size)
    await tab.go(f"/job/{stage.scene.ids[State.FAILED]}")
    tab.forgive("status of 403")
    await tab.page.context.clear_cookies()
    await (await tab.menu("Delete")).get_by_role("button", name="Delete").click()
    await expect(tab.page.get_by_text("Nothing was changed.")).to_be_visible()
    await hold(tab, f"{look}/refused-form")
