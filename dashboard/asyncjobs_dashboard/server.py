"""The dashboard with a server of its own, on the loop that runs: beside any asyncio program."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from asyncjobs import Client
from asyncjobs_dashboard.app import create_app
from asyncjobs_dashboard.auth import Authorize

SHUTDOWN_SECONDS = 2.0
"""For which requests under way may go on when it ends."""


class Dashboard:
    """The dashboard at an address: `async with Dashboard(client, port=8080): …`.

    * `host`, `port`: where it listens (default 127.0.0.1:8080); port 0 takes any that is free, see `url`.
    * `path`: of a Unix socket to listen on instead.
    * `ssl_context`: serve https.

    The other options are those of `create_app`. Entering raises `OSError` if the address is taken.
    """

    def __init__(
        self,
        client: Client,
        host: str = "127.0.0.1",
        port: int = 8080,
        *,
        path: str | Path | None = None,
        ssl_context: ssl.SSLContext | None = None,
        authorize: Authorize | None = None,
        read_only: bool = False,
        title: str = "asyncjobs",
        secret_key: str | bytes | None = None,
        allowed_hosts: Iterable[str] | None = None,
        poll: float = 1.0,
    ) -> None:
        self.app = create_app(
            client,
            authorize=authorize,
            read_only=read_only,
            title=title,
            secret_key=secret_key,
            allowed_hosts=allowed_hosts,
            poll=poll,
        )
        """The application that it serves."""
        self._host = host
        self._port = port
        self._path = path
        self._ssl = ssl_context
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Its address, once it is entered."""
        if self._path is not None:
            return f"unix:{self._path}"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'http' if self._ssl is None else 'https'}://{host}:{self._port}/"

    async def __aenter__(self) -> Self:
        runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=SHUTDOWN_SECONDS)
        await runner.setup()
        try:
            if self._path is not None:
                await web.UnixSite(runner, str(self._path), ssl_context=self._ssl).start()
            else:
                await web.TCPSite(runner, self._host, self._port, ssl_context=self._ssl).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        if self._path is None and self._port == 0:
            self._port = runner.addresses[0][1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
