"""Middleware around enqueues: what a client's middleware sees, changes, and keeps from being created."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from asyncjobs import (
    PREVIOUS,
    CallNext,
    Client,
    EnqueueContext,
    Job,
    JobContext,
    Registry,
    State,
    SyncClient,
    Worker,
    current_context,
)
from asyncjobs.client import CHUNK
from asyncjobs.errors import (
    CallError,
    DefinitionError,
    MiddlewareError,
    OptionError,
    ParentGone,
    StorageFull,
    StorageUnavailable,
)
from asyncjobs.storage.memory import MemoryStorage
from tests.conftest import ServerFactory

registry = Registry()


@registry.job(name="around.send")
async def send(to: str, *, subject: str = "") -> str:
    return f"{to}: {subject}"


@registry.job(name="around.double")
async def double(number: int) -> int:
    return number * 2


@registry.job(name="around.many", context=True)
async def spawn(context: JobContext) -> str:
    return (await context.client.enqueue(double, 1)).id


@registry.job(name="around.many_from_a_thread", context=True)
def spawn_from_a_thread(context: JobContext) -> str:
    return context.sync_client.enqueue(double, 1).id


class Recorder:
    """A middleware that remembers what it has seen."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.states: list[list[State]] = []

    @property
    def ids(self) -> list[str]:
        return [job_id for ids in self.seen for job_id in ids]

    async def __call__(self, context: EnqueueContext, call_next: CallNext) -> None:
        self.seen.append([job.id for job in context.jobs])
        self.states.append([job.state for job in context.jobs])
        await call_next()


class Refused(Exception):
    """What a middleware of these tests raises."""


async def refuse(context: EnqueueContext, call_next: CallNext) -> None:
    raise Refused(context.jobs[0].name)


async def to_bulk(context: EnqueueContext, call_next: CallNext) -> None:
    for job in context.jobs:
        job.call = job.call.options(queue="bulk", priority=7)
    await call_next()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def client(redis_url: str, recorder: Recorder) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry, middleware=[recorder]) as client:
        yield client


@pytest.fixture
async def plain(redis_url: str) -> AsyncIterator[Client]:
    async with Client(redis_url, registry=registry) as client:
        yield client


async def enqueue(client: Client) -> list[Job[Any]]:
    return [await client.enqueue(double, 1)]


async def enqueue_in(client: Client) -> list[Job[Any]]:
    return [await client.enqueue_in(60, double, 1)]


async def enqueue_at(client: Client) -> list[Job[Any]]:
    return [await client.enqueue_at(datetime.now(UTC) + timedelta(hours=1), double, 1)]


async def enqueue_many(client: Client) -> list[Job[Any]]:
    return [*await client.enqueue_many(double.call(number) for number in range(3))]


async def chain(client: Client) -> list[Job[Any]]:
    return await client.chain(double.call(1), double.call(PREVIOUS))


async def batch(client: Client) -> list[Job[Any]]:
    async with client.batch() as building:
        jobs: list[Job[Any]] = [building.enqueue(double, 1), building.enqueue_in(60, double, 2)]
        jobs += building.enqueue_many(double.call(number) for number in range(2))
        with building.batch("inner") as inner:
            jobs.append(inner.enqueue(double, 3))
        jobs.append(building.continue_with(jobs[0], double, jobs[0].output))
    return jobs


VERBS = [enqueue, enqueue_in, enqueue_at, enqueue_many, chain, batch]
Verb = Callable[[Client], Awaitable[list[Job[Any]]]]


