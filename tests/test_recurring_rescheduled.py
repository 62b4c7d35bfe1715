"""Recurring jobs that get another schedule by hand; in memory, at a time that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from asyncjobs import Client, Registry
from asyncjobs.errors import OptionError, RecurringNotFound
from asyncjobs.recurrence import checked_options, recurrence_of
from asyncjobs.schedules import Cron, Every
from asyncjobs.storage.conformance import MovableClock
from asyncjobs.storage.memory import MemoryStorage

NOON = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1000)

registry = Registry()


@registry.job(queue="backups")
async def backup(what: str = "all") -> str:
    return what


@pytest.fixture(params=[1, 3])
def storage(request: pytest.FixtureRequest) -> MemoryStorage:
    return MemoryStorage(request.param, MovableClock(NOON))


@pytest.fixture
async def client(storage: MemoryStorage) -> AsyncIterator[Client]:
    async with Client(storage, registry=registry) as client:
        yield client


async def test_only_the_schedule_becomes_another(client: Client) -> None:
    put = await client.recurring.put(
        *("nightly", "0 3 * * *", backup.call("disks")),
        timezone="Europe/Berlin",
        overlap="skip",
        jitter=30,
        end=datetime(2027, 1, 1, tzinfo=UTC),
    )
    made = await client.recurring.reschedule("nightly", "30 4 * * *")

    assert made.schedule == Cron("30 4 * * *", "Europe/Berlin")
    assert made.next_at == datetime(2026, 6, 2, 2, 30, tzinfo=UTC)
    assert (made.overlap, made.jitter, made.end) == (put.overlap, put.jitter, put.end)
    assert (made.name, made.queue, made.rescheduled, made.declared) == (put.name, put.queue, False, False)
    made = await client.recurring.reschedule("nightly", "30 4 * * *", timezone="Asia/Tokyo")
    assert made.next_at == datetime(2026, 6, 1, 19, 30, tzinfo=UTC)
    made = await client.recurring.reschedule("nightly", timedelta(hours=5))
    assert made.schedule == Every(timedelta(hours=5))
    assert (await client.recurring.trigger("nightly")).arguments() == (["disks"], {})


async def test_a_declared_one_can_be_reset(client: Client, storage: MemoryStorage) -> None:
    declared = recurrence_of("nightly", backup.call(), checked_options("0 * * * *"))
    new = declared.new(declared=True)
    await storage.put_recurring(new, declared.next_after(NOON))
    before = await client.recurring.get("nightly")

    made = await client.recurring.reschedule("nightly", "30 4 * * *")
    assert (made.rescheduled, made.declared, made.next_at) == (
        True,
        True,
        datetime(2026, 6, 2, 4, 30, tzinfo=UTC),
    )
    assert await client.recurring.reset("nightly") == before
    assert await client.recurring.reset("nightly") == before


async def test_times_are_shown_before_they_count(client: Client) -> None:
    await client.recurring.put("nightly", "0 3 * * *", backup.call(), end=datetime(2026, 6, 4, tzinfo=UTC))
    first = datetime(2026, 6, 2, 3, tzinfo=UTC)
    assert await client.recurring.preview("nightly") == [first, first + timedelta(days=1)]
    assert await client.recurring.preview("nightly", "0 */6 * * *", count=2) == [
        datetime(2026, 6, 1, 18, tzinfo=UTC),
        datetime(2026, 6, 2, tzinfo=UTC),
    ]
    made = await client.recurring.get("nightly")
    assert made is not None
    assert made.next_at == first


async def test_schedules_that_cannot_be(client: Client) -> None:
    with pytest.raises(RecurringNotFound):
        await client.recurring.reschedule("nightly", "0 3 * * *")
    put = await client.recurring.put(
        "nightly", "0 3 * * *", backup.call(), jitter=60, end=datetime(2026, 6, 4, tzinfo=UTC)
    )
    for wrong in ("61 3 * * *", "@yearly", timedelta(seconds=30)):
        with pytest.raises(OptionError):
            await client.recurring.reschedule("nightly", wrong)
    with pytest.raises(OptionError):
        await client.recurring.reschedule("nightly", "0 3 * * *", timezone="Nowhere/Land")
    with pytest.raises(OptionError):
        await client.recurring.preview("nightly", count=0)
    assert await client.recurring.get("nightly") == put
    with pytest.raises(RecurringNotFound):
        await client.recurring.reset("other")
