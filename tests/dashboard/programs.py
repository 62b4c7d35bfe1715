"""A program that asks the API, and holds every answer against `openapi.json`."""

from __future__ import annotations

import copy
from typing import Any

import aiohttp
import yarl
from jsonschema import Draft202012Validator, FormatChecker

from asyncjobs_dashboard.api.contract import description, without_patterns
from asyncjobs_dashboard.routes import ROUTES
from tests.dashboard.conftest import Browser

HEADER = {"X-Asyncjobs": "1"}
TEMPLATES = {route.name: without_patterns(route.path) for route in ROUTES}


class Program:
    """`await program.get("api_job", id=…)` gives the JSON of an answer, which has to be as described."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    async def get(self, name: str, status: int = 200, query: Any = None, **parts: str) -> Any:
        return await self._ask("GET", name, status, parts, params=query or {})

    async def post(
        self, name: str, body: Any = None, status: int = 200, query: Any = None, **parts: str
    ) -> Any:
        given = {} if body is None else {"json": body}
        return await self._ask("POST", name, status, parts, params=query or {}, **given)

    async def _ask(self, method: str, name: str, status: int, parts: dict[str, str], **given: Any) -> Any:
        # As the text says, not as aiohttp would make it: every part quoted, a slash too.
        path = TEMPLATES[name].format(**{part: quoted(value) for part, value in parts.items()})
        url = yarl.URL(path, encoded=True)
        async with self.browser.request(method, url, headers=HEADER, **given) as response:
            assert response.status == status, await response.text()
            await check(name, response)
            return await response.json()


def quoted(text: str) -> str:
    """A text as a part of a path."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


async def check(name: str, response: aiohttp.ClientResponse) -> None:
    """Whether an answer is among those that the description knows, and as it says."""
    operation = description()["paths"][TEMPLATES[name]][response.method.lower()]
    known = operation["responses"][str(response.status)]
    if "$ref" in known:
        known = description()["components"]["responses"][known["$ref"].rsplit("/", 1)[1]]
    (media,) = known["content"]
    assert response.content_type == media
    assert all(header in response.headers for header in known.get("headers", ()))
    if media == "application/json":
        schema = known["content"][media]["schema"] | {"components": closed(description()["components"])}
        Draft202012Validator(schema, format_checker=FormatChecker()).validate(await response.json())


def closed(schema: Any) -> Any:
    """The schemas as they are today: later there may be more fields, but none that isn't described."""
    made = copy.deepcopy(schema)

    def close(part: Any) -> None:
        if isinstance(part, list):
            for each in part:
                close(each)
        elif isinstance(part, dict):
            for each in part.values():
                close(each)
            if part.get("type") == "object" and "properties" in part:
                part.setdefault("additionalProperties", False)

    close(made)
    return made
