"""Creating jobs."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.ids import new_id
from asyncjobs.storage.base import STUB_MS, Created, Deleted, JobRecord, State
from asyncjobs.storage.conformance.scene import Scene


class CreatingTests:
    """`create`."""

    async def test_no_jobs_at_all_are_made_at_once(self, scene: Scene) -> None:
        assert await scene.storage.create([]) == []

    async def test_a_new_job_is_enqueued_and_reads_back_as_it_was_given(self, scene: Scene) -> None:
        job = scene.new_job(
            "mail", payload=b"\x00\xffarguments", options=b"\x01", priority=7, max_recoveries=5
        )
        now = scene.clock()

        assert await scene.storage.create([job]) == [Created.CREATED]

        assert await scene.storage.get(job.id) == JobRecord(
            id=job.id,
            name="module.function",
            queue="mail",
            state=State.ENQUEUED,
            payload=b"\x00\xffarguments",
            options=b"\x01",
            priority=7,
            created_ms=now,
            enqueued_ms=now,
        )

    @pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 127, 128, 129, 1023, 1024, 1025, 5_000, 200_000])
    async def test_arguments_of_any_size_come_back_whole(self, scene: Scene, size: int) -> None:
        payload = bytes(at % 251 for at in range(size))
        job_id = await scene.create(payload=payload)
        worker = await scene.worker()

        assert (await scene.record(job_id)).payload == payload
        assert (await worker.take_one()).payload == payload

    async def test_creating_an_id_again_changes_nothing(self, scene: Scene) -> None:
        job = scene.new_job(payload=b"first")
        await scene.storage.create([job])
        job.payload = b"second"

        assert await scene.storage.create([job]) == [Created.EXISTS]

        assert (await scene.record(job.id)).payload == b"first"
        assert await scene.listed(State.ENQUEUED) == [job.id]

    async def test_creating_an_id_again_that_runs_already_changes_nothing(self, scene: Scene) -> None:
        job = scene.new_job()
        await scene.storage.create([job])
        worker = await scene.worker()
        await worker.take_one()

        assert await scene.storage.create([job]) == [Created.EXISTS]

        assert await scene.state(job.id) is State.PROCESSING
        assert await worker.take() == []

    async def test_one_call_creates_many_and_answers_for_each_in_order(self, scene: Scene) -> None:
        first, second, third = scene.new_job(), scene.new_job(delay_ms=5), scene.new_job(priority=1)
        await scene.storage.create([second])

        codes = await scene.storage.create([first, second, third, first])

        assert codes == [Created.CREATED, Created.EXISTS, Created.CREATED, Created.EXISTS]
        assert await scene.listed(State.ENQUEUED) == [third.id, first.id]

    async def test_a_job_is_on_the_shard_that_its_id_names(self, scene: Scene) -> None:
        shards = range(scene.storage.shards)
        jobs = [scene.new_job(id=new_id(shard)) for shard in shards]

        assert await scene.storage.create(jobs) == [Created.CREATED for _ in shards]

        for shard in shards:
            assert await scene.storage.purge(shard, "default", 10) == (1, False)
            assert await scene.storage.get(jobs[shard].id) is None

    async def test_a_delayed_job_is_scheduled(self, scene: Scene) -> None:
        job_id = await scene.create(delay_ms=1_500)

        record = await scene.record(job_id)

        assert record.state is State.SCHEDULED
        assert record.due_ms == scene.clock() + 1_500
        assert record.enqueued_ms == 0
        assert await scene.length() == 0

    async def test_a_job_due_at_a_time_to_come_is_scheduled(self, scene: Scene) -> None:
        due = scene.clock() + 1
        job_id = await scene.create(due_ms=due)

        assert await scene.state(job_id) is State.SCHEDULED
        assert (await scene.record(job_id)).due_ms == due

    async def test_a_job_due_now_or_earlier_is_enqueued(self, scene: Scene) -> None:
        now = await scene.create(due_ms=scene.clock())
        earlier = await scene.create(due_ms=scene.clock() - 1_000)

        assert await scene.listed(State.ENQUEUED) == [now, earlier]
        assert (await scene.record(now)).due_ms == 0

    async def test_of_a_delay_and_a_due_time_the_later_counts(self, scene: Scene) -> None:
        now = scene.clock()
        by_delay = await scene.create(delay_ms=500, due_ms=now + 100)
        by_time = await scene.create(delay_ms=100, due_ms=now + 500)

        assert (await scene.record(by_delay)).due_ms == now + 500
        assert (await scene.record(by_time)).due_ms == now + 500

    async def test_a_removed_job_is_not_revived_by_its_create_sent_again(self, scene: Scene) -> None:
        job = scene.new_job()
        await scene.storage.create([job])
        assert await scene.storage.delete(job.id) is Deleted.DELETED
        scene.clock.advance(STUB_MS - 1)

        assert await scene.storage.create([job]) == [Created.EXISTS]

        assert await scene.storage.get(job.id) is None
        assert await scene.length() == 0

    async def test_a_queue_is_known_from_its_first_job(self, scene: Scene) -> None:
        await scene.create("mail")
        await scene.create("reports", delay_ms=1_000)

        assert [queue.name for queue in await scene.storage.queues()] == ["mail", "reports"]

    async def test_an_enqueued_job_puts_its_queues_marker(self, scene: Scene) -> None:
        await scene.create("mail")
        await scene.create("urgent", priority=3)

        assert await scene.take_marker("mail") == "mail"
        assert await scene.take_marker("urgent") == "urgent"
        assert await scene.take_marker("mail", "urgent") is None

    async def test_a_scheduled_job_puts_the_marker_only_if_it_is_the_earliest(self, scene: Scene) -> None:
        await scene.create(delay_ms=1_000)
        assert await scene.take_marker() == "default"

        await scene.create(delay_ms=1_000)
        await scene.create(delay_ms=2_000)
        assert await scene.take_marker() is None

        await scene.create(delay_ms=500)
        assert await scene.take_marker() == "default"

    async def test_creating_in_a_paused_queue_puts_no_marker(self, scene: Scene) -> None:
        await scene.storage.pause("default")

        await scene.create()
        await scene.create(delay_ms=1_000)

        assert await scene.take_marker() is None
        assert await scene.length() == 1
