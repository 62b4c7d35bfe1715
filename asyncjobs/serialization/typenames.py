"""The names that classes travel under."""

from __future__ import annotations

import sys
from pathlib import PurePath

__all__ = ["import_name", "type_name"]


def import_name(module: str) -> str:
    """The name that another process imports a module by: itself, unless it is the main script.

    `python -m shop.tasks` and `python tasks.py` both run under `__main__`; a worker imports the same file as
    `shop.tasks` or `tasks`, and both sides have to agree. A main module without a file (an interactive
    session) keeps `__main__`.
    """
    if module not in ("__main__", "__mp_main__"):
        return module
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return PurePath(file).stem if file else module


def type_name(cls: type) -> str:
    """The name that a class is registered under and travels by: `module.qualname`."""
    return f"{import_name(cls.__module__)}.{cls.__qualname__}"