class TestWhatItSees:
    @pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
    async def test_it_is_called_once_for_what_is_created_together(
        self, client: Client, recorder: Recorder, verb: Verb
    ) -> None:
        jobs = await verb(client)

        assert recorder.seen == [[job.id for job in jobs]]
        assert [(await job.refresh()).state for job in jobs] == recorder.states[0]

    async def test_a_continuation(self, plain: Client, client: Client, recorder: Recorder) -> None:
        first = await plain.enqueue(double, 1)
        second = await client.continue_with(first, double, first.output)

        assert recorder.seen == [[second.id]]
        assert recorder.states == [[State.AWAITING]]
        assert (await second.refresh()).state is State.AWAITING

    async def test_what_is_added_to_a_stored_batch(
        self, plain: Client, client: Client, recorder: Recorder
    ) -> None:
        async with plain.batch() as building:
            first = building.enqueue(double, 1)
        stored = client.batch_of(building.id)

        one = await stored.enqueue(double, 2)
        several = await stored.enqueue_many([double.call(3), double.call(4)])
        last = await stored.continue_with(first, double, 5)

        assert recorder.seen == [[one.id], [job.id for job in several], [last.id]]
        assert [(await job.refresh()).batch for job in (one, *several, last)] == [building.id] * 4

    async def test_many_are_seen_in_chunks(self, client: Client, recorder: Recorder) -> None:
        jobs = await client.enqueue_many(double.call(number) for number in range(CHUNK + 1))

        assert sorted(map(len, recorder.seen)) == [1, CHUNK]
        assert set(recorder.ids) == {job.id for job in jobs}

    async def test_a_batch_is_seen_whole_however_large(self, client: Client, recorder: Recorder) -> None:
        async with client.batch() as building:
            building.enqueue_many(double.call(number) for number in range(2 * CHUNK + 1))

        assert list(map(len, recorder.seen)) == [2 * CHUNK + 1]
        assert (await client.batch_of(building.id).refresh()).total == 2 * CHUNK + 1

    async def test_a_nested_batch_that_is_left_out_is_not_seen(
        self, client: Client, recorder: Recorder
    ) -> None:
        async with client.batch() as building:
            kept = building.enqueue(double, 1)
            with contextlib.suppress(Refused), building.batch() as inner:
                inner.enqueue(double, 2)
                raise Refused

        assert recorder.seen == [[kept.id]]

    async def test_an_empty_batch_has_nothing_to_see(self, client: Client, recorder: Recorder) -> None:
        async with client.batch() as building:
            pass

        assert recorder.seen == []
        assert (await client.batch_of(building.id).refresh()).state.is_finished

    async def test_all_of_a_job_that_is_known_by_then(self, redis_url: str) -> None:
        seen: list[object] = []

        async def look(context: EnqueueContext, call_next: CallNext) -> None:
            (job,) = context.jobs
            args, kwargs = job.call.arguments()
            seen.extend([job.name, job.queue, job.priority, job.state, job.batch, args, kwargs])
            seen.append(context.client is client)
            await call_next()

        async with Client(redis_url, middleware=[look]) as client:
            await client.enqueue(send.options(queue="mail", priority=3), "ada", subject="Hi")

        assert seen == ["around.send", "mail", 3, "enqueued", None, ["ada"], {"subject": "Hi"}, True]

    async def test_a_wrong_call_never_comes_so_far(self, client: Client, recorder: Recorder) -> None:
        with pytest.raises(CallError):
            await client.enqueue(double, "1", "2")  # type: ignore[call-arg]  # pyright: ignore
        assert recorder.seen == []

    async def test_what_is_done_by_hand_or_by_a_schedule_is_not_enqueued(
        self, client: Client, recorder: Recorder
    ) -> None:
        await client.recurring.put("often", timedelta(hours=1), double.call(1))
        job = await client.recurring.trigger("often")
        await client.cancel(job.id)
        await client.requeue(job.id)

        assert recorder.seen == []


