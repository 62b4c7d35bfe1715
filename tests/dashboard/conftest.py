"""Dashboards to be asked: on a real server and on `MemoryStorage`, alone or mounted into an application."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Protocol

import pytest
from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from asyncjobs import Client, Registry
from asyncjobs.storage.memory import MemoryStorage
from asyncjobs_dashboard import create_app

Browser = TestClient[web.Request, web.Application]


class Serve(Protocol):
    async def __call__(self, client: Client, *, prefix: str = "", **options: Any) -> Browser: ...


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture(params=["redis", "memory"])
async def client(request: pytest.FixtureRequest, registry: Registry, redis_url: str) -> AsyncIterator[Client]:
    storage = MemoryStorage() if request.param == "memory" else redis_url
    async with Client(storage, registry=registry) as client:
        yield client


@pytest.fixture
async def memory(registry: Registry) -> AsyncIterator[Client]:
    async with Client(MemoryStorage(), registry=registry) as client:
        yield client


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a dashboard, and be a browser before it: `browser = await serve(client, read_only=True)`."""
    async with AsyncExitStack() as started:

        async def start(client: Client, *, prefix: str = "", **options: Any) -> Browser:
            app = create_app(client, **options)
            if prefix:
                whole = web.Application()
                whole.add_subapp(prefix, app)
                app = whole
            # By address, for that is what a test server has.
            browser = TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True))
            return await started.enter_async_context(browser)

        yield start


async def token(browser: Browser, path: str) -> str:
    """The token in the first form of a page."""
    text = await (await browser.get(path)).text()
    found = re.search(r'name="csrf_token" value="([0-9a-f]+)"', text)
    assert found, f"{path} has no form"
    return found[1]
