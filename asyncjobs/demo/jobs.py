"""The demo's jobs: what its workers run."""

from __future__ import annotations

import ast
import sysconfig
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from asyncjobs.context import JobContext
from asyncjobs.registry import Registry
from asyncjobs.retry import Retry

LIBRARY = Path(sysconfig.get_path("stdlib"))
"""Where this Python's standard library is; the workers run on the same Python, so it's the same for them."""

BACKLOG = "default"
ON_TIME = "on-time"
"""The queue of delayed jobs: it's emptied first, so that they needn't wait behind the backlog."""
QUEUES = (ON_TIME, BACKLOG)

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)

PARSED_AS = "<analysed file>"
# The library's tests hold doubtful code on purpose, of which the compiler would warn.
warnings.filterwarnings("ignore", module=PARSED_AS)

registry = Registry()


class Overloaded(Exception):
    """What chosen jobs fail with, at first."""


@registry.register_type
@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in a file."""

    path: str
    """Below the library."""
    size: int
    """Bytes."""
    lines: int
    functions: int = 0
    classes: int = 0
    branches: int = 0
    """`if` and `elif`, conditional expressions, loops, `except` and `case`."""
    unparsable: str = ""
    """Why it isn't Python (the library's tests have such files); empty if it is."""


@registry.job(name="analyse", context=True, runs_in="process", retry=Retry(max_retries=3, delay=0.5))
def analyse(context: JobContext, path: str, *, failures: int = 0) -> Analysis:
    """Parse a file of the library and count what is in it. The first `failures` attempts fail."""
    if context.failures < failures:
        raise Overloaded(f"attempt {context.attempt} at {path} is made to fail; another one follows")
    return measured(path, (LIBRARY / path).read_bytes())


def measured(path: str, source: bytes) -> Analysis:
    """What is in a file's source."""
    lines = len(source.splitlines())
    try:
        tree = ast.parse(source, filename=PARSED_AS)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return Analysis(path, len(source), lines, unparsable=f"{type(error).__name__}: {error}")
    found = Counter(map(type, ast.walk(tree)))
    return Analysis(
        path,
        len(source),
        lines,
        functions=sum(found[kind] for kind in FUNCTIONS),
        classes=found[ast.ClassDef],
        branches=sum(found[kind] for kind in BRANCHES),
    )


@registry.job(name="ping", queue=ON_TIME)
async def ping() -> float:
    """Tell when it began, in seconds since 1970."""
    return time.time()
