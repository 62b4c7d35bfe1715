"""Recurring jobs as users declare, put, see and control them; in memory, at a time that stands still."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncjobs import Client, JobContext, Registry
from asyncjobs.clock import to_datetime
from asyncjobs.errors import (
    DefinitionError,
    JobStateError,
    OptionError,
    RecurringNotFound,
    SerializationError,
)
from asyncjobs.ids import occurrence_id, shard_for
from asyncjobs.recurrence import ALL_LIMIT, COUNT_LIMIT, Recurrence, checked_options, recurrence_of
from asyncjobs.schedules import Cron, Every
from asyncjobs.storage.base import ORPHAN_MS, Due, NewRecurring, Put, State
from asyncjobs.storage.conformance import MovableClock
from asyncjobs.storage.memory import MemoryStorage

MINUTE = 60_000
NOON = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1000)

registry = Registry()


@registry.job(queue="backups", priority=3, max_recoveries=1)
async def backup(what: str = "all", *, thoroughly: bool = False) -> str:
    return what


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOON)


@pytest.fixture(params=[1, 3])
def storage(request: pytest.FixtureRequest, clock: MovableClock) -> MemoryStorage:
    return MemoryStorage(request.param, clock)


@pytest.fixture
async def client(storage: MemoryStorage) -> AsyncIterator[Client]:
    async with Client(storage, registry=registry) as client:
        yield client


def recurrence(when: Any = "*/5 * * * *", **options: Any) -> Recurrence:
    return recurrence_of("nightly", backup.call(), checked_options(when, **options))


def due(first: int, *, waiting: bool = False) -> Due:
    return Due("nightly", b"", "revision", first, waiting)


# -- what is fired --


def test_what_is_due_is_fired_and_the_next_time_comes_after_now() -> None:
    firing = recurrence().firing(due(NOON), NOON + 4, 0)

    (job,) = firing.jobs
    assert job.id == occurrence_id("nightly", NOON, 0)
    assert (job.name, job.queue, job.priority, job.max_recoveries) == (backup.name, "backups", 3, 1)
    assert (job.payload, job.due_ms, job.delay_ms) == (backup.call().payload, 0, 0)
    assert (firing.expected_ms, firing.next_ms, firing.last_ms) == (NOON, NOON + 5 * MINUTE, NOON)
    assert (firing.missed, firing.passed, firing.revision, firing.overlap) == (0, 0, "revision", "allow")


@pytest.mark.parametrize("when", ["*/5 * * * *", timedelta(minutes=5)])
@pytest.mark.parametrize(
    ("misfire", "late", "fired", "missed"),
    [
        ("once", 12, [10], 2),
        ("once", 300, [300], 60),
        ("skip", 11, [10], 2),
        ("skip", 12, [], 3),
        ("skip", 1, [0], 0),
        ("skip", 2, [], 1),
        ("all", 12, [0, 5, 10], 0),
    ],
)
def test_missed_occurrences(when: Any, misfire: Any, late: int, fired: list[int], missed: int) -> None:
    firing = recurrence(when, misfire=misfire).firing(due(NOON), NOON + late * MINUTE, 0)

    occurrences = [NOON + minute * MINUTE for minute in fired]
    assert [job.id for job in firing.jobs] == [occurrence_id("nightly", at, 0) for at in occurrences]
    assert firing.missed == missed
    assert firing.last_ms == (occurrences[-1] if occurrences else 0)
    assert firing.next_ms == NOON + (late // 5 + 1) * 5 * MINUTE


@pytest.mark.parametrize("when", ["* * * * *", timedelta(minutes=1)])
def test_the_making_up_for_all_is_bounded(when: Any) -> None:
    firing = recurrence(when, misfire="all").firing(due(NOON), NOON + 499 * MINUTE, 0)

    assert len(firing.jobs) == ALL_LIMIT
    assert firing.jobs[-1].id == occurrence_id("nightly", NOON + 499 * MINUTE, 0)
    assert firing.missed == 500 - ALL_LIMIT


def test_a_long_time_of_many_occurrences_is_no_long_work() -> None:
    year = 366 * 24 * 60 * MINUTE
    firing = recurrence("* * * * * *").firing(due(NOON), NOON + year, 0)
    assert firing.jobs[0].id == occurrence_id("nightly", NOON + year, 0)
    assert firing.missed == COUNT_LIMIT - 1
    assert recurrence(timedelta(seconds=1)).firing(due(NOON), NOON + year, 0).missed == year // 1000


def test_one_that_has_waited_fires_the_occurrence_it_waited_with() -> None:
    firing = recurrence(overlap="queue").firing(due(NOON, waiting=True), NOON + 12 * MINUTE, 0)

    assert [job.id for job in firing.jobs] == [occurrence_id("nightly", NOON, 0)]
    assert (firing.last_ms, firing.passed, firing.missed) == (NOON, 2, 0)
    assert firing.next_ms == NOON + 15 * MINUTE


def test_jitter_is_the_same_whoever_fires_and_differs_between_occurrences() -> None:
    jittered = recurrence(jitter=30)
    delays = {
        at: jittered.firing(due(at), at + 3, 0).jobs[0].due_ms - at
        for at in range(NOON, NOON + 100 * 5 * MINUTE, 5 * MINUTE)
    }
    assert all(0 <= delay <= 30_000 for delay in delays.values())
    assert len(set(delays.values())) > 90
    assert max(delays.values()) > 25_000
    assert min(delays.values()) < 5_000
    assert jittered.firing(due(NOON), NOON + 77, 0).jobs[0].due_ms - NOON == delays[NOON]


def test_the_bounds() -> None:
    bounded = recurrence(
        start=datetime(2026, 6, 1, 13, tzinfo=UTC), end=datetime(2026, 6, 1, 13, 10, tzinfo=UTC)
    )
    one = NOON + 60 * MINUTE
    assert bounded.next_after(NOON) == one
    assert bounded.next_after(one) == one + 5 * MINUTE
    assert bounded.next_after(one + 5 * MINUTE) == one + 10 * MINUTE
    assert bounded.next_after(one + 10 * MINUTE) is None
    late = bounded.firing(due(one), one + 500 * MINUTE, 0)
    assert (late.next_ms, late.last_ms, late.missed) == (None, one + 10 * MINUTE, 2)


def test_an_interval_is_counted_from_its_start() -> None:
    start = datetime(2026, 6, 1, 12, 0, 7, tzinfo=UTC)
    assert recurrence(timedelta(seconds=30), start=start).next_after(NOON + 7_001) == NOON + 37_000


def test_the_ids_of_occurrences_are_like_those_of_other_jobs() -> None:
    ids = [occurrence_id("nightly", NOON + n, 2) for n in range(100)]
    assert ids == sorted(ids)
    assert {len(job_id) for job_id in ids} == {20}
    assert all(job_id.isalnum() and job_id.endswith("2") for job_id in ids)
    assert occurrence_id("nightly", NOON, 0) != occurrence_id("weekly", NOON, 0)
    # What they are mustn't change: jobs fired by an older version are to be known again.
    assert occurrence_id("nightly", 1_780_315_200_000, 0) == "VLID98Kd1FNFbQtGQF40"
    assert [shard_for(name, 3) for name in ("nightly", "weekly", "a", "b")] == [0, 1, 0, 2]


# -- options --


@pytest.mark.parametrize(
    ("when", "options", "told"),
    [
        ("@daily", {"misfire": "twice"}, "misfire"),
        ("@daily", {"overlap": "forbid"}, "overlap"),
        ("@daily", {"misfire": "all", "overlap": "skip"}, "choose one"),
        ("@daily", {"misfire": "all", "overlap": "queue"}, "choose one"),
        ("@daily", {"jitter": -1}, "jitter"),
        (timedelta(minutes=1), {"jitter": 60}, "jitter"),
        ("@daily", {"timezone": "Mars/Phobos"}, "time zone"),
        (timedelta(minutes=1), {"timezone": "UTC"}, "timezone"),
        ("@daily", {"start": datetime(2026, 1, 1)}, "time zone"),
        ("@daily", {"end": "tomorrow"}, "the end"),
        (
            "@daily",
            {"start": datetime(2026, 1, 2, tzinfo=UTC), "end": datetime(2026, 1, 1, tzinfo=UTC)},
            "before",
        ),
        ("@daily", {"tz": "UTC"}, "no option tz"),
        ("61 * * * *", {}, "minute"),
        (None, {}, "cron expression or every"),
    ],
)
def test_an_option_that_can_not_be_is_refused_where_it_is_written(
    when: Any, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(OptionError, match=re.escape(told)):
        recurrence(when, **options)


@pytest.mark.parametrize("recurring_id", ["", "a b", "x" * 201, "tab\t", "\x00", None, 7])
def test_an_id_that_can_not_be_is_refused(recurring_id: str) -> None:
    with pytest.raises(OptionError, match="can't be called"):
        recurrence_of(recurring_id, backup.call(), checked_options("@daily"))


def test_a_recurrence_reads_back_as_it_was_packed() -> None:
    for one in (
        recurrence("0 9 * * mon-fri", timezone="Europe/Berlin", misfire="skip", overlap="queue", jitter=5),
        recurrence("@daily"),
        recurrence(timedelta(seconds=7), start=datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)),
        recurrence("* * * * * *", end=datetime(2027, 1, 1, tzinfo=UTC), misfire="all"),
    ):
        assert Recurrence.unpack("nightly", one.pack()) == one
    with pytest.raises(SerializationError, match="nightly"):
        Recurrence.unpack("nightly", b"\xff")


def test_only_another_schedule_is_another_timing() -> None:
    first = recurrence("0 0 * * *").new(declared=False)
    same = recurrence("@daily", misfire="all", jitter=1).new(declared=False)
    other = recurrence("@daily", timezone="Europe/Berlin").new(declared=False)
    bounded = recurrence("@daily", end=datetime(2027, 1, 1, tzinfo=UTC)).new(declared=False)
    assert first.timing == same.timing
    assert first.revision != same.revision
    assert len({first.timing, other.timing, bounded.timing}) == 3


# -- declaring --


async def test_a_declared_function_is_a_job_that_recurs() -> None:
    own = Registry(queue="reports")

    @own.recurring("0 9 * * mon-fri", timezone="Europe/Berlin", overlap="skip", timeout=30, priority=2)
    async def report(day: str = "today") -> str:
        return f"the report of {day}"

    assert await report() == "the report of today"
    assert await report("monday") == "the report of monday"
    assert own.get(report.name) is report
    assert report.settings.timeout_ms == 30_000
    (one,) = own.recurrences()
    options = checked_options("0 9 * * mon-fri", timezone="Europe/Berlin", overlap="skip")
    assert one == recurrence_of(report.name, report.call(), options)
    assert (one.queue, one.priority) == ("reports", 2)


def test_functions_of_every_kind_can_recur() -> None:
    own = Registry()

    @own.recurring(every=timedelta(minutes=5), runs_in="thread")
    def plain() -> int:
        return 1

    @own.recurring("@hourly", context=True, name="with.context")
    async def contextual(context: JobContext, count: int = 3) -> int:
        return context.attempt + count

    @own.recurring("@hourly", context=True, id="slow", runs_in="thread")
    def slow(context: JobContext) -> None: ...

    @own.recurring("@daily")
    @own.job(name="job")
    async def job() -> None: ...

    assert plain() == 1
    assert [(one.id, one.name) for one in own.recurrences()] == [
        ("job", "job"),
        ("slow", slow.name),
        (plain.name, plain.name),
        ("with.context", "with.context"),
    ]
    assert [definition.runs for definition in (plain, contextual, slow, job)] == [
        *("thread", "loop", "thread", "loop")
    ]


def test_one_function_can_recur_in_several_ways() -> None:
    own = Registry()

    @own.recurring("0 20 * * *", id="evening")
    @own.recurring("0 8 * * *", id="morning", timeout=5)
    async def greet() -> None: ...

    own.recurring(Cron("@yearly", "Europe/Berlin"))(greet)
    assert [(one.id, str(one.schedule)) for one in own.recurrences()] == [
        ("evening", "0 20 * * *"),
        ("morning", "0 8 * * *"),
        (greet.name, "@yearly (Europe/Berlin)"),
    ]
    assert [definition.name for definition in own.definitions()] == [greet.name]


def test_a_wrong_declaration_is_refused_where_it_is_made() -> None:
    own, other = Registry(), Registry()

    @own.recurring("@daily")
    async def nightly() -> None: ...

    async def needs(what: str) -> None: ...

    async def needs_nothing() -> None: ...

    for error, told, declare in (
        (DefinitionError, "without arguments", lambda: own.recurring("@daily")(needs)),
        (DefinitionError, "two recurring jobs", lambda: own.recurring("@hourly")(nightly)),
        (DefinitionError, "declared already", lambda: own.recurring("@hourly", id="x", timeout=5)(nightly)),
        (DefinitionError, "another registry", lambda: other.recurring("@hourly")(nightly)),
        (OptionError, "minute", lambda: own.recurring("61 * * * *")(needs_nothing)),
        (OptionError, "every", lambda: own.recurring()(needs_nothing)),
        (OptionError, "no option", lambda: own.recurring("@daily", colour="red")(needs_nothing)),
        (OptionError, "misfire", lambda: own.recurring("@daily", misfire="x")(needs_nothing)),
    ):
        with pytest.raises(error, match=told):
            declare()


# -- a client --


async def test_one_that_is_put_can_be_seen(client: Client) -> None:
    put = await client.recurring.put(
        "nightly",
        "0 3 * * *",
        backup.call("disks", thoroughly=True),
        timezone="Europe/Berlin",
        misfire="skip",
        overlap="queue",
        jitter=timedelta(seconds=90),
        end=datetime(2027, 1, 1, tzinfo=UTC),
    )

    assert put == await client.recurring.get("nightly")
    assert put.schedule == Cron("0 3 * * *", "Europe/Berlin")
    assert (put.name, put.queue, put.misfire, put.overlap) == (backup.name, "backups", "skip", "queue")
    assert (put.jitter, put.start, put.end) == (timedelta(seconds=90), None, datetime(2027, 1, 1, tzinfo=UTC))
    assert put.next_at == datetime(2026, 6, 2, 1, tzinfo=UTC)
    assert (put.last_at, put.last_run_at, put.last_job, put.last_state) == (None, None, None, None)
    assert (put.declared, put.orphaned, put.paused, put.waiting, put.unreadable) == (
        *(False, False, False, False),
        None,
    )
    assert await client.recurring.get("another") is None


async def test_they_are_listed(client: Client) -> None:
    await client.recurring.put("later", timedelta(hours=1), backup.call())
    await client.recurring.put("soon", Every(60), backup.call())
    await client.recurring.put("never", "@daily", backup.call())
    await client.recurring.pause("never")

    assert [one.id for one in await client.recurring.list()] == ["soon", "later", "never"]
    assert [one.id for one in await client.recurring.list(offset=1, limit=1)] == ["later"]
    assert await client.recurring.count() == 3


async def test_one_that_would_never_occur_is_refused(client: Client, clock: MovableClock) -> None:
    for schedule, end in (
        ("@daily", datetime(2026, 1, 1, tzinfo=UTC)),
        (timedelta(hours=1), to_datetime(clock() - 1)),
        # It is still to come, but the first occurrence is later.
        ("@daily", to_datetime(clock() + MINUTE)),
    ):
        with pytest.raises(OptionError, match="doesn't occur any more before the end"):
            await client.recurring.put("over", schedule, backup.call(), end=end)
    assert await client.recurring.count() == 0


async def test_a_program_may_put_the_same_when_its_end_has_passed(
    client: Client, clock: MovableClock
) -> None:
    end = to_datetime(clock() + 60 * MINUTE)
    first = await client.recurring.put("once", "* * * * *", backup.call(), end=end)
    clock.advance(61 * MINUTE)

    assert await client.recurring.put("once", "* * * * *", backup.call(), end=end) == first
    with pytest.raises(OptionError, match="give a later end"):
        await client.recurring.put("once", "* * * * *", backup.call("disks"), end=end)
    # What code declares stays right, whenever it is imported.
    Registry().recurring("@daily", end=datetime(2020, 1, 1, tzinfo=UTC))(lambda: None)


async def test_putting_again_replaces_all_but_the_next_time(client: Client, clock: MovableClock) -> None:
    first = await client.recurring.put("nightly", timedelta(hours=1), backup.call())
    clock.advance(2 * 60 * MINUTE)

    again = await client.recurring.put("nightly", timedelta(hours=1), backup.call("x"), overlap="skip")
    assert (again.next_at, again.overlap) == (first.next_at, "skip")

    moved = await client.recurring.put("nightly", timedelta(hours=5), backup.call("x"))
    assert moved.next_at == to_datetime(Every(timedelta(hours=5)).after(clock()) or 0)
    assert moved.next_at != first.next_at


async def test_what_is_no_call_can_not_be_put(client: Client) -> None:
    with pytest.raises(OptionError, match="isn't a call"):
        await client.recurring.put("nightly", "@daily", backup)  # type: ignore[arg-type]


async def test_pausing_and_resuming_makes_up_for_nothing(client: Client, clock: MovableClock) -> None:
    await client.recurring.put("nightly", timedelta(hours=1), backup.call())
    await client.recurring.pause("nightly")
    one = await client.recurring.get("nightly")
    assert one is not None
    assert (one.paused, one.next_at) == (True, None)
    clock.advance(150 * MINUTE)

    await client.recurring.resume("nightly")

    one = await client.recurring.get("nightly")
    assert one is not None
    assert (one.paused, one.next_at) == (False, datetime(2026, 6, 1, 15, tzinfo=UTC))
    await client.recurring.resume("nightly")
    assert await client.recurring.get("nightly") == one


async def test_triggering(client: Client) -> None:
    put = await client.recurring.put("nightly", "@daily", backup.call("disks", thoroughly=True))

    job = await client.recurring.trigger("nightly")

    assert (job.name, job.queue, job.priority, job.state) == (backup.name, "backups", 3, State.ENQUEUED)
    assert job.arguments() == (["disks"], {"thoroughly": True})
    one = await client.recurring.get("nightly")
    assert one is not None
    assert (one.last_job, one.last_state, one.last_run_at) == (job.id, State.ENQUEUED, to_datetime(NOON))
    assert (one.next_at, one.last_at, one.fired) == (put.next_at, None, 0)


async def test_removing(client: Client) -> None:
    await client.recurring.put("nightly", "@daily", backup.call())
    await client.recurring.remove("nightly")
    assert await client.recurring.get("nightly") is None


async def test_what_is_not_there_is_said(client: Client) -> None:
    for verb in (
        client.recurring.remove,
        client.recurring.pause,
        client.recurring.resume,
        client.recurring.trigger,
    ):
        with pytest.raises(RecurringNotFound, match="no recurring job nightly"):
            await verb("nightly")


async def test_one_that_is_declared_belongs_to_the_code(
    client: Client, storage: MemoryStorage, clock: MovableClock
) -> None:
    assert await storage.put_recurring(recurrence().new(declared=True), NOON) is Put.MOVED
    one = await client.recurring.get("nightly")
    assert one is not None
    assert one.declared
    with pytest.raises(JobStateError, match="declared"):
        await client.recurring.put("nightly", "@daily", backup.call())
    with pytest.raises(JobStateError, match="pause it"):
        await client.recurring.remove("nightly")
    shard = shard_for("nightly", storage.shards)
    for _ in range(ORPHAN_MS // MINUTE):
        clock.advance(MINUTE)
        await storage.due_recurring(shard, "worker", 1)
    clock.advance(1)
    one = await client.recurring.get("nightly")
    assert one is not None
    assert (one.orphaned, one.next_at) == (True, None)
    await client.recurring.remove("nightly")


async def test_one_that_can_not_be_read_here_is_shown_as_such(client: Client, storage: MemoryStorage) -> None:
    await storage.put_recurring(NewRecurring("nightly", b"\xc1", "revision", "timing"), NOON)

    one = await client.recurring.get("nightly")

    assert one is not None
    assert (one.schedule, one.name, one.next_at) == (None, "", to_datetime(NOON))
    assert one.unreadable is not None
    assert "can't be read" in one.unreadable
    with pytest.raises(SerializationError):
        await client.recurring.trigger("nightly")
