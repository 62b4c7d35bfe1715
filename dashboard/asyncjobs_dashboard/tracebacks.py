"""Tracebacks with their parts in colour: by classes that the style sheet knows, never by own styles."""

from __future__ import annotations

from functools import lru_cache

from markupsafe import Markup, escape
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers.python import PythonTracebackLexer

LONGEST = 60_000
"""Characters up to which it is coloured; what is longer is shown plainly, its middle left out."""

_LEXER = PythonTracebackLexer()
_FORMATTER: HtmlFormatter[str] = HtmlFormatter(nowrap=True)


@lru_cache(maxsize=256)
def coloured(text: str) -> Markup:
    """The traceback as HTML, escaped."""
    if len(text) > LONGEST:
        half = LONGEST // 2
        return escape(f"{text[:half]}\n\n  … {len(text) - LONGEST:,} characters …\n\n{text[-half:]}")
    return Markup(highlight(text, _LEXER, _FORMATTER))  # Pygments has escaped it.
