"""What all parts of one dashboard share: how it was set up, the client, the live numbers, the bulk jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from asyncjobs import Client
from asyncjobs_dashboard.auth import Authorize
from asyncjobs_dashboard.csrf import Tokens
from asyncjobs_dashboard.routing import Route

if TYPE_CHECKING:
    from asyncjobs_dashboard.bulk import BulkJobs
    from asyncjobs_dashboard.live import Live
    from asyncjobs_dashboard.process_locks import ProcessLocks


@dataclass
class Setup:
    """One dashboard."""

    client: Client
    authorize: Authorize
    read_only: bool
    title: str
    allowed_hosts: frozenset[str] | None
    """None: any."""
    tokens: Tokens
    live: Live
    bulk: BulkJobs
    process_locks: ProcessLocks
    routes: Mapping[str, Route]
    root: str = "/"
    """The path of its first page: where it is mounted."""
    opened: bool = False
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    def route(self, name: str | None) -> Route | None:
        """The row of the table with that name."""
        return None if name is None else self.routes.get(name)

    async def open(self) -> None:
        """Open the client, if that hasn't been done yet. Raises `StorageError`.

        The dashboard starts without a storage, too, and says on its pages that there is none.
        """
        if self.opened:
            return
        async with self._opening:
            if not self.opened:
                await self.client.open()
                self.opened = True

    async def close(self) -> None:
        """Stop what is under way, and let go of the client."""
        await self.live.close()
        await self.bulk.close()
        if self.opened:
            self.opened = False
            await self.client.close()


SETUP = web.AppKey("asyncjobs_dashboard", Setup)
