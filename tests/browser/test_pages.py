"""Every page in a real browser: light, dark and on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncjobs_dashboard.routes import ROUTES
from tests.browser.conftest import DESK, PHONE, OpenTab, Theme
from tests.browser.pages import NOT_PAGES, PAGES, Shown
from tests.browser.stage import Stage

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
    await tab.keep(SCREENSHOTS / look / f"{shown.name}.png")
    await tab.check_markup()
    await tab.check_width()
    tab.check()
    await tab.check_access()
