"""What readers see: jobs, lists, queues, numbers, progress and logs."""
# ruff: noqa: D102 - the name of a test says what it checks

from __future__ import annotations

import pytest

from asyncjobs.ids import new_id
from asyncjobs.storage.base import LOG_LIMIT, LogLine, Note, Outcome, QueueRecord, State
from asyncjobs.storage.conformance.scene import Scene


class ReadingTests:
    """`get`, `jobs`, `held`, `queues`, `stats`, `annotate`, `logs`."""

    async def test_a_job_that_was_never_made_is_not_there(self, scene: Scene) -> None:
        job_id = scene.new_id()

        assert await scene.storage.get(job_id) is None
        assert await scene.storage.history(job_id) == []
        assert await scene.storage.logs(job_id) == []

    # -- lists --

    async def test_a_page_holds_some_jobs_and_the_number_of_all(self, scene: Scene) -> None:
        jobs = await scene.create_many(5)

        page = await scene.storage.jobs(State.ENQUEUED, queue="default", offset=1, limit=2)
        assert [job.id for job in page.jobs] == jobs[1:3]
        assert page.total == 5
        assert page.jobs[0] == await scene.record(jobs[1])

        page = await scene.storage.jobs(State.ENQUEUED, queue="default", offset=4, limit=2)
        assert ([job.id for job in page.jobs], page.total) == (jobs[4:], 5)

        page = await scene.storage.jobs(State.ENQUEUED, queue="default", offset=9, limit=2)
        assert (page.jobs, page.total) == ([], 5)

    async def test_what_a_worker_holds(self, scene: Scene) -> None:
        jobs = await scene.create_many(4)
        worker, other = await scene.worker(), await scene.worker()
        taken = [grant.id for grant in await worker.take(3)]
        await other.take(1)

        held = await scene.storage.held(worker.id)
        assert ([job.id for job in held.jobs], held.total) == (sorted(taken), 3)
        assert held.jobs[0] == await scene.record(sorted(taken)[0])

        held = await scene.storage.held(worker.id, limit=2)
        assert ([job.id for job in held.jobs], held.total) == (sorted(taken)[:2], 3)
        assert {job.id for job in (await scene.storage.held(other.id)).jobs} == set(jobs) - set(taken)
        held = await scene.storage.held("nobody")
        assert (held.jobs, held.total) == ([], 0)

    async def test_pages_of_a_queue_with_priorities_go_on_where_the_last_one_ended(
        self, scene: Scene
    ) -> None:
        for priority in (0, -3, 5, 0, 5, -3, 0):
            await scene.create(priority=priority)
            scene.clock.advance(1)
        whole = await scene.listed(State.ENQUEUED, "default")
        pages = [
            await scene.storage.jobs(State.ENQUEUED, queue="default", offset=at, limit=2)
            for at in range(0, 8, 2)
        ]

        assert [job.id for page in pages for job in page.jobs] == whole
        assert {page.total for page in pages} == {7}

    async def test_a_page_can_begin_with_the_newest(self, scene: Scene) -> None:
        for priority in (0, -3, 5, 0, 5, -3, 0):
            await scene.create(priority=priority)
            scene.clock.advance(1)
        whole = await scene.listed(State.ENQUEUED, "default")

        pages = [
            await scene.storage.jobs(State.ENQUEUED, queue="default", offset=at, limit=3, newest_first=True)
            for at in range(0, 9, 3)
        ]

        assert [job.id for page in pages for job in page.jobs] == whole[::-1]

    async def test_enqueued_jobs_are_listed_queue_by_queue(self, scene: Scene) -> None:
        second = await scene.create_many(2, "b")
        first = await scene.create_many(2, "a")

        assert await scene.listed(State.ENQUEUED) == first + second
        assert await scene.listed(State.ENQUEUED, "b") == second
        page = await scene.storage.jobs(State.ENQUEUED, offset=1, limit=2)
        assert ([job.id for job in page.jobs], page.total) == ([first[1], second[0]], 4)

    async def test_jobs_of_a_queue_that_was_never_seen_are_none(self, scene: Scene) -> None:
        assert await scene.listed(State.ENQUEUED, "nowhere") == []

    async def test_waiting_jobs_are_listed_by_due_time(self, scene: Scene) -> None:
        later = await scene.create(delay_ms=300)
        sooner = await scene.create(delay_ms=100)
        middle = await scene.create(delay_ms=200)

        assert await scene.listed(State.SCHEDULED) == [sooner, middle, later]
        page = await scene.storage.jobs(State.SCHEDULED, offset=1, limit=1, newest_first=True)
        assert ([job.id for job in page.jobs], page.total) == ([middle], 3)

    async def test_running_jobs_are_listed_by_worker(self, scene: Scene) -> None:
        first, second, third = await scene.create_many(3)
        one, two = await scene.worker(), await scene.worker()
        await two.take()
        await one.take()
        await two.take()

        assert await scene.listed(State.PROCESSING) == [second, first, third]
        page = await scene.storage.jobs(State.PROCESSING, offset=1, limit=1)
        assert ([job.id for job in page.jobs], page.total) == ([first], 3)

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    async def test_finished_jobs_are_listed_by_the_time_they_ended(self, scene: Scene, state: State) -> None:
        jobs: list[str] = []
        for _ in range(3):
            jobs.append(await scene.finished(state))
            scene.clock.advance(1)

        assert await scene.listed(state) == jobs
        page = await scene.storage.jobs(state, limit=2, newest_first=True)
        assert ([job.id for job in page.jobs], page.total) == (jobs[:0:-1], 3)

    async def test_lists_span_all_shards(self, scene: Scene) -> None:
        jobs: list[str] = []
        for delay in range(1, 8):
            job = scene.new_job(id=new_id(delay % scene.storage.shards), delay_ms=delay)
            await scene.storage.create([job])
            jobs.append(job.id)

        assert await scene.listed(State.SCHEDULED) == jobs
        page = await scene.storage.jobs(State.SCHEDULED, offset=2, limit=3)
        assert ([job.id for job in page.jobs], page.total) == (jobs[2:5], 7)
        page = await scene.storage.jobs(State.SCHEDULED, offset=2, limit=3, newest_first=True)
        assert [job.id for job in page.jobs] == jobs[4:1:-1]

    async def test_states_that_no_job_is_in_are_empty_lists(self, scene: Scene) -> None:
        for state in State:
            page = await scene.storage.jobs(state)
            assert (page.jobs, page.total) == ([], 0)

    # -- queues and numbers --

    async def test_a_queue_tells_its_length_and_how_long_its_head_has_waited(self, scene: Scene) -> None:
        first = await scene.create("mail")
        began = scene.clock()
        scene.clock.advance(10)
        await scene.create("mail")
        await scene.create("empty", delay_ms=5)

        assert await scene.storage.queues() == [
            QueueRecord(name="empty", length=0, paused=False, oldest_ms=None),
            QueueRecord(name="mail", length=2, paused=False, oldest_ms=began),
        ]

        await scene.storage.cancel(first, "request1")
        assert (await scene.storage.queues())[1] == QueueRecord(
            name="mail", length=1, paused=False, oldest_ms=began + 10
        )

    async def test_a_queue_of_many_shards_is_one(self, scene: Scene) -> None:
        for shard in range(scene.storage.shards):
            await scene.storage.create([scene.new_job(id=new_id(shard))])
            scene.clock.advance(1)

        (record,) = await scene.storage.queues()

        assert record.length == scene.storage.shards
        assert record.oldest_ms == scene.clock() - scene.storage.shards

    async def test_jobs_are_counted_by_state(self, scene: Scene) -> None:
        for state, count in ((State.SUCCEEDED, 3), (State.FAILED, 2), (State.CANCELLED, 1)):
            for _ in range(count):
                await scene.finished(state)
        worker = await scene.worker()
        await scene.create()
        await worker.run(Outcome.RETRY, delay_ms=1_000)
        await scene.create_many(2)
        await worker.take(2)
        await scene.create_many(4, delay_ms=1_000)
        await scene.create_many(3)
        await scene.create_many(2, "mail", priority=3)
        await scene.storage.cancel(await scene.create(), "request1")

        stats = await scene.storage.stats()

        assert stats.now_ms == scene.clock()
        assert {state: count for state, count in stats.counts.items() if count} == {
            State.SCHEDULED: 4,
            State.ENQUEUED: 5,
            State.PROCESSING: 2,
            State.RETRYING: 1,
            State.SUCCEEDED: 3,
            State.FAILED: 2,
            State.CANCELLED: 2,
        }
        assert stats.totals == {
            "succeeded": 3,
            "failed": 2,
            "cancelled": 2,
            "retried": 1,
            "recovered": 0,
            "trimmed": 0,
        }
        assert stats.queues == await scene.storage.queues()
        assert stats.workers == 1

    async def test_an_empty_namespace_has_zeros(self, scene: Scene) -> None:
        stats = await scene.storage.stats()

        assert set(stats.counts) == set(State) - {State.STAGING}
        assert set(stats.counts.values()) == {0}
        assert set(stats.totals.values()) == {0}
        assert (stats.queues, stats.workers) == ([], 0)

    # -- progress and logs --

    async def test_a_running_job_tells_its_progress(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        assert (await scene.record(job_id)).progress is None

        await scene.storage.annotate(
            worker.id, [Note(job_id, grant.exchange, progress=0.1, message="reading")]
        )
        await scene.storage.annotate(worker.id, [Note(job_id, grant.exchange, lines=["a line"])])

        record = await scene.record(job_id)
        assert (record.progress, record.progress_message) == (0.1, "reading")

        await scene.storage.annotate(worker.id, [Note(job_id, grant.exchange, progress=1.0)])
        record = await scene.record(job_id)
        assert (record.progress, record.progress_message) == (1.0, "")

    async def test_a_requeued_job_forgets_its_progress(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        await scene.storage.annotate(worker.id, [Note(job_id, grant.exchange, progress=0.5, message="half")])
        await worker.finish(grant)
        assert (await scene.record(job_id)).progress == 0.5

        await scene.storage.requeue(job_id, "request1")

        record = await scene.record(job_id)
        assert (record.progress, record.progress_message) == (None, "")

    async def test_log_lines_are_kept_with_their_time_and_attempt(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        began = scene.clock()
        await scene.storage.annotate(
            worker.id, [Note(job_id, grant.exchange, lines=["one", "two\nlines – ü"])]
        )
        await worker.finish(grant, Outcome.RETRY)
        scene.clock.advance(10)
        grant = await worker.take_one()
        await scene.storage.annotate(worker.id, [Note(job_id, grant.exchange, lines=["three"])])

        assert await scene.storage.logs(job_id) == [
            LogLine(began, 1, "one"),
            LogLine(began, 1, "two\nlines – ü"),
            LogLine(began + 10, 2, "three"),
        ]

    async def test_the_latest_log_lines_are_kept(self, scene: Scene) -> None:
        job_id = await scene.create()
        worker = await scene.worker()
        grant = await worker.take_one()
        lines = [f"line {number}" for number in range(LOG_LIMIT + 5)]
        for at in range(0, len(lines), 300):
            await scene.storage.annotate(
                worker.id, [Note(job_id, grant.exchange, lines=lines[at : at + 300])]
            )

        assert [line.text for line in await scene.storage.logs(job_id)] == lines[5:]

    async def test_notes_of_leases_that_are_not_the_workers_are_dropped(self, scene: Scene) -> None:
        job_id, kept = await scene.create_many(2)
        worker, other = await scene.worker(), await scene.worker()
        first, second = await worker.take(2)
        notes = [
            Note(job_id, first.exchange + 1, progress=0.5, lines=["of another attempt"]),
            Note(scene.new_id(), 1, progress=0.5, lines=["of no job"]),
            Note(kept, second.exchange, progress=0.25),
        ]

        await scene.storage.annotate(worker.id, notes)
        await scene.storage.annotate(
            other.id, [Note(job_id, first.exchange, progress=0.5, lines=["of a stranger"])]
        )
        await worker.finish(first)
        await scene.storage.annotate(
            worker.id, [Note(job_id, first.exchange, progress=0.5, lines=["too late"])]
        )

        assert (await scene.record(job_id)).progress is None
        assert await scene.storage.logs(job_id) == []
        assert (await scene.record(kept)).progress == 0.25
