"""Jobs that are counted while they run."""

from __future__ import annotations

import asyncio
from collections import Counter

from asyncjobs import Registry


class Desk:
    """A job that says how many of it run at once, and goes on when it is told to."""

    def __init__(self, registry: Registry) -> None:
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.ran: list[str] = []
        self.open = asyncio.Event()

        @registry.job(name="work")
        async def work(label: str, tenant: str = "acme") -> str:
            self.running[tenant] += 1
            self.running[""] += 1
            for name in (tenant, ""):
                self.most[name] = max(self.most[name], self.running[name])
            self.ran.append(label)
            try:
                await asyncio.wait_for(self.open.wait(), 30)
            finally:
                self.running[tenant] -= 1
                self.running[""] -= 1
            return label

        @registry.job(name="quick")
        async def quick(label: str, tenant: str = "acme") -> str:
            self.ran.append(label)
            return label

        self.work = work
        self.quick = quick
