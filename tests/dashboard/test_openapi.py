"""`openapi.json` tells what there is: every route of the API, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import validate

from asyncjobs import Client
from asyncjobs_dashboard.api.contract import description, without_patterns
from asyncjobs_dashboard.auth import Access
from asyncjobs_dashboard.csrf import API_HEADER
from asyncjobs_dashboard.listing import MOST, PAGE, Filter
from asyncjobs_dashboard.navigation import STATES
from asyncjobs_dashboard.routes import ROUTES
from tests.dashboard.conftest import Serve
from tests.house.sources import ROOT

API = [route for route in ROUTES if route.api]
PATHS: dict[str, dict[str, Any]] = description()["paths"]
COMPONENTS: dict[str, dict[str, Any]] = description()["components"]


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        kind, name = part["$ref"].rsplit("/", 2)[1:]
        part = COMPONENTS[kind][name]
    return part


def operation(name: str) -> dict[str, Any]:
    (route,) = (route for route in API if route.name == name)
    found: dict[str, Any] = PATHS[without_patterns(route.path)][route.method.lower()]
    return found


def test_it_is_valid() -> None:
    validate(description())


def test_it_has_every_route_and_nothing_else() -> None:
    told = {
        (method.upper(), path, each["operationId"])
        for path, item in PATHS.items()
        for method, each in item.items()
    }
    assert told == {(route.method, without_patterns(route.path), route.name) for route in API}


@pytest.mark.parametrize("name", [route.name for route in API])
def test_an_operation_tells_its_parts_its_header_and_its_refusals(name: str) -> None:
    (route,) = (route for route in API if route.name == name)
    told = operation(name)
    parameters = [resolved(each) for each in told.get("parameters", ())]
    parts = [each["name"] for each in parameters if each["in"] == "path"]
    assert parts == re.findall(r"\{(\w+)", route.path)
    changes = route.needs is Access.CONTROL
    assert changes == any(each["name"] == API_HEADER and each["required"] for each in parameters)
    expected = {"403", "503"} | ({"413", "415"} if changes else set())
    expected |= set() if name == "metrics" else {"400"}
    assert {status for status in told["responses"] if status >= "400"} - {"404", "409"} == expected
    assert len([status for status in told["responses"] if status < "400"]) == 1


def _schemas(part: Any, seen: set[str]) -> Iterator[dict[str, Any]]:
    """All schemas that an answer is made of."""
    if isinstance(part, dict):
        if "$ref" in part:
            if part["$ref"] not in seen:
                seen.add(part["$ref"])
                yield from _schemas(resolved(part), seen)
            return
        yield part
        for each in part.values():
            yield from _schemas(each, seen)
    elif isinstance(part, list):
        for each in part:
            yield from _schemas(each, seen)


def test_answers_always_have_all_their_fields() -> None:
    seen: set[str] = set()
    for item in PATHS.values():
        for each in item.values():
            for schema in _schemas(each["responses"], seen):
                if isinstance(schema.get("properties"), dict):
                    assert schema["required"] == list(schema["properties"])


def test_no_component_is_left_over() -> None:
    used = set(re.findall(r"#/components/\w+/\w+", str(description())))
    assert used == {f"#/components/{kind}/{name}" for kind, names in COMPONENTS.items() for name in names}


def test_the_documentation_has_every_path() -> None:
    text = (ROOT / "docs" / "dashboard.md").read_text()
    told = set(re.findall(r"^\| `(GET|POST) (/[^`?]+)", text, re.MULTILINE))
    assert told == {(route.method, without_patterns(route.path)) for route in API}


def test_it_knows_the_same_states_filters_and_sizes_as_the_pages() -> None:
    assert COMPONENTS["schemas"]["State"]["enum"] == [state.value for state in STATES]
    assert list(COMPONENTS["schemas"]["Filter"]["properties"]) == list(Filter.__dataclass_fields__)
    assert COMPONENTS["parameters"]["Size"]["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": MOST,
        "default": PAGE,
    }


async def test_it_is_served_with_the_path_of_the_dashboard(memory: Client, serve: Serve) -> None:
    told = await (await (await serve(memory)).get("/api/openapi.json")).json()
    assert told == description()
    mounted = await serve(memory, prefix="/admin/jobs/")
    told = await (await mounted.get("/admin/jobs/api/openapi.json")).json()
    assert told["servers"] == [{"url": "/admin/jobs"}]
