"""Where the jobs are: the options that every command has, and a client made of them."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from asyncjobs.client import Client
    from asyncjobs.registry import Registry

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

DEFAULT_URL = "redis://localhost:6379/0"
PATIENCE = 2.0
"""Seconds for which a command tries to reach Redis again: somebody sits before it."""
PREFIX = "Redis can't be reached: "
OPEN_SECONDS = 5.0
"""Seconds in which it has to have answered for the first time."""


@dataclass(frozen=True)
class Place:
    """A namespace on a server."""

    url: str
    namespace: str
    shards: int

    @property
    def shown(self) -> str:
        """The URL without its password."""
        from asyncjobs.storage.redis.connection import without_password

        return without_password(self.url)


def connection_options(command: Callable[Concatenate[Place, P], R]) -> Callable[P, R]:
    """Add `--redis`, `--namespace` and `--shards` to a command, which gets their `Place` first."""

    @click.option(
        "--redis",
        "url",
        metavar="URL",
        envvar="ASYNCJOBS_REDIS",
        show_envvar=True,
        default=DEFAULT_URL,
        help="The server: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://. "
        f"Default: {DEFAULT_URL}. A worker with --embedded prints the URL of its own.",
    )
    @click.option(
        "--namespace",
        metavar="NAME",
        default="asyncjobs",
        show_default=True,
        help="How all its keys begin; namespaces know nothing of each other.",
    )
    @click.option(
        "--shards",
        type=click.IntRange(min=1),
        metavar="N",
        default=1,
        show_default=True,
        help="Parts that the namespace is spread over on a cluster; the same for all clients and workers.",
    )
    @functools.wraps(command)
    def with_place(*args: P.args, **kwargs: P.kwargs) -> R:
        url, namespace, shards = (kwargs.pop(name) for name in ("url", "namespace", "shards"))
        place = Place(str(url), str(namespace), int(str(shards)))
        return command(place, *args, **kwargs)

    return with_place


def with_client(place: Place, act: Callable[[Client], Awaitable[T]], registry: Registry | None = None) -> T:
    """Connect, do something, disconnect. Raises `StorageUnavailable`, with what to do, in seconds."""
    import asyncio
    import logging

    from asyncjobs.client import Client
    from asyncjobs.errors import StorageUnavailable

    # What a command can't do, it says by itself.
    logging.getLogger("asyncjobs").addHandler(logging.NullHandler())

    async def inside() -> T:
        client = Client(
            place.url, registry=registry, namespace=place.namespace, shards=place.shards, patience=PATIENCE
        )
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await client.open()
        except TimeoutError:
            raise StorageUnavailable("no answer") from None
        try:
            return await act(client)
        finally:
            await client.close()

    try:
        return asyncio.run(inside())
    except StorageUnavailable as error:
        raise StorageUnavailable(
            f"Redis can't be reached at {place.shown}: {str(error).removeprefix(PREFIX)}\n"
            "Is it running there? Give another address with --redis or ASYNCJOBS_REDIS."
        ) from error
