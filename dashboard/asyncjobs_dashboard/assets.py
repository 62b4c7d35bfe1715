"""Static files: the dashboard's own, and what is vendored."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from aiohttp import web

STATIC = Path(__file__).parent / "static"

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".txt": "text/plain"}


@cache
def version() -> str:
    """Changes whenever a static file does: a part of their URLs, so that browsers may keep them for ever."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """Read once: nothing but these can be asked for."""
    return {
        path.relative_to(STATIC).as_posix(): (path.read_bytes(), TYPES[path.suffix])
        for path in STATIC.rglob("*")
        if path.is_file() and path.suffix in TYPES
    }


async def static(request: web.Request) -> web.Response:
    """One file."""
    found = _files().get(request.match_info["path"])
    if found is None:
        raise web.HTTPNotFound
    body, kind = found
    kept = "public, max-age=31536000, immutable" if request.query.get("v") == version() else "no-cache"
    return web.Response(body=body, content_type=kind, charset="utf-8", headers={"Cache-Control": kept})
