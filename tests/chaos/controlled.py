"""Jobs under limits, with unique keys and with an expiry: how chance makes them, and what holds of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from asyncjobs import Call, Client, Job, State
from tests.chaos import jobs
from tests.faults.ledger import Ledger
from tests.faults.observing import jobs_of
from tests.faults.overlap import Run, most_at_once, most_by, runs_of

KEYS = ("a", "b", "c: d")
GIVEN_UP = ("replacing", "expiring")
"""Those that may end without having run."""


def some_controlled_call(chance: random.Random) -> Call[int]:
    queue, key, seconds = chance.choice(jobs.QUEUES), chance.choice(KEYS), chance.uniform(0, 0.05)
    match chance.randrange(6):
        case 0:
            return jobs.slotted.options(queue=queue, priority=chance.choice((0, 0, 5))).call(seconds)
        case 1:
            return jobs.exclusive.options(queue=queue).call(key, seconds)
        case 2:
            return jobs.rated.options(queue=queue).call()
        case 3:
            return jobs.unique.options(queue=queue).call(key, seconds)
        case 4:
            return jobs.replacing.options(queue=queue).call(key, seconds)
        case _:
            return jobs.expiring.options(queue=queue).call()


def kind(job: Job[object]) -> str:
    """The name of its function."""
    return job.name.rpartition(".")[2]


async def was_given_up(job: Job[object]) -> bool:
    """Whether it was cancelled before it ran, as it was told to be."""
    if job.state is not State.CANCELLED:
        return False
    assert kind(job) in GIVEN_UP, job
    last = (await job.history())[-1]
    told = (last.event, last.error_type)
    assert told == (("cancelled", "Replaced") if kind(job) == "replacing" else ("expired", "")), job
    return True


async def limits_were_kept(client: Client, ledger: Ledger, ids: Sequence[str]) -> None:
    """No more ran at once than might, and of each unique key there was one at a time."""
    found: dict[str, list[Job[object]]] = {}
    for job in await jobs_of(client, ids):
        found.setdefault(kind(job), []).append(job)
    assert {"slotted", "exclusive", "rated", "unique", *GIVEN_UP} <= found.keys()

    async def runs(name: str) -> list[Run]:
        return await runs_of(client, ledger, [job.id for job in found[name]])

    assert most_at_once(await runs("slotted")) <= jobs.SLOTS
    mutexes = {job.id: job.limits[0] for job in found["exclusive"]}
    assert most_by(await runs("exclusive"), lambda run: mutexes[run.job_id]) <= 1
    keys = {job.id: job.unique for job in found["unique"]}
    assert most_by(await runs("unique"), lambda run: keys[run.job_id]) <= 1
    lives = [Run(job.id, job.record.created_ms, job.record.finished_ms) for job in found["unique"]]
    assert most_by(lives, lambda run: keys[run.job_id]) <= 1
