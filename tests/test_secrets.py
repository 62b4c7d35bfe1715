"""Secret arguments and results: run as they are, shown to nobody."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import pytest

from asyncjobs import Client, Registry, Worker
from asyncjobs.errors import DefinitionError, OptionError
from asyncjobs.serialization import SecretsOf
from asyncjobs.storage.memory import MemoryStorage
from asyncjobs_dashboard.payloads import arguments, in_one_line, result

DOTS = "••••••"


@dataclass
class Account:
    user: str


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def test_a_job_gets_what_only_it_may_see(registry: Registry) -> None:
    seen: list[tuple[str, str]] = []

    @registry.job(secret=["password", "return"])
    async def sign_in(user: str, password: str = "none") -> str:
        seen.append((user, password))
        return f"token of {user}"

    async with Client(MemoryStorage(), registry=registry) as client:
        by_place = await client.enqueue(sign_in, "ada", "sesame")
        by_name = await client.enqueue(sign_in, "ada", password="sesame")
        left_out = await client.enqueue(sign_in, "ada")
        async with Worker(registry, client) as worker:
            await worker.until_empty()
        assert seen == [("ada", "sesame"), ("ada", "sesame"), ("ada", "none")]
        assert await by_place.result() == "token of ada"

        assert by_place.arguments() == (["ada", "sesame"], {})
        assert repr(by_place.arguments(masked=True)) == f"(['ada', {DOTS}], {{}})"
        assert repr(by_name.arguments(masked=True)) == f"(['ada'], {{'password': {DOTS}}})"
        assert left_out.arguments(masked=True) == (["ada"], {})
        assert client.hides_result(left_out.record)


@pytest.mark.parametrize("known", [True, False])
async def test_a_dashboard_shows_dots_also_of_what_it_does_not_know(registry: Registry, known: bool) -> None:
    @registry.job(secret=["password", "return"])
    async def sign_in(account: Account, password: str, **more: str) -> Account:
        return account

    storage = MemoryStorage()
    async with Client(storage, registry=registry) as client:
        job = await client.enqueue(sign_in, Account("ada"), password="sesame", hint="shown")
        async with Worker(registry, client) as worker:
            await worker.until_empty()
        async with Client(storage, registry=registry if known else None) as looking:
            record = await looking.read(job.id)
            shown = arguments(looking, record)
            assert {item.name: item.text for item in shown.items}["password"] == DOTS
            assert "sesame" not in repr(shown)
            assert "ada" in repr(shown)
            assert "shown" in repr(shown)
            line = in_one_line(looking, record)
            assert "sesame" not in line
            assert f"password={DOTS}" in line
            assert result(looking, record).text == DOTS


async def test_results_of_others_are_shown(registry: Registry) -> None:
    @registry.job(secret=["password"])
    async def sign_in(password: str) -> str:
        return "welcome"

    async with Client(MemoryStorage(), registry=registry) as client:
        job = await client.enqueue(sign_in, "sesame")
        async with Worker(registry, client) as worker:
            await worker.until_empty()
        assert result(client, await client.read(job.id)).text == "'welcome'"


async def test_a_call_can_have_secrets_of_its_own(registry: Registry) -> None:
    @registry.job
    async def store(value: str) -> None: ...

    async with Client(MemoryStorage(), registry=registry) as client:
        job = await client.enqueue(store.call("x").options(secret=["value"]))
        assert repr(job.arguments(masked=True)) == f"([{DOTS}], {{}})"
        job = await client.enqueue(store.options(secret=["value"]), "x")
        assert repr(job.arguments(masked=True)) == f"([{DOTS}], {{}})"
        assert (await client.enqueue(store, "x")).arguments(masked=True) == (["x"], {})


def every(first: str, /, second: str = "", *rest: str, third: str = "", **others: str) -> None: ...


@pytest.mark.parametrize(
    ("secret", "args", "kwargs", "marks"),
    [
        (["first"], ("a",), {}, [0]),
        (["first"], ("a",), {"first": "b"}, [0]),
        (["second"], ("a",), {}, []),
        (["second"], ("a",), {"second": "b"}, ["second"]),
        (["rest"], ("a", "b", "c", "d"), {}, [2, 3]),
        (["third"], ("a", "b", "c", "d"), {"third": "e"}, ["third"]),
        (["others"], ("a",), {"third": "b", "x": "c", "y": "d"}, ["x", "y"]),
        (["return"], (), {}, ["return"]),
    ],
)
def test_what_is_marked(
    secret: list[str], args: tuple[str, ...], kwargs: dict[str, str], marks: list[Any]
) -> None:
    assert SecretsOf("every", inspect.signature(every), secret).marks(args, kwargs) == marks


def test_names_that_are_no_parameters(registry: Registry) -> None:
    with pytest.raises(DefinitionError, match="'pasword', which is no parameter"):

        @registry.job(secret=["pasword"])
        async def sign_in(password: str) -> None: ...

    for wrong in ("password", [1], 5):
        with pytest.raises(OptionError, match="give a list"):

            @registry.job(secret=wrong)  # type: ignore[arg-type]
            async def sign_out(password: str) -> None: ...