class TestOrder:
    async def test_the_first_one_is_outermost_and_the_registrys_are_around_the_clients(
        self, redis_url: str
    ) -> None:
        order: list[str] = []

        def named(name: str) -> Any:
            async def middleware(context: EnqueueContext, call_next: CallNext) -> None:
                order.append(f"{name} before")
                await call_next()
                exists = await context.client.get(context.jobs[0].id)
                order.append(f"{name} after, created: {exists is not None}")

            return middleware

        own = Registry(enqueue_middleware=[named("first")])
        own.enqueue_middleware(named("second"))
        middleware = [named("third"), named("fourth")]
        async with Client(redis_url, registry=own, middleware=middleware) as client:
            await client.enqueue(double, 1)

        assert order == [
            *(f"{name} before" for name in ("first", "second", "third", "fourth")),
            *(f"{name} after, created: True" for name in ("fourth", "third", "second", "first")),
        ]

    async def test_what_is_declared_before_a_client_opens_counts(self, redis_url: str) -> None:
        own, recorder = Registry(), Recorder()
        client = Client(redis_url, registry=own)
        own.enqueue_middleware(recorder)
        async with client:
            job = await client.enqueue(double, 1)
        assert recorder.seen == [[job.id]]

    async def test_a_batch_that_was_begun_before_is_sent_whole(self, redis_url: str) -> None:
        own, recorder = Registry(), Recorder()
        async with Client(redis_url, registry=own) as client:
            async with client.batch() as building:
                building.enqueue(double, 1)
                own.enqueue_middleware(recorder)
                async with client:
                    building.enqueue(double, 2)
            assert (await client.batch_of(building.id).refresh()).total == 2


class TestChanges:
    @pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
    async def test_options_are_those_that_it_has_given(self, redis_url: str, verb: Verb) -> None:
        async with Client(redis_url, registry=registry, middleware=[to_bulk]) as client:
            jobs = await verb(client)
            told = {(job.queue, job.priority) for job in jobs}
            stored = {(job.queue, job.priority) for job in [await job.refresh() for job in jobs]}

        assert told == stored == {("bulk", 7)}

    async def test_arguments(self, redis_url: str) -> None:
        async def shout(context: EnqueueContext, call_next: CallNext) -> None:
            for job in context.jobs:
                (to, *_), kwargs = job.call.arguments()
                job.call = send.call(to.upper(), **kwargs)
            await call_next()

        async with Client(redis_url, registry=registry, middleware=[shout]) as client:
            job = await client.enqueue(send, "ada", subject="Hi")
            assert job.arguments() == (["ADA"], {"subject": "Hi"})
            async with Worker(registry, client):
                assert await job.result(timeout=10) == "ADA: Hi"

    async def test_outputs_of_parents_can_be_handed_on(self, redis_url: str) -> None:
        async def again(context: EnqueueContext, call_next: CallNext) -> None:
            for job in context.jobs:
                args, kwargs = job.call.arguments()
                job.call = job.call.definition.options(queue="default").call(*args, **kwargs)
            await call_next()

        async with Client(redis_url, registry=registry, middleware=[again]) as client:
            jobs = await client.chain(double.call(1), double.call(PREVIOUS), double.call(PREVIOUS))
            async with Worker(registry, client):
                assert await jobs[-1].result(timeout=10) == 8

    @pytest.mark.parametrize(
        ("change", "error", "match"),
        [
            (lambda job: send.call("ada"), OptionError, "a around.double, and can't become a around.send"),
            (lambda job: double.call(1), OptionError, "takes outputs of its parents"),
            (lambda job: double, OptionError, "isn't a call"),
        ],
    )
    async def test_what_a_job_cannot_be_changed_to(
        self, redis_url: str, change: Callable[[Any], Any], error: type[Exception], match: str
    ) -> None:
        async def middleware(context: EnqueueContext, call_next: CallNext) -> None:
            context.jobs[-1].call = change(context.jobs[-1])

        async with Client(redis_url, middleware=[middleware]) as client:
            with pytest.raises(error, match=match):
                await client.chain(double.call(1), double.call(PREVIOUS))
            assert (await client.stats()).counts["awaiting"] == 0

    async def test_nothing_can_be_changed_once_it_is_sent(self, redis_url: str) -> None:
        async def late(context: EnqueueContext, call_next: CallNext) -> None:
            await call_next()
            context.jobs[0].call = context.jobs[0].call.options(queue="bulk")

        async with Client(redis_url, middleware=[late]) as client:
            with pytest.raises(MiddlewareError, match="is sent already: change it before"):
                await client.enqueue(double, 1)


