"""The dashboard as an aiohttp application, to be run by itself or mounted into another one."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Iterable

from aiohttp import web

from asyncjobs import Client
from asyncjobs.errors import OptionError, StorageError
from asyncjobs_dashboard.auth import LOCAL_HOSTS, Authorize, local_only
from asyncjobs_dashboard.bulk import BulkJobs
from asyncjobs_dashboard.csrf import Tokens
from asyncjobs_dashboard.failures import failures
from asyncjobs_dashboard.live import Live
from asyncjobs_dashboard.process_locks import ProcessLocks
from asyncjobs_dashboard.rendering import set_up_templates
from asyncjobs_dashboard.routes import ROUTES
from asyncjobs_dashboard.security import add_headers, gate, give_cookie
from asyncjobs_dashboard.setup import SETUP, Setup

logger = logging.getLogger("asyncjobs.dashboard")


def create_app(
    client: Client,
    *,
    authorize: Authorize | None = None,
    read_only: bool = False,
    title: str = "asyncjobs",
    secret_key: str | bytes | None = None,
    allowed_hosts: Iterable[str] | None = None,
    poll: float = 1.0,
) -> web.Application:
    """The dashboard of a client's namespace: `app.add_subapp("/jobs/", create_app(client))`.

    * `client`: opened when the application starts and closed when it ends (it counts its users, so it may be
      in use elsewhere). Its registry, if it has one, lets argument values be shown as what they are.
    * `authorize`: a coroutine function that is given each request and answers `Access.DENY`, `READ` or
      `CONTROL`. Default: `CONTROL` for requests from this machine, `DENY` for all others.
    * `read_only`: nothing can be changed, whatever `authorize` says.
    * `title`: shown on every page.
    * `secret_key`: signs the tokens of forms. Default: made up at start, so that forms that were open before
      a restart have to be loaded again; several processes behind one address need the same key.
    * `allowed_hosts`: names by which browsers may speak to it (its `Host` header, without the port). Default:
      `localhost`, `127.0.0.1` and `[::1]`, or any where `authorize` is given.
    * `poll`: seconds between two readings of the live numbers, 0.1 to 60; they are read only while somebody
      looks, and once for all who do.

    Raises `OptionError`.
    """
    if not 0.1 <= poll <= 60:
        raise OptionError(f"poll is {poll!r}: give seconds from 0.1 to 60")
    if isinstance(allowed_hosts, str):
        raise OptionError("allowed_hosts is one text: give a list of host names")
    hosts: frozenset[str] | None = None
    if allowed_hosts is not None:
        hosts = frozenset(host.lower() for host in allowed_hosts)
    elif authorize is None:
        hosts = LOCAL_HOSTS
    key = secrets.token_bytes(32) if secret_key is None else secret_key

    async def open_client() -> None:
        await setup.open()

    setup = Setup(
        client=client,
        authorize=authorize or local_only,
        read_only=read_only,
        title=title,
        allowed_hosts=hosts,
        tokens=Tokens(key.encode() if isinstance(key, str) else key),
        live=Live(client, open_client, poll),
        bulk=BulkJobs(client),
        process_locks=ProcessLocks(client, poll),
        routes={route.name: route for route in ROUTES},
    )
    app = web.Application(middlewares=[give_cookie, failures, gate], client_max_size=256 * 1024)
    app[SETUP] = setup
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler, name=route.name)
        else:
            app.router.add_route(route.method, route.path, route.handler, name=route.name)
    set_up_templates(app)
    app.on_response_prepare.append(add_headers)
    app.on_shutdown.append(_end_streams)
    app.cleanup_ctx.append(_lifetime)
    return app


async def _lifetime(app: web.Application) -> AsyncIterator[None]:
    setup = app[SETUP]
    setup.root = str(app.router["overview"].url_for())
    try:
        await setup.open()
    except StorageError as error:
        logger.warning("the dashboard starts though its storage can't be used: %s", error)
    yield
    await setup.close()


async def _end_streams(app: web.Application) -> None:
    """Before connections are waited for: streams would never end by themselves."""
    await app[SETUP].live.close()
