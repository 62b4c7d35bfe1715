"""All of it without a mouse: whatever can be used is reached by Tab, and one sees where one is."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from asyncjobs import State
from tests.browser.conftest import PHONE, OpenTab
from tests.browser.pages import PAGES, Shown
from tests.browser.stage import Stage

USABLE = """() => {
  const kinds = "a[href], button, input, select, textarea, summary, [tabindex='0']";
  window.usable = [...document.querySelectorAll(kinds)].filter((element) =>
    element.checkVisibility({ visibilityProperty: true }) &&
    !element.matches("[type=hidden], :disabled, [type=radio]:not(:checked)") &&
    !element.closest("svg")
  );
  return window.usable.length;
}"""
"""How many things can be used, which are remembered. Of a group of radio buttons, Tab reaches one."""
FOCUSED = """() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  return {
    number: window.usable.indexOf(element),
    what: element.outerHTML.slice(0, 120),
    seen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 1 && box.bottom > 0 && box.top < innerHeight,
  };
}"""


@pytest.mark.parametrize("shown", PAGES, ids=lambda shown: shown.name)
async def test_tab_reaches_everything(gallery: Stage, open_tab: OpenTab, shown: Shown) -> None:
    tab = await open_tab(gallery.url)
    await tab.go(shown.path(gallery), shown.status)
    await tab.is_live()
    count = int(await tab.page.evaluate(USABLE))
    reached: set[int] = set()
    # Fields for dates have several parts, and Tab goes through all of them.
    for _ in range(2 * count + 20):
        await tab.page.keyboard.press("Tab")
        focused = await tab.page.evaluate(FOCUSED)
        if focused is None:
            break
        assert focused["seen"], f"one can't see that this is focused: {focused['what']}"
        reached.add(focused["number"])
    missed = set(range(count)) - reached
    assert not missed, [await tab.page.evaluate("(n) => usable[n].outerHTML", number) for number in missed]


async def test_a_menu(gallery: Stage, open_tab: OpenTab) -> None:
    tab = await open_tab(gallery.url)
    await tab.go(f"/job/{gallery.scene.ids[State.FAILED]}")
    menu = tab.page.locator("details.menu", has_text="Delete…")
    title = menu.locator("summary")
    await title.focus()
    await tab.page.keyboard.press("Enter")
    await expect(menu.locator(".pop")).to_be_visible()
    await tab.page.keyboard.press("Tab")
    await expect(menu.get_by_role("button", name="Delete")).to_be_focused()
    await tab.page.keyboard.press("Escape")
    await expect(menu.locator(".pop")).to_be_hidden()
    await expect(title).to_be_focused()


async def test_slash_goes_to_the_search(gallery: Stage, open_tab: OpenTab) -> None:
    tab = await open_tab(gallery.url)
    await tab.go("/jobs/failed")
    await tab.is_live()
    await tab.page.keyboard.press("/")
    find = tab.page.locator("#find")
    await expect(find).to_be_focused()
    await tab.page.keyboard.type("a/b")
    await expect(find).to_have_value("a/b")
    await find.fill(gallery.scene.ids[State.FAILED])
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.locator("h1")).to_have_text("fails")


@pytest.mark.parametrize("size", [(1280, 800), PHONE], ids=["desk", "phone"])
async def test_the_way_past_the_navigation(gallery: Stage, open_tab: OpenTab, size: tuple[int, int]) -> None:
    tab = await open_tab(gallery.url, size=size)
    await tab.go("/jobs/failed")
    await tab.page.keyboard.press("Tab")
    skip = tab.page.get_by_role("link", name="Skip to the content")
    await expect(skip).to_be_focused()
    await expect(skip).to_be_in_viewport(ratio=1)
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.locator("main")).to_be_focused()
    await tab.page.keyboard.press("Tab")
    await expect(tab.page.get_by_label("Queue")).to_be_focused()
