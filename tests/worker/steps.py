"""Jobs whose order tests look at."""

from __future__ import annotations

import asyncio

from asyncjobs import Registry


class Steps:
    """Jobs that note the order in which they ran, and end as they are told."""

    def __init__(self, registry: Registry) -> None:
        self.ran: list[str] = []
        self.failing: set[str] = set()
        self.gate = asyncio.Event()

        @registry.job(name="step")
        async def step(label: str) -> str:
            self.ran.append(label)
            if label in self.failing:
                raise ValueError(f"{label} was told to fail")
            return label

        @registry.job(name="gated")
        async def gated(label: str) -> str:
            await asyncio.wait_for(self.gate.wait(), 30)
            return await step(label)

        self.step = step
        self.gated = gated
