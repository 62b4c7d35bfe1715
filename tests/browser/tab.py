"""A tab of the browser, and what has gone wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.async_api import ConsoleMessage, Dialog, Locator, Page

AXE = AXE_FILE_PATH.read_text(encoding="utf-8")
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile} ${event.sample}`);
});
"""
FOREIGN = """() => [...document.querySelectorAll("*")].filter((element) =>
  element.matches("script:not([src]), style:not(head > style), img, iframe, object, embed") ||
  element.getAttributeNames().some((name) => name.startsWith("on"))
).map((element) => element.outerHTML.slice(0, 200))"""
"""Elements that no template has: they would be a job's own."""
GRAVE = ("serious", "critical")


class Tab:
    """A page of the browser. Whatever it complains of is kept; `check` fails with it."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        self._forgiven: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"error in a script: {error}"))
        page.on("dialog", self._asked)

    async def start(self) -> None:
        """Listen to what pages report."""
        await self.page.add_init_script(REPORT_VIOLATIONS)

    def forgive(self, words: str) -> None:
        """Complaints with these words in them are meant to be."""
        self._forgiven.append(words)

    async def go(self, path: str, status: int = 200) -> None:
        """Load a page of the dashboard."""
        if status >= 400:
            self.forgive(f"the server responded with a status of {status}")
        response = await self.page.goto(self.base.rstrip("/") + path)
        assert response is not None
        assert response.status == status, await response.text()

    async def is_live(self) -> None:
        """Wait until the stream has brought numbers."""
        await self.page.locator("#pulse[data-state=on]").wait_for(state="attached")

    async def menu(self, title: str) -> Locator:
        """Open the menu of that title; what opens has to be on the screen."""
        menu = self.page.locator("details.menu", has=self.page.get_by_text(f"{title}…", exact=True))
        await menu.locator("summary").click()
        box = await menu.locator(".pop").bounding_box()
        size = self.page.viewport_size
        assert box is not None
        assert size is not None
        assert 0 <= box["x"] <= box["x"] + box["width"] <= size["width"], (
            f"{title} opens beside the screen: {box}"
        )
        return menu

    def check(self) -> None:
        """Fail if anything has gone wrong so far."""
        told = [each for each in self.complaints if not any(words in each for words in self._forgiven)]
        assert not told, f"{self.page.url}\n" + "\n".join(told)

    async def check_markup(self) -> None:
        """Fail if a job's own markup has become a part of the page."""
        found = await self.page.evaluate(FOREIGN)
        assert not found, f"{self.page.url} has {found}"

    async def check_width(self) -> None:
        """Fail if the page can be scrolled sideways."""
        wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert await self.page.evaluate(wide) <= 0, f"{self.page.url} is wider than the screen"

    async def check_access(self) -> None:
        """Fail if axe finds something that keeps people from using the page."""
        await self.page.evaluate(AXE)
        found: dict[str, Any] = await self.page.evaluate("() => axe.run({resultTypes: ['violations']})")
        grave: list[str] = []
        for violation in found["violations"]:
            if violation["impact"] in GRAVE:
                grave.append(f"{violation['id']}: {violation['help']}")
                for node in violation["nodes"][:5]:
                    grave.append(f"  {node['html'][:160]}")
                    grave += [f"    {check['message']}" for check in node["any"]]
        assert not grave, f"{self.page.url}\n" + "\n".join(grave)

    async def keep(self, path: Path) -> None:
        """Save how all of the page looks, as on a screen that is high enough for it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        size = self.page.viewport_size
        assert size is not None
        height: int = await self.page.evaluate("() => document.documentElement.scrollHeight")
        await self.page.set_viewport_size({"width": size["width"], "height": max(height, size["height"])})
        await self.page.screenshot(path=path, animations="disabled")
        await self.page.set_viewport_size(size)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    async def _asked(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()