@registry.job(name="around.welcome", unique="welcome:{user}", mutex="account:{user}")
async def welcome(user: int, *, mood: str = "") -> int:
    return user


class TestConstraints:
    """Unique keys, limits and ids of calls that pass through."""

    async def test_they_stay_when_other_options_change(self, redis_url: str) -> None:
        async with Client(redis_url, registry=registry, middleware=[to_bulk]) as client:
            first = await client.enqueue(welcome, 1)
            again = await client.enqueue(welcome, 1, mood="cheerful")
            (many,) = await client.enqueue_many([welcome.call(1)])
            async with client.batch() as batch:
                member = batch.enqueue(welcome, 1)
            other = await client.enqueue(welcome, 2)
            stored = await first.refresh()

        assert first.id == again.id == many.id == member.id != other.id
        assert (first.queue, stored.record.unique) == ("bulk", "welcome:1")
        assert [use.key for use in stored.record.limits] == ["account:1"]

    async def test_other_arguments_make_other_keys(self, redis_url: str) -> None:
        async def to_42(context: EnqueueContext, call_next: CallNext) -> None:
            for job in context.jobs:
                job.call = welcome.call(42)
            await call_next()

        async with Client(redis_url, middleware=[to_42]) as client:
            job = await client.enqueue(welcome, 1)
            assert job.record.unique == (await job.refresh()).record.unique == "welcome:42"

    async def test_a_middleware_can_make_jobs_unique(self, redis_url: str) -> None:
        async def once(context: EnqueueContext, call_next: CallNext) -> None:
            for job in context.jobs:
                job.call = job.call.options(unique="number:{number}")
            await call_next()

        async with Client(redis_url, middleware=[once]) as client:
            jobs = [await client.enqueue(double, number) for number in (1, 1, 2)]
            with pytest.raises(OptionError, match=r"can't continue .* a middleware has made unique"):
                await client.chain(double.call(3), double.call(4))
            with pytest.raises(CallError, match="can't be made of the output"):
                await client.chain(double.call(3), double.call(PREVIOUS))

        assert jobs[0].id == jobs[1].id != jobs[2].id

    async def test_an_id_of_ones_own_stays(self, redis_url: str) -> None:
        async with Client(redis_url, middleware=[to_bulk]) as client:
            jobs = [await client.enqueue(double.options(job_id="mine"), 1) for _ in range(2)]
            assert [job.id for job in jobs] == ["mine", "mine"]
            assert jobs[1].queue == "bulk"

    @pytest.mark.parametrize("change", [lambda: double.call(1), lambda: double.options(job_id="b").call(1)])
    async def test_and_cannot_be_changed(self, redis_url: str, change: Callable[[], Any]) -> None:
        async def middleware(context: EnqueueContext, call_next: CallNext) -> None:
            context.jobs[0].call = change()

        async with Client(redis_url, middleware=[middleware]) as client:
            with pytest.raises(OptionError, match="has its id already"):
                await client.enqueue(double.options(job_id="a"), 1)

    async def test_with_several_shards_a_job_stays_on_its_own(self) -> None:
        moved: list[int] = []
        kept: list[str] = []

        async def move(context: EnqueueContext, call_next: CallNext) -> None:
            for user in range(20):
                try:
                    context.jobs[0].call = welcome.options(mutex=None).call(user)
                    moved.append(user)
                except OptionError as error:
                    kept.append(str(error))
            await call_next()

        async with Client(MemoryStorage(shards=4), middleware=[move]) as client:
            job = await client.enqueue(welcome.options(mutex=None), 1)
            assert (await job.refresh()).record.unique == f"welcome:{moved[-1]}"
        assert 1 in moved
        assert kept
        assert all("has its shard already" in error for error in kept)


