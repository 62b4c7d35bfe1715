"""Batches that can't be waited for: those that wait for the one who would, and those not there yet."""

from __future__ import annotations

import pytest

from asyncjobs import BatchBuilder, Client, Registry, Retry
from asyncjobs.errors import OptionError, ParentGone
from tests.worker.conftest import StartWorker
from tests.worker.steps import Steps

OWN = "can't wait for that batch"


@pytest.fixture
def registry() -> Registry:
    return Registry(retry=Retry(max_retries=0))


@pytest.fixture
def steps(registry: Registry) -> Steps:
    return Steps(registry)


class TestItsOwn:
    async def test_of_one_that_is_being_built(
        self, client: Client, steps: Steps, start_worker: StartWorker
    ) -> None:
        async with client.batch() as outer:
            job = outer.enqueue(steps.step, "job")
            with pytest.raises(OptionError, match=f"a job in batch {outer.id} {OWN}"):
                outer.continue_with(outer, steps.step, "never")
            with outer.batch() as middle, middle.batch() as inner:
                for around in (outer, middle, inner):
                    with pytest.raises(OptionError, match=f"a job in batch {around.id} {OWN}"):
                        inner.continue_with([job, around], steps.step.call("never"), on="finished")
                inner.continue_with(job, steps.step, "inner")
            outer.continue_with([inner, middle], steps.step, "outer")
            with outer.batch() as sibling:
                sibling.continue_with(inner, steps.step, "sibling")
        await start_worker()
        assert (await client.batch_of(outer.id).wait(timeout=10)).state == "succeeded"
        assert sorted(steps.ran) == ["inner", "job", "outer", "sibling"]

    async def test_of_one_that_is_nested_in_a_stored_one(self, client: Client, steps: Steps) -> None:
        async with client.batch() as outer:
            with outer.batch() as middle:
                middle.enqueue(steps.step, "middle")
        stored = await client.get_batch(middle.id)
        assert stored is not None

        def refuses(builder: BatchBuilder) -> None:
            for around in (stored, middle, outer, client.batch_of(outer.id)):
                with pytest.raises(OptionError, match=OWN):
                    builder.continue_with(around, steps.step, "never")

        async with stored.batch() as late:
            refuses(late)
            with late.batch() as inner:
                refuses(inner)
        async with client.batch_of(middle.id).batch() as unseen:
            with pytest.raises(OptionError, match=OWN):
                unseen.continue_with(stored, steps.step, "never")
        assert await client.count("awaiting") == 0

    async def test_of_a_stored_one(self, client: Client, steps: Steps) -> None:
        async with client.batch() as outer:
            with outer.batch() as inner:
                job = inner.enqueue(steps.step, "inner")
        stored = await client.get_batch(inner.id)
        assert stored is not None
        for around in (stored, inner, outer, client.batch_of(outer.id)):
            with pytest.raises(OptionError, match=OWN):
                await stored.continue_with([job, around], steps.step, "never")
        with pytest.raises(OptionError, match=OWN):
            await client.batch_of(inner.id).continue_with(stored, steps.step, "never")
        child = await client.batch_of(outer.id).continue_with(stored, steps.step, "outer")
        assert (child.batch, await client.count("awaiting")) == (outer.id, 1)


class TestOneThatIsNotThereYet:
    async def test_of_a_client(self, client: Client, steps: Steps, start_worker: StartWorker) -> None:
        async with client.batch() as before:
            pass
        async with client.batch() as outer:
            job = outer.enqueue(steps.step, "job")
            with outer.batch() as inner:
                inner.enqueue(steps.step, "inner")
            for batch in (outer, inner):
                assert not batch.is_committed
                with pytest.raises(OptionError, match=f"batch {batch.id} isn't committed: continue it when"):
                    await client.continue_with(batch, steps.step, "never")
            with pytest.raises(ParentGone, match="in a batch is created when that is committed"):
                await client.continue_with(job, steps.step, "never")
            outer.continue_with(inner, steps.step, "after inner")
            stored = client.batch_of(before.id)
            with pytest.raises(OptionError, match=f"batch {outer.id} isn't committed"):
                await stored.continue_with(outer, steps.step, "never")
        assert outer.is_committed
        assert inner.is_committed
        after = await client.continue_with([outer, inner], steps.step, "after")
        await start_worker()
        await after.result(timeout=10)
        assert sorted(steps.ran) == ["after", "after inner", "inner", "job"]

    async def test_one_that_was_left_out(self, client: Client, steps: Steps) -> None:
        async with client.batch() as outer:
            with pytest.raises(ZeroDivisionError), outer.batch() as middle:  # noqa: PT012 - the block raises
                inner = middle.batch()
                raise ZeroDivisionError
        with pytest.raises(ZeroDivisionError):
            async with client.batch() as never:
                raise ZeroDivisionError
        assert outer.is_committed
        for left_out in (middle, inner, never):
            with pytest.raises(OptionError, match="isn't committed"):
                await client.continue_with(left_out, steps.step, "never")

    async def test_one_builder_may_wait_for_another_that_is_committed_first(
        self, client: Client, steps: Steps, start_worker: StartWorker
    ) -> None:
        first, second = client.batch(), client.batch()
        first.enqueue(steps.step, "first")
        second.continue_with(first, steps.step, "second")
        await first.commit()
        await second.commit()
        await start_worker()
        await client.batch_of(second.id).wait(timeout=10)
        assert steps.ran == ["first", "second"]
