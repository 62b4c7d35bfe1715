"""Against requests that another site makes in a browser's name: a token, and what the browser says.

The token is a signed double-submit cookie: the browser's cookie holds a random number, signed; forms hold
what only the server can derive from that number. The cookie is HttpOnly and SameSite=Strict.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from urllib.parse import urlsplit

from aiohttp import web

FIELD = "csrf_token"
HEADER = "X-CSRF-Token"
API_HEADER = "X-Asyncjobs"
"""A page of another site can't send it without asking first, which is never granted."""

LIFETIME = 30 * 86_400
"""Seconds that a cookie is valid; it is renewed, with the same number, once half of it is over."""

_NUMBER = web.RequestKey("asyncjobs_csrf_number", str)
"""Of the cookie that this request's answer is going to set."""


class CsrfError(Exception):
    """The request may have been made by another site. The message says what is wrong with it."""


class Tokens:
    """Makes and checks the tokens of browsers. `secret` is shared by the processes that serve one address."""

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.sha256(b"asyncjobs dashboard csrf" + secret).digest()
        # Cookies don't heed ports: dashboards on one machine would take away each other's.
        self.cookie = f"asyncjobs_csrf_{self._sign('name')[:8]}"

    def token_of(self, request: web.Request) -> str:
        """What the forms of the page that answers this request have to hold."""
        number, _ = self._number(request)
        if number is None:
            number = request.get(_NUMBER) or secrets.token_urlsafe(18)
            request[_NUMBER] = number
        return self._sign(f"form:{number}")

    def keep_cookie(self, request: web.Request, response: web.StreamResponse, path: str) -> None:
        """Give the browser its cookie, if a page was made that needs it."""
        number, age = self._number(request)
        if number is not None and age < LIFETIME / 2:
            return
        number = number or request.get(_NUMBER)
        if number is None:
            return
        now = str(int(time.time()))
        response.set_cookie(
            self.cookie,
            f"{number}.{now}.{self._sign(f'cookie:{number}.{now}')}",
            max_age=LIFETIME,
            path=path,
            secure=request.secure,
            httponly=True,
            samesite="Strict",
        )

    def check(self, request: web.Request, given: str) -> None:
        """Raise `CsrfError` unless `given` is the token that belongs to the browser's cookie."""
        number, _ = self._number(request)
        if number is None:
            raise CsrfError("The browser sent no valid cookie with the form.")
        if not given:
            raise CsrfError("The form came without its token.")
        if not hmac.compare_digest(given.encode(errors="replace"), self._sign(f"form:{number}").encode()):
            raise CsrfError("The form's token isn't valid any more.")

    def _number(self, request: web.Request) -> tuple[str | None, float]:
        """The number in the request's cookie, and its age in seconds; None if there is no valid one."""
        parts = request.cookies.get(self.cookie, "").split(".")
        if len(parts) != 3:
            return None, 0.0
        number, made, signature = parts
        if not hmac.compare_digest(
            signature.encode(errors="replace"), self._sign(f"cookie:{number}.{made}").encode()
        ):
            return None, 0.0
        age = time.time() - int(made)
        return (number, age) if age < LIFETIME else (None, 0.0)

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(errors="replace"), hashlib.sha256).hexdigest()


def check_origin(request: web.Request) -> None:
    """Raise `CsrfError` if the browser says that another site has made the request."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        # The browser itself compares, whatever a proxy has made of the Host header.
        if site != "same-origin":
            raise CsrfError("The request was made by another site.")
        return
    origin = request.headers.get("Origin")
    if origin is None:
        return
    try:
        site = urlsplit(origin).netloc.lower()
    except ValueError:
        site = ""
    if site != request.host.lower():
        raise CsrfError("The request was made by another site.")
