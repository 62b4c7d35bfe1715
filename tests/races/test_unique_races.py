"""Unique keys that fifty clients race for, with workers running meanwhile."""

from __future__ import annotations

import itertools
import re

from asyncjobs import Client, Job, State
from tests.faults.conftest import ProcessFactory, WorkerFactory
from tests.faults.ledger import Ledger
from tests.faults.observing import jobs_of
from tests.races.jobs import PERIOD, registry
from tests.races.storm import Made, storm
from tests.waiting import eventually

APP = "tests.races.jobs"
DELAY = 0.2
TOOK_ITS_PLACE = re.compile(r"job (\S+) of the same unique key took its place")


async def all_over(client: Client) -> bool:
    counts = (await client.stats()).counts
    return not any(count for state, count in counts.items() if not state.is_final)


async def made_by(client: Client, made: list[Made]) -> list[Job[object]]:
    """The jobs that are there when all is over, the first one first; nobody has any other."""
    await eventually(lambda: all_over(client), 30)
    assert await client.check() == []
    jobs = await jobs_of(client, {call.job_id for call in made})
    assert sum((await client.stats()).counts.values()) == len(jobs)
    return sorted(jobs, key=when)


def when(job: Job[object]) -> tuple[int, int, int]:
    """In the order of their lives, also if two fall into one millisecond."""
    return job.record.created_ms, job.record.started_ms, job.record.finished_ms


def ran(ledger: Ledger) -> dict[str, str]:
    """The arguments of each job that ran, which was once."""
    assert set(ledger.runs().values()) <= {1}
    return {
        line.job_id: line.event.partition("=")[2] for line in ledger.lines() if line.event.startswith("call=")
    }


async def line_of_succession(client: Client, jobs: list[Job[object]]) -> dict[str, str]:
    """Which job was replaced by which."""
    followed: dict[str, str] = {}
    for job in jobs:
        if job.state is State.CANCELLED:
            (entry,) = [entry for entry in await job.history() if entry.event == "cancelled"]
            found = TOOK_ITS_PLACE.fullmatch(entry.error_message)
            assert found is not None, entry
            followed[job.id] = found[1]
    return followed


def is_in_order(calls: list[Made]) -> bool:
    """Whether no call that began when another had been answered comes before it."""
    earliest_end = float("inf")
    for call in reversed(calls):
        if earliest_end < call.begin:
            return False
        earliest_end = min(earliest_end, call.end)
    return True


async def test_of_those_that_are_put_off_again_and_again_the_last_one_runs(
    redis_url: str, start_process: ProcessFactory, start_worker: WorkerFactory, ledger: Ledger
):
    """Debouncing: nobody runs one before its time has come without another."""
    async with Client(redis_url, registry=registry) as client:
        await client.pause("default")
        made = await storm(start_process, ledger, redis_url, "replacing", DELAY)
        assert len({call.job_id for call in made}) == len(made)
        start_worker(redis_url, app=APP)
        await client.resume("default")
        jobs = await made_by(client, made)
        followed = await line_of_succession(client, jobs)
        # Each took the place of the one before it: this is the order in which Redis saw them.
        (first,) = {call.job_id for call in made} - set(followed.values())
        order = [first]
        while order[-1] in followed:
            order.append(followed[order[-1]])
        assert len(order) == len(made)
        calls = {call.job_id: call for call in made}
        assert is_in_order([calls[job_id] for job_id in order])
        assert ran(ledger) == {order[-1]: calls[order[-1]].call}


async def test_replacing_while_workers_run_them(
    redis_url: str, start_process: ProcessFactory, start_worker: WorkerFactory, ledger: Ledger
):
    """One that runs already goes on, and nothing that was enqueued after it is lost."""
    async with Client(redis_url, registry=registry) as client:
        for _ in range(2):
            start_worker(redis_url, app=APP)
        made = await storm(start_process, ledger, redis_url, "replacing")
        jobs = await made_by(client, made)
        followed = await line_of_succession(client, jobs)
        calls = {call.job_id: call for call in made}
        assert ran(ledger) == {job_id: call.call for job_id, call in calls.items() if job_id not in followed}
        for before, after in followed.items():
            assert is_in_order([calls[before], calls[after]])
        # The last one to come has run: it was replaced by nobody.
        last = max(made, key=lambda call: call.begin)
        ends = last.job_id
        while ends in followed:
            ends = followed[ends]
        assert calls[ends].end >= last.begin
        started = [job.record.started_ms for job in jobs if job.id == ends]
        assert started[0] >= last.begin_ms


async def test_one_until_it_has_finished(
    redis_url: str, start_process: ProcessFactory, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url, registry=registry) as client:
        for _ in range(2):
            start_worker(redis_url, app=APP)
        made = await storm(start_process, ledger, redis_url, "finished")
        jobs = await made_by(client, made)
        calls = {call.call for call in made}
        assert ran(ledger).keys() == {job.id for job in jobs}
        assert calls.issuperset(ran(ledger).values())
        for before, after in itertools.pairwise(jobs):
            assert before.record.finished_ms <= after.record.created_ms
        events = [line.event for line in ledger.lines() if line.event in ("start", "end")]
        assert events == ["start", "end"] * len(jobs), "never two at once"
        known = {job.id: job.record for job in jobs}
        for call in made:
            assert known[call.job_id].finished_ms >= call.begin_ms, "it wasn't over when it was asked for"
            assert known[call.job_id].created_ms <= call.end_ms


async def test_one_until_it_has_started(
    redis_url: str, start_process: ProcessFactory, start_worker: WorkerFactory, ledger: Ledger
):
    """So whoever enqueues it knows that a run begins after that."""
    async with Client(redis_url, registry=registry) as client:
        for _ in range(2):
            start_worker(redis_url, app=APP)
        made = await storm(start_process, ledger, redis_url, "started")
        jobs = await made_by(client, made)
        assert ran(ledger).keys() == {job.id for job in jobs}
        for before, after in itertools.pairwise(jobs):
            assert before.record.started_ms <= after.record.created_ms
        known = {job.id: job.record for job in jobs}
        for call in made:
            assert known[call.job_id].started_ms >= call.begin_ms


async def test_one_in_a_period(
    redis_url: str, start_process: ProcessFactory, start_worker: WorkerFactory, ledger: Ledger
):
    async with Client(redis_url, registry=registry) as client:
        for _ in range(2):
            start_worker(redis_url, app=APP)
        made = await storm(start_process, ledger, redis_url, "period")
        jobs = await made_by(client, made)
        assert ran(ledger).keys() == {job.id for job in jobs}
        period_ms = PERIOD.total_seconds() * 1000
        for before, after in itertools.pairwise(jobs):
            assert after.record.created_ms - before.record.created_ms >= period_ms
        known = {job.id: job.record for job in jobs}
        for call in made:
            assert known[call.job_id].created_ms + period_ms >= call.begin_ms
