"""Limits, mutexes and expiry as users declare them; their numbers, seen and set by a client, in memory."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncjobs import Client, Limit, LimitInfo, LimitNumbers, Registry, State
from asyncjobs.errors import DefinitionError, JobStateError, OptionError
from asyncjobs.limit import MAX_LIMITS, MAX_MOST
from asyncjobs.storage.base import Numbers
from asyncjobs.storage.conformance import MovableClock
from asyncjobs.storage.memory import MemoryStorage
from tests.by_hand import HandWorker

NOON = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1000)
SECOND = 1_000

SMTP = Limit("smtp", rate=2, per=60)


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock(NOON)


@pytest.fixture
async def client(clock: MovableClock, registry: Registry) -> AsyncIterator[Client]:
    async with Client(MemoryStorage(clock=clock), registry=registry) as client:
        yield client


@pytest.fixture
def worker(client: Client) -> HandWorker:
    return HandWorker(client)


async def send(tenant: str = "acme", to: str = "ada") -> None: ...


class TestLimits:
    @pytest.mark.parametrize(
        ("limit", "numbers"),
        [
            (Limit("a", 1), Numbers(1)),
            (Limit("a", concurrency=MAX_MOST), Numbers(MAX_MOST)),
            (Limit("a", rate=100), Numbers(100, 1_000)),
            (Limit("a", rate=1, per=0.001), Numbers(1, 1)),
            (Limit("a", rate=5, per=timedelta(days=31)), Numbers(5, 31 * 86_400_000)),
        ],
    )
    def test_their_numbers(self, limit: Limit, numbers: Numbers) -> None:
        assert limit.numbers == numbers

    @pytest.mark.parametrize("name", ["a", "smtp", "api.eu-1/v2_b", "x" * 64, "5"])
    def test_their_names(self, name: str) -> None:
        assert Limit(name, 1).name == name

    @pytest.mark.parametrize(
        "name", ["", "x" * 65, "a b", "a:b", "a,b", "{a}", "größe", "a\n", None, 5, b"a"]
    )
    def test_what_they_cannot_be_called(self, name: Any) -> None:
        with pytest.raises(OptionError, match=r"a limit can't be called .*: give 1 to 64 letters"):
            Limit(name, 1)

    def test_mutex_is_not_a_name_for_them(self) -> None:
        with pytest.raises(OptionError, match="a limit can't be called 'mutex': mutexes are"):
            Limit("mutex", 1)

    @pytest.mark.parametrize("numbers", [{}, {"concurrency": 1, "rate": 1}, {"per": 5}], ids=str)
    def test_they_need_one_number(self, numbers: dict[str, Any]) -> None:
        with pytest.raises(OptionError, match="limit 'a' needs either concurrency=, or rate= and per="):
            Limit("a", **numbers)

    @pytest.mark.parametrize(
        ("numbers", "message"),
        [
            ({"concurrency": 0}, "concurrency is 0"),
            ({"concurrency": -1}, "concurrency is -1"),
            ({"concurrency": MAX_MOST + 1}, "concurrency is 100001: give a whole number from 1 to 100,000"),
            ({"concurrency": 1.5}, "concurrency is 1.5"),
            ({"concurrency": True}, "concurrency is True"),
            ({"concurrency": "5"}, "concurrency is '5'"),
            ({"rate": 0}, "rate is 0"),
            ({"rate": MAX_MOST + 1}, "rate is 100001"),
            ({"rate": 1, "per": 0}, "per, in milliseconds, is 0"),
            ({"rate": 1, "per": -1}, "per is -1"),
            ({"rate": 1, "per": math.nan}, "per is nan"),
            ({"rate": 1, "per": "1m"}, "per is '1m'"),
            ({"rate": 1, "per": timedelta(days=32)}, "per, in milliseconds, is 2764800000"),
        ],
    )
    def test_numbers_that_cannot_be(self, numbers: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=f"^limit 'a': {message}"):
            Limit("a", **numbers)

    @pytest.mark.parametrize("key", ["", 5, b"a"])
    def test_what_makes_no_key(self, key: Any) -> None:
        with pytest.raises(OptionError, match=r"the key of limit 'a' is .*: give a template"):
            Limit("a", 1, key=key)
        with pytest.raises(OptionError, match=r"mutex is .*: give a template"):
            Registry().job(mutex=key)

    @pytest.mark.parametrize(
        "limits", [SMTP, None, 5, {"smtp": SMTP}, iter([SMTP])], ids=lambda given: type(given).__name__
    )
    def test_they_come_in_a_list(self, registry: Registry, limits: Any) -> None:
        with pytest.raises(
            OptionError, match=r"limits is .*: give a list, as in `\[Limit\('smtp', rate=100\)\]`"
        ):
            registry.job(limits=limits)

    @pytest.mark.parametrize("limits", [["smtp"], "smtp", [SMTP, None]])
    def test_the_list_holds_limits(self, registry: Registry, limits: Any) -> None:
        with pytest.raises(
            OptionError, match=r"limits has .*: give Limits, as in `Limit\('smtp', rate=100\)`"
        ):
            registry.job(limits=limits)

    def test_a_job_is_under_each_once(self, registry: Registry) -> None:
        with pytest.raises(OptionError, match="limits names one limit twice: smtp, smtp"):
            registry.job(limits=[SMTP, Limit("smtp", rate=2, per=60, key="{to}")])

    def test_a_job_is_under_eight_at_most(self, registry: Registry) -> None:
        limits = [Limit(f"limit{number}", 1) for number in range(MAX_LIMITS + 1)]
        registry.job(name="eight", limits=limits[:-1])(send)
        registry.job(name="seven", limits=limits[:-2], mutex="{to}")(send)
        for options in ({"limits": limits}, {"limits": limits[:-1], "mutex": "{to}"}):
            with pytest.raises(OptionError, match="8 limits at most, its mutex included"):
                registry.job(**options)  # type: ignore[call-overload]

    def test_all_jobs_know_a_limit_by_the_same_numbers(self, registry: Registry) -> None:
        registry.job(name="one", limits=[SMTP])(send)
        two = registry.job(name="two", limits=[Limit("smtp", rate=2, per=60, key="{to}")])(send)
        for other in (Limit("smtp", 2), Limit("smtp", rate=3, per=60), Limit("smtp", rate=2, per=61)):
            message = "three is under limit 'smtp' with other numbers than another job: make one Limit"
            with pytest.raises(DefinitionError, match=message):
                registry.job(name="three", limits=[Limit("new", 1), other])(send)
            with pytest.raises(DefinitionError, match="two is under limit 'smtp' with other numbers"):
                two.options(limits=[other])
        assert registry.limits() == [SMTP], "nothing is left of what was refused"
        assert Registry().job(limits=[Limit("smtp", 2)])(send), "another registry may know it by others"

    def test_a_name_that_is_taken_leaves_no_limit_behind(self, registry: Registry) -> None:
        registry.job(name="one")(send)
        with pytest.raises(DefinitionError, match="two jobs are called 'one'"):
            registry.job(name="one", limits=[SMTP])(send)
        assert registry.limits() == []

    def test_jobs_of_another_program_have_them_as_well(self, registry: Registry) -> None:
        job = registry.external("mail.send", limits=[SMTP], mutex="{to}", unique="{to}", expires=60)(send)
        constraints = job.call().constraints
        assert constraints is not None
        assert [use.id for use in constraints.limits] == ["smtp", "mutex:ada"]
        assert registry.limits() == [SMTP]


class TestExpiry:
    @pytest.mark.parametrize("expires", [60, 60.0, timedelta(minutes=1)])
    def test_a_duration(self, registry: Registry, expires: Any) -> None:
        assert registry.job(expires=expires)(send).settings.expires_ms == 60_000

    @pytest.mark.parametrize("expires", [0, -1, math.nan, "60", True, timedelta(0)])
    def test_what_is_none(self, registry: Registry, expires: Any) -> None:
        with pytest.raises(OptionError, match="expires"):
            registry.job(expires=expires)


class TestNumbers:
    @pytest.fixture(autouse=True)
    def job(self, registry: Registry) -> Any:
        return registry.job(name="send", limits=[SMTP, Limit("tenant", 1, key="{tenant}")])(send)

    async def test_nothing_is_known_before_the_first_job(self, client: Client) -> None:
        assert await client.limits.list() == []
        assert await client.limits.numbers() == []
        assert await client.limits.count() == 0

    async def test_what_is_counted(self, client: Client, worker: HandWorker, job: Any) -> None:
        jobs = [await client.enqueue(job, tenant) for tenant in ("a", "a", "b", "b")]
        assert [(await one.refresh()).state for one in jobs] == [
            *("enqueued", "throttled", "enqueued", "throttled"),
        ]
        taken = await worker.take(1)
        assert taken == [jobs[0].id]
        minute = timedelta(minutes=1)
        assert await client.limits.list() == [
            LimitInfo("smtp", "", None, 2, minute, running=0, started=1, enqueued=1, throttled=1),
            LimitInfo("tenant", "a", 1, None, None, running=1, started=0, enqueued=0, throttled=1),
            LimitInfo("tenant", "b", 1, None, None, running=0, started=0, enqueued=1, throttled=0),
        ]
        assert await client.limits.count() == 3
        assert [info.key for info in await client.limits.list(offset=1, limit=1)] == ["a"]

    async def test_they_are_the_last_ones_who_made_a_job(self, client: Client, job: Any) -> None:
        await client.enqueue(job)
        minute = timedelta(minutes=1)
        assert await client.limits.numbers() == [
            LimitNumbers("smtp", None, 2, minute, by_hand=False),
            LimitNumbers("tenant", 1, None, None, by_hand=False),
        ]
        later = Registry().job(name="send", limits=[Limit("smtp", rate=9, per=5)])(send)
        await client.enqueue(later)
        known = {numbers.name: numbers for numbers in await client.limits.numbers()}
        assert (known["smtp"].rate, known["smtp"].per) == (9, timedelta(seconds=5))

    async def test_a_mutex_is_counted_but_has_no_numbers(self, client: Client, registry: Registry) -> None:
        locked = registry.job(name="locked", mutex="{to}")(send)
        await client.enqueue(locked)
        assert [(info.name, info.key, info.concurrency) for info in await client.limits.list()] == [
            ("mutex", "ada", 1)
        ]
        assert await client.limits.numbers() == []

    async def test_those_set_by_hand_count_at_once_and_until_they_are_reset(
        self, client: Client, worker: HandWorker, job: Any
    ) -> None:
        jobs = [await client.enqueue(job, str(number)) for number in range(6)]
        assert len(await worker.take()) == 2
        await client.limits.set("smtp", rate=5, per=timedelta(minutes=1))
        assert len(await worker.take()) == 3
        (smtp,) = [numbers for numbers in await client.limits.numbers() if numbers.name == "smtp"]
        assert (smtp.rate, smtp.by_hand) == (5, True)

        await client.enqueue(job, "another")
        (smtp,) = [numbers for numbers in await client.limits.numbers() if numbers.name == "smtp"]
        assert (smtp.rate, smtp.by_hand) == (5, True), "whatever the code says"

        await client.limits.reset("smtp")
        (smtp,) = [numbers for numbers in await client.limits.numbers() if numbers.name == "smtp"]
        assert (smtp.rate, smtp.by_hand) == (2, False), "this client's registry knows the code's"
        assert (await jobs[-1].refresh()).throttled_by == "smtp"

    async def test_a_client_without_the_code_resets_them_with_the_next_job(
        self, client: Client, job: Any
    ) -> None:
        await client.enqueue(job, "a")
        async with Client(client.storage) as other:
            await other.limits.set("smtp", rate=50)
            await other.limits.reset("smtp")
            (smtp, _) = await other.limits.numbers()
            assert (smtp.rate, smtp.by_hand) == (50, False)
            await client.enqueue(job, "b")
            (smtp, _) = await other.limits.numbers()
            assert (smtp.rate, smtp.per) == (2, timedelta(minutes=1))

    async def test_a_deployment_that_makes_another_kind_of_limit_of_one_counts_more(
        self, client: Client, worker: HandWorker, job: Any
    ) -> None:
        await client.limits.set("tenant", concurrency=2)
        later = Registry().job(name="send", limits=[Limit("tenant", rate=1, per=60, key="{tenant}")])(send)
        jobs = await client.enqueue_many(later.call("a") for _ in range(5))
        assert await worker.take() == [jobs[0].id]
        (numbers,) = await client.limits.numbers()
        assert (numbers.rate, numbers.by_hand) == (1, False)

    async def test_one_may_be_set_before_its_first_job(self, client: Client, job: Any) -> None:
        await client.limits.set("smtp", rate=1, per=60)
        await client.enqueue(job, "a")
        assert (await (await client.enqueue(job, "b")).refresh()).throttled_by == "smtp"

    async def test_a_name_that_nobody_knows(self, client: Client, job: Any) -> None:
        for act in (client.limits.set("smpt", rate=1), client.limits.reset("smpt")):
            message = "there is no limit 'smpt': no job was ever created under it; did you mean smtp?"
            with pytest.raises(OptionError) as told:
                await act
            assert str(told.value) == message
        async with Client(MemoryStorage()) as empty:
            with pytest.raises(OptionError, match=r"there is no limit 'smtp': no job was ever .* under it$"):
                await empty.limits.set("smtp", rate=1)

    @pytest.mark.parametrize(
        ("name", "numbers", "message"),
        [
            ("smtp", {}, "limit 'smtp' needs either"),
            ("smtp", {"rate": 1, "concurrency": 1}, "limit 'smtp' needs either"),
            ("smtp", {"rate": 0}, "limit 'smtp': rate is 0"),
            ("smtp", {"concurrency": 2}, "limit 'smtp' is a rate: give rate= and per="),
            ("tenant", {"rate": 2}, "limit 'tenant' is so many at once: give concurrency="),
            ("mutex", {"concurrency": 2}, "a limit can't be called 'mutex'"),
            ("a b", {"concurrency": 2}, "a limit can't be called 'a b'"),
        ],
    )
    async def test_what_cannot_be_set(
        self, client: Client, name: str, numbers: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(OptionError, match=message):
            await client.limits.set(name, **numbers)
        assert await client.limits.numbers() == []


async def test_what_can_be_done_with_a_job_that_is_throttled(client: Client, registry: Registry) -> None:
    job = registry.job(name="send", mutex="{tenant}")(send)
    first, second, third, fourth = [await client.enqueue(job) for _ in range(4)]
    assert (await second.refresh()).state is State.THROTTLED
    assert (second.throttled_by, second.limits) == ("mutex:acme", ("mutex:acme",))
    assert [one.id for one in await client.jobs("throttled")] == [second.id, third.id, fourth.id]
    assert (await client.stats()).counts[State.THROTTLED] == 3
    message = f"job {second.id} is throttled by limit mutex:acme: it waits for no time"
    with pytest.raises(JobStateError, match=message):
        await second.run_now()
    with pytest.raises(JobStateError, match="is throttled by limit mutex:acme: it has not ended"):
        await second.requeue()
    assert await second.cancel()
    assert (await second.refresh()).throttled_by is None
    await third.delete()
    await first.cancel()
    assert (await fourth.refresh()).state is State.ENQUEUED
    await second.requeue()
    assert (await second.refresh()).state is State.THROTTLED
    assert await client.clear("throttled") == 1
    assert await client.get(second.id) is None
