"""A Chromium for each module's tests, a tab for each test, and a dashboard to look at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from typing import Literal, Protocol

import pytest
from playwright.async_api import Browser

from tests.browser import chromium
from tests.browser.stage import Stage, staged
from tests.browser.tab import Tab
from tests.conftest import SharedServers
from tests.servers import Flavour, Server, ServerMissing

Theme = Literal["light", "dark"]
DESK = (1280, 800)
PHONE = (390, 844)


class OpenTab(Protocol):
    async def __call__(
        self,
        base: str,
        *,
        theme: Theme = "light",
        size: tuple[int, int] = DESK,
        javascript: bool = True,
        beside: Tab | None = None,
    ) -> Tab: ...


@pytest.fixture(scope="module")
async def browser(shared_servers: SharedServers) -> AsyncIterator[Browser]:
    """Chromium. A module's, for a session's would keep one event loop for all tests that come after."""
    try:
        path = chromium.find()
    except chromium.ChromiumMissing as missing:
        pytest.skip(str(missing))
    async with chromium.launched(path) as browser:
        kept = chromium.sessions()
        shared_servers.kept_sessions |= kept
        yield browser
    shared_servers.kept_sessions -= kept


@pytest.fixture
async def open_tab(browser: Browser) -> AsyncIterator[OpenTab]:
    """Open tabs: each with cookies of its own, or `beside` another. What they complain of fails the test."""
    async with AsyncExitStack() as opened:
        tabs: list[Tab] = []

        async def open_one(
            base: str,
            *,
            theme: Theme = "light",
            size: tuple[int, int] = DESK,
            javascript: bool = True,
            beside: Tab | None = None,
        ) -> Tab:
            if beside is not None:
                context = beside.page.context
            else:
                context = await browser.new_context(
                    color_scheme=theme,
                    viewport={"width": size[0], "height": size[1]},
                    java_script_enabled=javascript,
                    locale="en-GB",
                    reduced_motion="reduce",
                )
                opened.push_async_callback(context.close)
            context.set_default_timeout(10_000)
            tab = Tab(await context.new_page(), base)
            await tab.start()
            tabs.append(tab)
            return tab

        yield open_one
        for tab in tabs:
            tab.check()


@pytest.fixture(scope="module")
async def gallery(flavour: Flavour) -> AsyncIterator[Stage]:
    """A stage that a module's tests share: to be looked at, not changed."""
    try:
        server = Server(flavour).start()
    except ServerMissing as missing:
        pytest.skip(str(missing))
    # Its own server: the one that tests share is emptied for each of them.
    with closing(server):
        async with staged(server.url) as stage:
            yield stage


@pytest.fixture
async def stage(redis_url: str) -> AsyncIterator[Stage]:
    """A stage that a test has to itself."""
    async with staged(redis_url) as stage:
        yield stage
