"""Recurring jobs whose schedule was set by hand."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.storage.base import Changed, Fired, Put, Renewed
from asyncjobs.storage.conformance.recurring import HOUR, ID, Recurring
from asyncjobs.storage.conformance.scene import Scene


async def reschedule(
    nightly: Recurring, text: str, known: str, next_ms: int, timing: str = "daily"
) -> Changed:
    """Give it the definition `text`, made from the revision `known`."""
    declared = (await nightly.record()).declared
    new = nightly.new(text, timing=timing, declared=declared)
    return await nightly.storage.reschedule_recurring(new, known, next_ms)


class RecurringRescheduledTests:
    """`reschedule_recurring`, and what becomes of declarations then."""

    @pytest.fixture
    def nightly(self, scene: Scene) -> Recurring:
        """A recurring job that isn't put yet."""
        return Recurring(scene)

    async def test_it_occurs_by_its_new_schedule(self, nightly: Recurring) -> None:
        await nightly.put()
        old = nightly.next
        await nightly.fire(expected_ms=old)
        at = nightly.scene.clock() + 5 * HOUR

        assert await reschedule(nightly, "two", "one", at) is Changed.DONE

        record = await nightly.record()
        assert (record.definition, record.revision, record.next_ms) == (b"two", "two", at)
        assert (record.original, record.fired, record.last_ms) == (None, 1, old)
        nightly.next = at
        await nightly.come()
        assert await nightly.fire(revision="one") is Fired.LOST
        assert await nightly.fire(revision="two") is Fired.FIRED

    async def test_one_that_has_changed_or_is_not_there(self, nightly: Recurring) -> None:
        new = nightly.new("two")
        assert await nightly.storage.reschedule_recurring(new, "one", 5) is Changed.MISSING
        await nightly.put()
        before = await nightly.record()
        assert await nightly.storage.reschedule_recurring(new, "other", 5) is Changed.OUTDATED
        assert await nightly.record() == before

    async def test_the_next_time_stays_if_the_timing_does(self, nightly: Recurring) -> None:
        await nightly.put()
        assert await reschedule(nightly, "two", "one", 5, "hourly") is Changed.DONE
        assert (await nightly.record()).next_ms == nightly.next

    async def test_a_paused_one_stays_paused(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.storage.pause_recurring(ID)
        assert await reschedule(nightly, "two", "one", 5) is Changed.DONE
        record = await nightly.record()
        assert (record.paused, record.next_ms) == (True, None)

    async def test_one_that_waits_waits_no_longer(self, nightly: Recurring) -> None:
        await nightly.put()
        await nightly.come()
        await nightly.fire()
        await nightly.come()
        assert await nightly.fire(overlap="queue") is Fired.WAITS
        at = nightly.scene.clock() + HOUR
        await reschedule(nightly, "two", "one", at)
        record = await nightly.record()
        assert (record.waiting, record.next_ms) == (False, at)

    async def test_workers_that_declare_it_leave_it_so(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        at = nightly.scene.clock() + 50 * HOUR
        await reschedule(nightly, "two", "one", at)
        for starting in (False, True):
            assert await nightly.renew("one", starting=starting) is Renewed.RENEWED
        for _ in range(3):
            nightly.scene.clock.advance(60_000)
            assert await nightly.renew("one") is Renewed.RENEWED
        record = await nightly.record()
        assert (record.definition, record.original, record.next_ms) == (b"two", b"one", at)
        assert (record.declared, record.orphaned) == (True, False)

    async def test_a_second_time_the_original_is_still_the_codes(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        await reschedule(nightly, "two", "one", 5)
        await reschedule(nightly, "three", "two", 6, "weekly")
        record = await nightly.record()
        assert (record.definition, record.original, record.next_ms) == (b"three", b"one", 6)
        assert await nightly.renew("one") is Renewed.RENEWED

    async def test_rescheduling_it_to_the_original_undoes_it(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        await reschedule(nightly, "two", "one", 5)
        at = nightly.scene.clock() + HOUR
        assert await reschedule(nightly, "one", "two", at, "hourly") is Changed.DONE
        record = await nightly.record()
        assert (record.definition, record.original, record.next_ms) == (b"one", None, at)
        assert await nightly.renew("one") is Renewed.RENEWED
        assert await nightly.renew("two") is Renewed.OTHER

    async def test_a_changed_declaration_counts_again(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        await reschedule(nightly, "two", "one", 5)
        assert await nightly.renew("new") is Renewed.OTHER
        assert await nightly.renew("new", starting=True) is Renewed.WANTED
        assert await nightly.put("new", declared=True) is Put.MOVED
        record = await nightly.record()
        assert (record.definition, record.original) == (b"new", None)

    async def test_an_orphan_gets_no_next_time(self, nightly: Recurring) -> None:
        await nightly.put(declared=True)
        await nightly.silence()
        assert await reschedule(nightly, "two", "one", 5) is Changed.DONE
        record = await nightly.record()
        assert (record.orphaned, record.next_ms) == (True, None)
        assert await nightly.renew("one") is Renewed.WANTED
