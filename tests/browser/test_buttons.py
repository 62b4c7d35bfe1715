"""Every button in a real browser: at a desk, and on a phone that runs no JavaScript."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from asyncjobs_dashboard import Dashboard
from asyncjobs_dashboard.routes import ROUTES
from tests.browser.buttons import BUTTONS, Button
from tests.browser.conftest import DESK, PHONE, OpenTab
from tests.browser.pages import PAGES
from tests.browser.stage import Stage
from tests.waiting import eventually


def test_the_table_is_whole() -> None:
    changing = {route.name for route in ROUTES if route.method == "POST" and not route.api}
    assert {button.route for button in BUTTONS} == changing
    assert len({button.name for button in BUTTONS}) == len(BUTTONS)


@pytest.mark.parametrize("javascript", [True, False], ids=["desk", "phone without JavaScript"])
@pytest.mark.parametrize("button", BUTTONS, ids=lambda button: button.name)
async def test_a_button(
    stage: Stage, open_tab: OpenTab, monkeypatch: pytest.MonkeyPatch, button: Button, javascript: bool
) -> None:
    await button.arrange(stage, monkeypatch)
    tab = await open_tab(stage.url, size=DESK if javascript else PHONE, javascript=javascript)
    await tab.go(button.path(stage))
    if javascript:
        await tab.is_live()

    async with tab.page.expect_request(lambda request: request.method == "POST") as sent:
        await button.press(tab)

    (route,) = (route for route in ROUTES if route.name == button.route)
    path = (await sent.value).url.removeprefix(stage.url.rstrip("/"))
    assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route.path), path)
    await expect(tab.page.get_by_text(button.says).first).to_be_visible()
    await eventually(lambda: button.proof(stage), because=f"{button.name} was done")


async def test_a_read_only_dashboard_has_no_buttons(gallery: Stage, open_tab: OpenTab) -> None:
    async with Dashboard(gallery.client, port=0, read_only=True) as dashboard:
        tab = await open_tab(dashboard.url)
        for shown in PAGES:
            if shown.route != "bulk_job":
                await tab.go(shown.path(gallery), shown.status)
                assert await tab.page.locator("form[method=post] button, .danger, .menu").count() == 0
        await expect(tab.page.get_by_text("read-only")).to_be_visible()