async def created(client: Client) -> int:
    return sum((await client.stats()).counts.values())


class TestErrors:
    @pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
    async def test_what_it_raises_reaches_the_caller_and_nothing_is_created(
        self, redis_url: str, verb: Verb
    ) -> None:
        async with Client(redis_url, middleware=[refuse]) as client:
            with pytest.raises(Refused, match=r"around\.double"):
                await verb(client)
            assert await created(client) == 0
            assert await client.batches() == []

    async def test_chunks_before_the_one_that_is_refused_are_there(self, redis_url: str) -> None:
        async def refuse_the_last(context: EnqueueContext, call_next: CallNext) -> None:
            if len(context.jobs) < CHUNK:
                raise Refused
            await call_next()

        async with Client(redis_url, middleware=[refuse_the_last]) as client:
            with pytest.raises(Refused):
                await client.enqueue_many(double.call(number) for number in range(CHUNK + 1))
            assert await created(client) == CHUNK

    @pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.__name__)
    async def test_one_that_does_not_call_call_next_is_told(self, redis_url: str, verb: Verb) -> None:
        async def forget(context: EnqueueContext, call_next: CallNext) -> None: ...

        async with Client(redis_url, middleware=[forget]) as client:
            with pytest.raises(MiddlewareError, match=r"nothing was created.*forget"):
                await verb(client)
            assert await created(client) == 0

    async def test_one_that_calls_it_twice_is_told(self, redis_url: str) -> None:
        async def stutter(context: EnqueueContext, call_next: CallNext) -> None:
            await call_next()
            await call_next()

        async with Client(redis_url, middleware=[stutter]) as client:
            with pytest.raises(MiddlewareError, match="stutter calls call_next a second time"):
                await client.enqueue(double, 1)
            assert await created(client) == 1

    async def test_what_keeps_a_job_from_being_created_cannot_be_hidden(
        self, redis_url: str, plain: Client
    ) -> None:
        seen: list[Exception] = []

        async def hide(context: EnqueueContext, call_next: CallNext) -> None:
            try:
                await call_next()
            except ParentGone as error:
                seen.append(error)

        gone = await plain.enqueue(double, 1)
        await gone.delete()
        async with Client(redis_url, middleware=[hide]) as client:
            with pytest.raises(ParentGone) as caught:
                await client.continue_with(gone, double, 1)
        assert seen == [caught.value]

    async def test_but_another_error_can_be_made_of_it(self) -> None:
        async def tell(context: EnqueueContext, call_next: CallNext) -> None:
            try:
                await call_next()
            except StorageUnavailable as error:
                raise Refused("Redis is away") from error

        client = Client("redis://127.0.0.1:1/0", patience=0, middleware=[tell])
        with pytest.raises(Refused, match="Redis is away"):
            await client.enqueue(double, 1)
        await client.close()

    async def test_a_batch_that_was_refused_can_be_committed_later(self, redis_url: str) -> None:
        open_for_business = False

        async def middleware(context: EnqueueContext, call_next: CallNext) -> None:
            if not open_for_business:
                raise Refused
            await call_next()

        async with Client(redis_url, middleware=[middleware, to_bulk]) as client:
            building = client.batch()
            job = building.enqueue(double, 1)
            with pytest.raises(Refused):
                await building.commit()
            open_for_business = True
            await building.commit()
            assert building.is_committed
            assert (await job.refresh()).queue == "bulk"
            open_for_business = False
            await building.commit()
            assert (await client.batch_of(building.id).refresh()).total == 1

    async def test_a_batch_that_could_not_be_sent_is_sent_again_as_middleware_has_made_it(
        self, own_server: ServerFactory
    ) -> None:
        seen = 0

        async def count(context: EnqueueContext, call_next: CallNext) -> None:
            nonlocal seen
            seen += 1
            await call_next()

        server = own_server()
        async with Client(server.url, middleware=[count, to_bulk]) as client:
            server.command("CONFIG", "SET", "maxmemory", "1")
            building = client.batch()
            job = building.enqueue(double, 1)
            for _ in range(2):
                with pytest.raises(StorageFull):
                    await building.commit()
            server.command("CONFIG", "SET", "maxmemory", "0")
            await building.commit()
            await building.commit()
            assert (await job.refresh()).queue == "bulk"
            assert (await client.batch_of(building.id).refresh()).total == 1
        assert seen == 1

    @pytest.mark.parametrize(
        ("wrong", "match"),
        [
            (5, "made of a function, not of 5"),
            (lambda context, call_next: None, "has to be a coroutine function"),
            (created, "called with a context and call_next: too many positional"),
        ],
    )
    async def test_what_cannot_be_middleware(self, redis_url: str, wrong: Any, match: str) -> None:
        for declare in (
            lambda: Client(redis_url, middleware=[wrong]),
            lambda: Registry(enqueue_middleware=[wrong]),
            lambda: Registry().enqueue_middleware(wrong),
            lambda: Registry(middleware=[wrong]),
            lambda: Registry().middleware(wrong),
        ):
            with pytest.raises(DefinitionError, match=match):
                declare()


