"""`module:object` on the command line, and what it leads to."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from asyncjobs.errors import AppImportError
from asyncjobs.registry import Registry


def load_registry(target: str) -> Registry:
    """The registry that `module:object` names; `module` alone means its `registry`.

    The current directory can be imported from. Raises `AppImportError`, which says why.
    """
    module_name, _, path = target.partition(":")
    if not module_name or module_name.endswith(".py") or "/" in module_name:
        raise AppImportError(
            f"{target!r} is no module:object; for a Registry called `registry` in app.py write app:registry"
        )
    module = _import(module_name)
    value: Any = module
    walked = module_name
    for name in (path or "registry").split("."):
        try:
            value = getattr(value, name)
        except AttributeError:
            raise AppImportError(f"{walked} has no {name!r}{_suggest(value, name)}") from None
        walked = f"{walked}:{name}" if value is module else f"{walked}.{name}"
    if not isinstance(value, Registry):
        raise AppImportError(
            f"{target} is a {type(value).__name__}, not an asyncjobs Registry{_suggest(module, '')}"
        )
    return value


def _import(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            raise AppImportError(
                f"there is no module {missing!r} in {here} or among the installed packages"
            ) from None
        raise AppImportError(
            f"importing {name} failed: it imports {missing!r}, which isn't installed"
        ) from error
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "importlib" not in frame.filename and frame.filename != __file__]
        text = "".join(traceback.format_list(own)) + "".join(traceback.format_exception_only(error))
        raise AppImportError(f"importing {name} failed:\n{text.rstrip()}") from error


def _suggest(value: Any, name: str) -> str:
    attributes: dict[str, Any] = getattr(value, "__dict__", {})
    registries = [key for key, item in attributes.items() if isinstance(item, Registry)]
    near = registries or difflib.get_close_matches(name, dir(value), 3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
