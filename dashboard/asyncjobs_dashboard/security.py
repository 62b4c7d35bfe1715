"""The gate that every request passes, and the headers that every response has."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.typedefs import Handler

from asyncjobs_dashboard.auth import Access, host_allowed
from asyncjobs_dashboard.csrf import API_HEADER, FIELD, HEADER, CsrfError, check_origin
from asyncjobs_dashboard.setup import SETUP

logger = logging.getLogger("asyncjobs.dashboard")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" browsers would send forms with `Origin: null`, which says nothing.
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ACCESS = web.RequestKey("asyncjobs_access", Access)


class Refused(Exception):
    """The request isn't let through. `kind` chooses the words of the page that says so."""

    def __init__(self, kind: str, reason: str = "") -> None:
        self.kind = kind
        self.reason = reason
        super().__init__(reason or kind)


def access_of(request: web.Request) -> Access:
    """What the request may do, as the gate has found; `DENY` before."""
    found: Access = request.get(ACCESS, Access.DENY)
    return found


def for_programs(request: web.Request) -> bool:
    """Whether it is one of the API's: such a path, or one below `/api/` that isn't there."""
    setup = request.app[SETUP]
    route = setup.route(_name(request))
    return route.api if route is not None else request.path.startswith(f"{setup.root}api/")


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Every response gets the security headers; what isn't a static file is kept by nobody."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "no-store"


@web.middleware
async def give_cookie(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around all others: give the browser the cookie that belongs to the forms of the page it gets."""
    setup = request.app[SETUP]
    response = await handler(request)
    if not response.prepared:
        setup.tokens.keep_cookie(request, response, setup.root)
    return response


@web.middleware
async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request through to its handler if its host, its sender and its token allow that."""
    setup = request.app[SETUP]
    route = setup.route(_name(request))
    # Of what isn't there, nobody learns who may not read.
    needed = Access.READ if route is None else route.needs
    # The page that says so needs what error pages are made of.
    allowed = setup.allowed_hosts is None or host_allowed(request.host, setup.allowed_hosts)
    if not allowed and needed is not Access.DENY:
        raise Refused("host", request.host)
    if needed is not Access.DENY:
        request[ACCESS] = await _granted(request)
        if access_of(request) is Access.DENY:
            raise Refused("denied")
        if access_of(request) < needed:
            raise Refused("read only" if setup.read_only else "readers")
    # Where there is no route, nothing can be changed: what is told is that it isn't there.
    if route is not None and request.method not in SAFE_METHODS:
        await _check_token(request)
    if needed is not Access.DENY:
        await setup.open()
    try:
        return await handler(request)
    finally:
        if request.method not in SAFE_METHODS:
            setup.outdate()


async def _granted(request: web.Request) -> Access:
    setup = request.app[SETUP]
    try:
        granted = await setup.authorize(request)
    except web.HTTPException:
        raise
    except Exception:
        logger.exception("authorize failed: the request is refused")
        return Access.DENY
    return min(Access(granted), Access.READ) if setup.read_only else Access(granted)


async def _check_token(request: web.Request) -> None:
    setup = request.app[SETUP]
    try:
        check_origin(request)
        if for_programs(request):
            if request.headers.get(API_HEADER) != "1":
                raise CsrfError(f"Requests that change something need the header {API_HEADER}: 1.")
            return
        given = request.headers.get(HEADER, "")
        if not given and request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
            field = (await request.post()).get(FIELD, "")
            given = field if isinstance(field, str) else ""
        setup.tokens.check(request, given)
    except CsrfError as error:
        raise Refused("csrf", str(error)) from None


def _name(request: web.Request) -> str | None:
    resource = request.match_info.route.resource
    return resource.name if resource is not None else None
