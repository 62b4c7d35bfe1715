"""How files are called, how long they are, and what they must not say."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import asyncjobs
from asyncjobs.storage.redis.keys import PATTERNS
from tests.house.sources import DASHBOARD, LUA, PACKAGE, ROOT, below, files, name

LONGEST = 400
LONGER: dict[str, str] = {}
"""Files that may be longer, and why."""


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_a_file_is_short_enough_to_have_one_subject() -> None:
    code = [*below(PACKAGE, ".py"), *below(DASHBOARD, ".py"), *below(PACKAGE, ".lua")]
    lengths = {name(path): _lines(path) for path in code}
    assert not {
        known: length for known, length in lengths.items() if length > LONGEST and known not in LONGER
    }


def test_no_exception_is_left_over() -> None:
    needless = [known for known in LONGER if not (ROOT / known).exists() or _lines(ROOT / known) <= LONGEST]
    assert not needless, "remove them from LONGER"


SAYS_NOTHING = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?)(_|$)")


def test_a_files_name_says_what_it_is_about() -> None:
    code = [path for path in files() if path.suffix in (".py", ".lua", ".mjs", ".md")]
    parts = {(name(path), part) for path in code for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not sorted(path for path, part in parts if SAYS_NOTHING.search(part.lower()))


def test_the_public_names_are_sorted_and_complete() -> None:
    module = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        alias.asname or alias.name
        for node in module.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    # Constants come first, as in imports.
    assert asyncjobs.__all__ == sorted(asyncjobs.__all__, key=lambda public: (not public.isupper(), public))
    assert set(asyncjobs.__all__) == imported
    namespace: dict[str, Any] = {}
    exec("from asyncjobs import *", namespace)
    assert imported <= namespace.keys()


PLAIN_NAME = re.compile(
    r"(?:pip3?|pipx|uv|poetry|pdm)\s+(?:install|add|tool install)\b[^\n`]*?[\s'\"]asyncjobs(?![\w-])"
)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


def test_nobody_is_told_to_install_another_projects_package() -> None:
    """`asyncjobs` on PyPI is somebody else's."""
    told = [
        f"{name(path)}: {found[0]}"
        for path in files()
        if path != Path(__file__)
        for found in PLAIN_NAME.finditer(_text(path))
    ]
    assert not told


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("pip install asyncjobs", True),
        ("pip install 'asyncjobs[embedded]'", True),
        ("uv add --dev asyncjobs==1", True),
        ("pip install asyncjobs-redis", False),
        ("pip install 'asyncjobs-redis[embedded]'", False),
        ("pip install asyncjobs_dashboard", False),
    ],
)
def test_what_that_rule_finds(line: str, wrong: bool) -> None:
    assert bool(PLAIN_NAME.search(line)) is wrong


def test_the_readme_shows_the_example_as_it_is() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)

    assert blocks == [(ROOT / "examples" / "readme.py").read_text()]


def test_the_changelog_knows_the_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == project["version"]


def test_no_other_file_spells_a_key() -> None:
    spelled: list[str] = []
    for path in [*below(PACKAGE, ".py"), *below(DASHBOARD, ".py")]:
        if path != PACKAGE / "storage" / "redis" / "keys.py":
            values = [
                node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
            ]
            spelled += [
                f"{name(path)}: {text!r}" for text in values if isinstance(text, str) and is_key(text)
            ]
    assert not spelled


def test_no_script_spells_a_key() -> None:
    spelled: list[str] = []
    for path in below(LUA, ".lua"):
        code = re.sub(r"^\s*--.*$", "", path.read_text(), flags=re.MULTILINE)
        texts = [single or double for single, double in re.findall(r"'([^'\n]*)'|\"([^\"\n]*)\"", code)]
        spelled += [f"{name(path)}: {text!r}" for text in texts if is_key(text)]
        # Keys come from K, and arguments from A.
        spelled += [f"{name(path)}: {found}" for found in re.findall(r"\bKEYS\b|\bARGV\[\d+\]", code)]
        spelled += [f"{name(path)}: {found}" for found in re.findall(r"(?<![\w.])t\s*\.\.[^\n]*", code)]
    assert not spelled


def is_key(text: str) -> bool:
    """Whether a text is, or begins like, what follows the hash tag in a key of `keys.py`."""
    beginnings = {pattern.partition("{}")[0] for pattern in PATTERNS.values()}
    return any(text == known or (known.endswith(":") and text.startswith(known)) for known in beginnings)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [(":j:", True), (":q:mail:p", True), (":queues", True), ("queues", False), (": j", False), ("", False)],
)
def test_what_that_rule_calls_a_key(text: str, wrong: bool) -> None:
    assert is_key(text) is wrong


SLEEPS = {"time.sleep", "asyncio.sleep", "anyio.sleep", "sleep"}
MAY_SLEEP: dict[str, str] = {
    "tests/waiting.py": "it is where waiting is done, between two looks at a condition",
    "tests/proxy.py": "the delay is the fault that it injects",
    "tests/faults/ledger.py": "a job waits there for its test to open a gate",
    "tests/faults/apps/holding.py": "what it does while it holds its lock takes its time",
    "tests/worker/test_embedded_worker.py:own_work": "a program's own task, which ticks beside the worker",
}
"""Files, or functions in files, that may sleep in a test's code, and why."""


def sleeps(source: str) -> list[tuple[int, str]]:
    """The lines that sleep for a time, and their functions; but code that a worker runs may, as its work."""
    found: list[tuple[int, str]] = []

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            decorators = map(ast.unparse, node.decorator_list)
            if any(
                re.search(r"\.(job|process|middleware|lifespan)\b", decorator) for decorator in decorators
            ):
                return
            function = node.name
        if isinstance(node, ast.Call) and ast.unparse(node.func) in SLEEPS:
            nothing = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            if not nothing:
                found.append((node.lineno, function))
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(source), "")
    return found


def test_a_test_waits_for_a_condition_not_for_a_time() -> None:
    used: set[str] = set()
    asleep: list[str] = []
    for path in below(ROOT / "tests", ".py"):
        for line, function in sleeps(path.read_text()):
            allowed = MAY_SLEEP.keys() & {name(path), f"{name(path)}:{function}"}
            used |= allowed
            if not allowed:
                asleep.append(f"{name(path)}:{line}")

    assert not asleep, "use tests/waiting.py, or say in MAY_SLEEP why not"
    assert used == MAY_SLEEP.keys(), "remove the others from MAY_SLEEP"


def test_what_that_rule_finds_asleep() -> None:
    source = """
import asyncio, time
@registry.job(timeout=1)
async def work(): await asyncio.sleep(1)
async def test():
    await asyncio.sleep(0)
    await asyncio.sleep(0.1)
    time.sleep(n)
"""
    assert sleeps(source) == [(7, "test"), (8, "test")]