class TestInsideWorkers:
    @pytest.mark.parametrize("job", [spawn, spawn_from_a_thread], ids=["coroutine", "thread"])
    async def test_what_a_job_enqueues_passes_through_the_workers_client(
        self, redis_url: str, job: Any
    ) -> None:
        seen: list[tuple[str, str]] = []

        async def link(context: EnqueueContext, call_next: CallNext) -> None:
            seen.extend((draft.id, current_context().id) for draft in context.jobs)
            await call_next()

        async with (
            Client(redis_url, registry=registry) as outside,
            Worker(registry, Client(redis_url, middleware=[link])),
        ):
            parent = await outside.enqueue(job)
            child = await parent.result(timeout=10)

        assert seen == [(child, parent.id)]

    async def test_a_worker_whose_client_had_no_registry_has_its_own_ones(self, redis_url: str) -> None:
        own, recorder = Registry(), Recorder()
        own.enqueue_middleware(recorder)
        spawning = own.job(context=True)(spawn.fn)
        own.job(name="around.double")(double.fn)

        async with Client(redis_url) as client, Worker(own, client):
            child = await (await client.enqueue(spawning)).result(timeout=10)
        assert child in recorder.ids


class TestSyncClient:
    async def test_one_of_its_own(self, redis_url: str, recorder: Recorder) -> None:
        with SyncClient(redis_url, registry=registry, middleware=iter([recorder, to_bulk])) as client:
            job = client.enqueue(double, 1)
            assert client.get(job.id).job.queue == "bulk"  # type: ignore[union-attr]
            many = client.enqueue_many([double.call(1)])
            with client.batch() as building:
                member = building.enqueue(double, 2)

        assert recorder.seen == [[job.id], [many[0].id], [member.id]]
        assert member.queue == "bulk"


class TestCalls:
    def test_the_same_call_with_other_options(self) -> None:
        call = send.call("ada", subject="Hi")
        other = call.options(queue="mail", priority=-1)

        assert other.arguments() == call.arguments() == (["ada"], {"subject": "Hi"})
        assert (other.definition.settings.queue, other.definition.settings.priority) == ("mail", -1)
        assert call.definition is send

    def test_arguments_are_copies(self) -> None:
        registry = Registry()

        @registry.job
        async def total(numbers: list[int]) -> int:
            return sum(numbers)

        call = total.call([1])
        call.arguments()[0][0].append(2)
        assert call.arguments() == ([[1]], {})
