"""Pages out of templates, with what every page has: navigation, access, token, the live numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp_jinja2
import jinja2
from aiohttp import web

from asyncjobs import State
from asyncjobs.errors import StorageError
from asyncjobs_dashboard.assets import version
from asyncjobs_dashboard.auth import Access
from asyncjobs_dashboard.formatting import FILTERS
from asyncjobs_dashboard.live import Snapshot
from asyncjobs_dashboard.navigation import NAVIGATION, STATES
from asyncjobs_dashboard.security import access_of
from asyncjobs_dashboard.setup import SETUP

TEMPLATES = Path(__file__).parent / "templates"


def set_up_templates(app: web.Application) -> None:
    """Load templates for an application; everything is escaped, and an unknown name is an error."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        filters=FILTERS,
    )
    cast(dict[str, Any], environment.globals)["asset"] = _asset


@jinja2.pass_context
def _asset(context: jinja2.runtime.Context, path: str) -> str:
    """The URL of a static file, as it is now."""
    app: web.Application = context["app"]
    return str(app.router["static"].url_for(path=path).with_query(v=version()))


async def page(request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
    """A whole page. `section` in the context names the entry of the navigation that it belongs to.

    An error's page has no counts if they can't be read; of any other that raises `StorageError`.
    """
    numbers: Snapshot | None = None
    if access_of(request) is not Access.DENY:
        try:
            numbers = await request.app[SETUP].live.snapshot()
        except StorageError:
            if status < 400:
                raise
    return fragment(request, template, status=status, numbers=numbers, **context)


def fragment(request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
    """A template without the live numbers' being read for it."""
    setup = request.app[SETUP]
    access = access_of(request)
    numbers = context.get("numbers")
    common: dict[str, Any] = {
        "title": setup.title,
        "read_only": setup.read_only,
        "may_read": access >= Access.READ,
        "may_control": access >= Access.CONTROL,
        "csrf_token": setup.tokens.token_of(request) if access >= Access.CONTROL else "",
        "states": STATES,
        "navigation": NAVIGATION,
        "State": State,
        "numbers": None,
        "section": "",
        "now": numbers.stats.now if isinstance(numbers, Snapshot) else None,
        "here": request.rel_url,
        "query": urlencode,
    }
    return aiohttp_jinja2.render_template(template, request, common | context, status=status)


def see_other(
    request: web.Request, name: str, query: dict[str, str] | None = None, **parts: str
) -> web.HTTPSeeOther:
    """The answer to a form that did something: go and look at a page."""
    url = request.app.router[name].url_for(**parts)
    return web.HTTPSeeOther(url.with_query(query) if query else url)
