"""Another program's idea of the jobs of `counted`: names that aren't there, signatures that have changed."""

from __future__ import annotations

from dataclasses import dataclass

from asyncjobs import Registry

COUNTED = "tests.faults.apps.counted"

registry = Registry()


@registry.external(f"{COUNTED}.renamed")
async def renamed(seconds: float) -> int: ...


@registry.external(f"{COUNTED}.brief")
async def brief_as_it_was(minutes: float, seconds: float) -> int: ...


@registry.external(f"{COUNTED}.failing")
async def failing_as_it_was(why: str) -> None: ...


@dataclass
class Place:
    """Unknown to the worker."""

    name: str


@registry.external(f"{COUNTED}.heavy")
async def heavy_of_place(place: Place) -> None: ...
