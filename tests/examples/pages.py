"""The code on a page of the documentation, and how it is run.

A page's Python blocks run one after the other in one namespace, in which `client` is an open `Client`; they
may `await`. A line `print(…)  # words` has to print those words. A block that begins with `# name.py` is a
file, for the tests that run the page's programs.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
import sys
import types
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from asyncjobs import Client

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\n")
_PRINTED = re.compile(r"^\s*print\(.*\)  # (.+)$", re.MULTILINE)
MODULE = "docs_page"


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file that it is, if it is one."""
        found = _FILE.match(self.text)
        return found[1] if found and self.language == "python" else None


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start(2)) + 1, found[1], found[2])
        for found in _FENCE.finditer(text)
    ]


def snippets(page: Path) -> list[Block]:
    """The Python blocks of a page that aren't files."""
    return [block for block in blocks(page) if block.language == "python" and block.file is None]


def files(page: Path) -> dict[str, str]:
    """The files on a page."""
    return {block.file: block.text for block in blocks(page) if block.file is not None}


async def run(page: Path, client: Client) -> None:
    """Run a page's snippets. Raises what they raise, with the page's own lines in the traceback."""
    with _module() as module:
        module.__dict__["client"] = client
        for block in snippets(page):
            printed = io.StringIO()
            # The lines before it, so that a traceback tells the page's line.
            text = "\n" * (block.line - 1) + block.text
            code = compile(text, str(page), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            with contextlib.redirect_stdout(printed):
                told = eval(code, module.__dict__)
                if inspect.isawaitable(told):
                    await told
            said, promised = printed.getvalue().splitlines(), _PRINTED.findall(block.text)
            assert said == promised, f"{page.name}:{block.line} prints {said}, not {promised}"


@contextlib.contextmanager
def _module() -> Generator[types.ModuleType]:
    """What the page's functions belong to: jobs are named after their module."""
    module = types.ModuleType(MODULE)
    sys.modules[MODULE] = module
    try:
        yield module
    finally:
        del sys.modules[MODULE]
