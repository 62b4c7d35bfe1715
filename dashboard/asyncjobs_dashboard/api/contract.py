"""The description of the API, `openapi.json`, and requests that are held against it.

The file is what is checked, so that it can't tell anything else than what is true: of parameters and fields
it knows what these few words of JSON Schema say that stand below.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from aiohttp import web

from asyncjobs.errors import OptionError

FILE = Path(__file__).parent / "openapi.json"
SHOWN = 60
"""Characters of a wrong value that an error repeats."""

Asked = Mapping[str, Any]
"""The parameters or fields of a request, checked, with the defaults of those that weren't given."""
Answer = Callable[[web.Request, Asked], Awaitable[web.Response]]
Schema = Mapping[str, Any]


@cache
def description() -> dict[str, Any]:
    """What the file says."""
    return cast(dict[str, Any], json.loads(FILE.read_text()))


def checked(method: str, path: str, answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that gives `answer` only what the file allows; anything else is a 400, 404 or 415."""
    operation: dict[str, Any] = description()["paths"][without_patterns(path)][method.lower()]
    parameters = [_resolved(parameter) for parameter in operation.get("parameters", ())]
    parts = {each["name"]: _resolved(each["schema"]) for each in parameters if each["in"] == "path"}
    query: dict[str, Any] = {
        "properties": {each["name"]: each["schema"] for each in parameters if each["in"] == "query"},
        "required": [each["name"] for each in parameters if each["in"] == "query" and each.get("required")],
    }
    given = operation.get("requestBody")
    body: dict[str, Any] = {"properties": {}}
    if given:
        body = _resolved(given["content"]["application/json"]["schema"])

    async def handler(request: web.Request) -> web.Response:
        for name, schema in parts.items():
            value = request.match_info[name]
            if "enum" in schema and value not in schema["enum"]:
                raise web.HTTPNotFound(text=f"there is no {name} {shown(value)}: {_one_of(schema)}")
        asked = object_of(query, _query(request, query["properties"]), "parameter")
        if method != "GET":
            asked |= object_of(body, await _body(request), "field")
        return await answer(request, asked)

    return handler


def without_patterns(path: str) -> str:
    """A path of the table as it is called in the file: `{id}` for `{id:[^/]+}`."""
    return re.sub(r"\{(\w+):[^{}]+\}", r"{\1}", path)


def _query(request: web.Request, known: Mapping[str, Schema]) -> dict[str, Any]:
    query = request.query
    given: dict[str, Any] = {}
    for name in query:
        value: Any = query[name]
        if len(query.getall(name)) > 1:
            raise OptionError(f"{shown(name)} is given more than once")
        if known.get(name, {}).get("type") == "integer" and re.fullmatch("-?[0-9]{1,15}", value):
            value = int(value)
        given[name] = value
    return given


async def _body(request: web.Request) -> dict[str, Any]:
    packed = await request.read()
    if not packed:
        return {}
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="give JSON, with Content-Type: application/json")
    try:
        found: Any = json.loads(packed, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise OptionError("the body isn't JSON, or is nested too deeply") from None
    if not isinstance(found, dict):
        raise OptionError('the body isn\'t an object: give {"name": value, …}')
    return cast(dict[str, Any], found)


def _refuse(constant: str) -> float:
    raise ValueError(constant)


# ---- a value against its schema -----------------------------------------------------------------------


def object_of(schema: Schema, given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The fields of an object, checked. Raises `OptionError`."""
    known: Mapping[str, Schema] = schema["properties"]
    for name in given:
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there are none here"
            raise OptionError(f"there is no {kind} {shown(name)}: {there}")
    for name in schema.get("required", ()):
        if name not in given:
            raise OptionError(f"the {kind} {name} is missing")
    found = {name: value_of(each, given[name], name) for name, each in known.items() if name in given}
    defaults = {name: _resolved(each).get("default") for name, each in known.items()}
    return {name: value for name, value in defaults.items() if value is not None} | found


def value_of(schema: Schema, value: object, what: str) -> Any:
    """A value, if the schema allows it. Raises `OptionError`, whose message says what is allowed."""
    schema = _resolved(schema)
    match schema["type"]:
        case "object" if isinstance(value, dict):
            return object_of(schema, cast(dict[str, Any], value), f"field of {what}")
        case "array" if isinstance(value, list):
            values = cast(list[object], value)
            _check_range(schema, len(values), f"the number of {what}", "minItems", "maxItems")
            return [value_of(schema["items"], each, f"one of {what}") for each in values]
        case "string" if isinstance(value, str):
            return _text_of(schema, value, what)
        case "integer" if isinstance(value, int) and not isinstance(value, bool):
            return _check_range(schema, value, what, "minimum", "maximum")
        case "integer" if isinstance(value, float) and value.is_integer():
            # JSON has but one kind of numbers.
            return _check_range(schema, int(value), what, "minimum", "maximum")
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return _check_range(schema, value, what, "minimum", "maximum")
        case kind:
            name = {"integer": "a whole number", "array": "a list", "object": "an object"}.get(kind, kind)
            raise OptionError(f"{what} is {shown(value)}: give {'a ' * (name == kind)}{name}{_range(schema)}")


def _text_of(schema: Schema, value: str, what: str) -> str:
    if "enum" in schema and value not in schema["enum"]:
        raise OptionError(f"{what} is {shown(value)}: {_one_of(schema)}")
    _check_range(schema, len(value), f"the length of {what}", "minLength", "maxLength")
    if "pattern" in schema and not re.fullmatch(schema["pattern"], value, re.ASCII):
        raise OptionError(f"{what} is {shown(value)}: give one such as {schema['examples'][0]}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise OptionError(
            f"{what} is {shown(value)}, which is no text: half of a pair stands alone"
        ) from None
    return value


def _check_range(schema: Schema, value: float, what: str, least: str, most: str) -> float:
    # Not `<`: what can't be compared is out of it.
    if not schema.get(least, -math.inf) <= value <= schema.get(most, math.inf):
        raise OptionError(f"{what} is {shown(value)}: give one{_range(schema, least, most)}")
    return value


def _range(schema: Schema, least: str = "minimum", most: str = "maximum") -> str:
    if most in schema:
        return f" from {schema.get(least, 0):,} to {schema[most]:,}"
    return f" of at least {schema[least]:,}" if least in schema else ""


def _one_of(schema: Schema) -> str:
    return f"there are {', '.join(schema['enum'])}"


def shown(value: object) -> str:
    """A value as an error repeats it."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _resolved(schema: Schema) -> dict[str, Any]:
    """What a `{"$ref": "#/…"}` stands for."""
    found: Any = schema
    while "$ref" in found:
        place = found["$ref"].removeprefix("#/").split("/")
        found = description()
        for name in place:
            found = found[name]
    return cast(dict[str, Any], found)
