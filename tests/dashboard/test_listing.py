"""Paging, and finding jobs by looking through a bounded part of a list."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncjobs import Client, Registry, State
from asyncjobs.errors import OptionError
from asyncjobs.storage.memory import MemoryStorage
from asyncjobs_dashboard import listing as listing_module
from asyncjobs_dashboard.listing import Filter, find
from asyncjobs_dashboard.payloads import arguments, in_one_line

DAY = datetime(2040, 1, 1, tzinfo=UTC)


@pytest.fixture
def work(registry: Registry) -> Any:
    @registry.job(name="work")
    async def work(number: int) -> None: ...

    return work


async def numbers(client: Client, wanted: Filter, **options: Any) -> list[int]:
    options = {"offset": 0, "limit": 100, "newest_first": False} | options
    found = await find(client, State.SCHEDULED, wanted, **options)
    return [client.unpack_arguments(job)[0][0] for job in found.jobs]


@pytest.mark.parametrize("newest_first", [False, True])
async def test_every_page_and_only_once(
    client: Client, work: Any, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    monkeypatch.setattr(listing_module, "STEP", 4)
    for number in range(23):
        await client.enqueue_at(DAY + timedelta(minutes=number), work, number)
    for wanted in (Filter(), Filter(name="WOR"), Filter(text="1")):
        seen: list[int] = []
        offset, more = 0, True
        while more:
            page = await find(
                client, State.SCHEDULED, wanted, offset=offset, limit=5, newest_first=newest_first
            )
            seen += [client.unpack_arguments(job)[0][0] for job in page.jobs]
            assert page.end > offset
            offset, more = page.end, page.more
        expected = [number for number in range(23) if not wanted.text or wanted.text in str(number)]
        assert seen == (expected[::-1] if newest_first else expected)


async def test_by_time(client: Client, work: Any) -> None:
    for number in range(20):
        await client.enqueue_at(DAY + timedelta(minutes=number), work, number)
    wanted = Filter(since="2040-01-01T00:05", until="2040-01-01T00:08")
    assert await numbers(client, wanted) == [5, 6, 7]
    assert await numbers(client, wanted, newest_first=True) == [7, 6, 5]
    assert await numbers(client, Filter(since="2040-01-01T01:00")) == []
    assert await numbers(client, Filter(until="2040-01-01T00:02+00:00")) == [0, 1]


async def test_a_time_in_a_long_list_is_found_by_halving(memory: Client, work: Any) -> None:
    for number in range(1000):
        await memory.enqueue_at(DAY + timedelta(minutes=number), work, number)
    read = 0
    jobs = memory.storage.jobs

    async def counted(*args: Any, **options: Any) -> Any:
        nonlocal read
        page = await jobs(*args, **options)
        read += len(page.jobs)
        return page

    memory.storage.jobs = counted  # type: ignore[method-assign]
    assert await numbers(memory, Filter(since="2040-01-01T12:00", until="2040-01-01T12:02")) == [720, 721]
    assert read < 250


async def test_how_far_it_looks_is_bounded(
    memory: Client, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_module, "STEP", 10)
    monkeypatch.setattr(listing_module, "LOOK", 30)
    for number in range(100):
        await memory.enqueue_at(DAY + timedelta(minutes=number), work, number)
    wanted = Filter(text="99")
    page = await find(memory, State.SCHEDULED, wanted, offset=0, limit=5, newest_first=False)
    assert (page.jobs, page.looked, page.end, page.more) == ([], 30, 30, True)
    page = await find(memory, State.SCHEDULED, wanted, offset=90, limit=5, newest_first=False)
    assert (len(page.jobs), page.more) == (1, False)


@pytest.mark.parametrize("text", ["yesterday", "2040-13-01", "12:00"])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(OptionError, match="since"):
        Filter.of({"since": text})


@dataclass
class Address:
    city: str
    tags: set[str]


async def test_arguments_of_types_that_are_not_known_here() -> None:
    storage = MemoryStorage()
    knows = Registry()
    knows.register_type(Address)

    @knows.job(name="ship")
    async def ship(to: Address, when: datetime, *, count: int = 1) -> None: ...

    async with Client(storage, registry=knows) as client, Client(storage) as stranger:
        job = await client.enqueue(ship, Address("Berlin", {"a"}), DAY, count=2**70)
        record = await client.read(job.id)
        known = arguments(client, record)
        assert [item.name for item in known.items] == ["to", "when", "count"]
        assert known.hint == ""
        told = arguments(stranger, record)
        assert [item.name for item in told.items] == ["1", "2", "count"]
        assert "Address(city='Berlin'" in told.items[0].text
        assert told.items[1].text.startswith("datetime.datetime(2040")
        assert told.items[2].text == str(2**70)
        assert "app:registry" in told.hint
        assert "Berlin" in in_one_line(stranger, record)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x93", b"\xc7\x03\x0cabc", b"\xd4\x0b\xd4" * 400, b"x"])
async def test_arguments_that_are_nonsense(memory: Client, work: Any, payload: bytes) -> None:
    record = await memory.read((await memory.enqueue(work, 1)).id)
    record.payload = payload
    assert isinstance(in_one_line(memory, record), str)
    arguments(memory, record)


async def test_very_deep_arguments_do_no_harm(memory: Client, work: Any) -> None:
    nested = b"\xc0"
    for _ in range(2000):
        nested = _inside(nested)
    record = await memory.read((await memory.enqueue(work, 1)).id)
    record.payload = b"\x91\x91" + nested
    assert "…" in in_one_line(memory, record)


def _inside(value: bytes) -> bytes:
    """A dataclass `A` with a value in its field."""
    data = b"\x92\xa1A\x81\xa1f" + value
    return b"\xc9" + len(data).to_bytes(4, "big") + b"\x0c" + data
