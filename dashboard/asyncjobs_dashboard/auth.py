"""Who may see and do what: `Access`, the rule where none is given, and the check of host names."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection
from enum import IntEnum

from aiohttp import web


class Access(IntEnum):
    """What a request may do. Each includes what is before it."""

    DENY = 0
    """Nothing: it gets a page that says so (403)."""
    READ = 1
    """Look at everything, change nothing: pages have no buttons."""
    CONTROL = 2
    """Look at and change everything."""


Authorize = Callable[[web.Request], Awaitable[Access]]
"""Decides over one request. What it raises counts as `Access.DENY`, except responses (`web.HTTPFound`, …)."""

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""Names by which a browser on this machine speaks to it."""

FORWARDING = (
    *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Server", "X-Forwarded-Port"),
    *("X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "Forwarded", "Via"),
)
"""Headers by which a proxy tells that it speaks for somebody else."""


async def local_only(request: web.Request) -> Access:
    """`CONTROL` for who is on this machine, `DENY` for everybody else: the default.

    A request that has come through a proxy isn't local, though the proxy may be.
    """
    return Access.CONTROL if is_local(request) else Access.DENY


def is_local(request: web.Request) -> bool:
    """Whether it comes from a loopback address or a Unix socket, and through no proxy that can be told."""
    if any(name in request.headers for name in FORWARDING):
        return False
    # No browser speaks HTTP/1.0; a proxy that adds no header by default (nginx) does.
    if request.version < (1, 1):
        return False
    transport = request.transport
    if transport is None:
        return False
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family == getattr(socket, "AF_UNIX", None):
        return True
    peer = transport.get_extra_info("peername")
    if not isinstance(peer, tuple) or not peer:
        return False
    try:
        address = ipaddress.ip_address(str(peer[0]).partition("%")[0])  # pyright: ignore[reportUnknownArgumentType]
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def host_allowed(host: str, allowed: Collection[str]) -> bool:
    """Whether a `Host` header names one of the hosts, with any port.

    A page of another site can have its own name resolve to this machine ("DNS rebinding"), but not keep that
    name out of the header.
    """
    name, _, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not name:
        name, port = port, ""
    return name.lower() in allowed and (not port or port.isdigit())
