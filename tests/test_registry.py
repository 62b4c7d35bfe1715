"""Declaring jobs: what is a job, what it's called, which options it has, and what is refused."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest

from asyncjobs import Exponential, JobContext, ProcessContext, Registry, Retry
from asyncjobs.errors import (
    CallError,
    DefinitionError,
    OptionError,
    PayloadTooLarge,
    SerializationError,
    UnknownJob,
)
from asyncjobs.options import JobOptions
from asyncjobs.serialization import MsgpackSerializer


class Colour(Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: int


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def send(to: str, *, subject: str = "") -> str:
    """Send a message."""
    return f"{to}: {subject}"


class TestDefinitions:
    async def test_a_job_can_still_be_called_as_the_function_it_is(self, registry: Registry) -> None:
        job = registry.job(send)
        assert await job("ada", subject="Hi") == "ada: Hi"

        @registry.job(name="resize", runs_in="thread")
        def resize(width: int) -> int:
            return width * 2

        assert resize(4) == 8

    def test_it_looks_like_its_function(self, registry: Registry) -> None:
        job = registry.job(send)
        assert job.__doc__ == "Send a message."
        assert job.__name__ == "send"
        assert inspect.unwrap(job) is send
        assert repr(job) == f"<AsyncDefinition {__name__}.send>"

    def test_its_name_is_where_it_is_unless_it_is_given_one(self, registry: Registry) -> None:
        assert registry.job(send).name == f"{__name__}.send"
        assert registry.job(name="mail.send")(send).name == "mail.send"

    def test_it_is_found_by_its_name_and_by_its_aliases(self, registry: Registry) -> None:
        job = registry.job(name="mail.send", aliases=["send_mail", "old.send"])(send)
        assert registry.get("mail.send") is registry.get("send_mail") is registry.get("old.send") is job
        assert registry.definitions() == [job]

    def test_an_unknown_name_says_what_may_have_happened(self, registry: Registry) -> None:
        with pytest.raises(UnknownJob, match=r"'mail.send'.*imported.*aliases=\['mail.send'\]"):
            registry.get("mail.send")

    def test_where_it_runs(self, registry: Registry) -> None:
        assert registry.job(send).runs == "loop"
        assert registry.job(name="len")(len).runs == "thread"
        assert registry.job(name="sum", runs_in="process")(sum).runs == "process"

    def test_queues_are_those_that_definitions_name(self, registry: Registry) -> None:
        registry.job(name="a", queue="mail")(send)
        registry.job(name="b", queue="bulk")(send)
        registry.external("c", queue="elsewhere")(send)
        assert registry.queues() == ["bulk", "mail"]


class TestRefusedDefinitions:
    def refused(self, match: str, declare: Callable[[], object]) -> None:
        with pytest.raises(DefinitionError, match=match):
            declare()

    def test_two_of_one_name(self, registry: Registry) -> None:
        registry.job(name="mail.send", aliases=["send"])(send)
        self.refused("'mail.send'.*name=", lambda: registry.job(name="mail.send")(send))
        self.refused("'send'", lambda: registry.job(name="send")(send))
        self.refused("'send'", lambda: registry.job(name="other", aliases=["send"])(send))
        assert [definition.name for definition in registry.definitions()] == ["mail.send"]

    @pytest.mark.parametrize("name", ["with space", "tab\t", "x" * 201])
    def test_names_that_cannot_be(self, registry: Registry, name: str) -> None:
        self.refused("1 to 200 characters without spaces", lambda: registry.job(name=name)(send))

    def test_a_context_that_is_not_announced_or_not_first(self, registry: Registry) -> None:
        async def unannounced(context: JobContext, path: str) -> None: ...
        async def second(path: str, context: JobContext) -> None: ...
        async def twice(context: JobContext, other: JobContext) -> None: ...
        async def without() -> None: ...
        async def keyword(*, context: JobContext) -> None: ...

        with_context: Any = registry.job(context=True)
        self.refused("context=True", lambda: registry.job(unannounced))
        self.refused("first", lambda: with_context(second))
        self.refused("only one", lambda: with_context(twice))
        self.refused("no first argument", lambda: with_context(without))
        self.refused("no first argument", lambda: with_context(keyword))

    def test_a_context_needs_no_annotation(self, registry: Registry) -> None:
        def plain(context: Any, path: str) -> str:
            return path

        assert registry.job(context=True)(plain).takes_context

    def test_generators(self, registry: Registry) -> None:
        def numbers() -> Iterator[int]:
            yield 1

        async def later() -> AsyncIterator[int]:
            yield 1

        self.refused("generator.*one value", lambda: registry.job(numbers))
        self.refused("generator.*one value", lambda: registry.job(later))

    def test_a_coroutine_function_with_runs_in(self, registry: Registry) -> None:
        self.refused("remove runs_in='thread'", lambda: registry.job(runs_in="thread")(send))

    def test_a_process_job_that_a_child_could_not_import(self, registry: Registry) -> None:
        def inner() -> None: ...

        self.refused("top of its module", lambda: registry.job(runs_in="process")(inner))

    def test_what_is_no_function_or_a_job_already(self, registry: Registry) -> None:
        declare: Any = registry.job
        job = registry.job(send)
        self.refused("declared twice", lambda: declare(job))
        self.refused("made of a function, not of 5", lambda: declare(5))


class TestOptions:
    def test_defaults_come_from_the_registry_and_are_overridden_by_the_definition(self) -> None:
        registry = Registry(queue="mail", timeout=timedelta(minutes=1), retry=Retry(max_retries=2))
        plain = registry.job(name="a")(send)
        own = registry.job(name="b", queue="bulk", timeout=None)(send)
        assert (plain.defaults.queue, plain.defaults.timeout_ms) == ("mail", 60_000)
        assert (own.defaults.queue, own.defaults.timeout_ms) == ("bulk", None)
        assert own.defaults.retry == Retry(max_retries=2)

    def test_without_any_they_are_the_documented_ones(self, registry: Registry) -> None:
        options = registry.job(send).defaults
        assert options == JobOptions()
        assert (options.queue, options.priority, options.timeout_ms, options.retry.max_retries) == (
            "default",
            0,
            None,
            10,
        )
        assert (options.keep_result, options.retention_ms, options.max_recoveries) == (True, None, 3)

    @pytest.mark.parametrize(
        ("options", "match"),
        [
            ({"retries": 3}, "there is no option retries: give some of queue, priority, retry"),
            ({"queue": "two words"}, "queue name 'two words'"),
            ({"priority": 501}, "priority is 501"),
            ({"retry": 3}, r"Retry\(max_retries=5\)"),
            ({"timeout": 0}, "timeout"),
            ({"timeout": "30"}, "timedelta, or a number of seconds"),
            ({"retention": -1}, "negative"),
            ({"max_recoveries": -1}, "max_recoveries"),
            ({"keep_result": 1}, "True or False"),
        ],
    )
    def test_a_wrong_one_is_refused_wherever_it_is_given(self, options: dict[str, Any], match: str) -> None:
        with pytest.raises(OptionError, match=match):
            Registry(**options)
        registry = Registry()
        with pytest.raises(OptionError, match=match):
            registry.job(**options)
        with pytest.raises(OptionError, match=match):
            registry.external("mail.send", **options)
        job = registry.job(send)
        with pytest.raises(OptionError, match=match):
            job.options(**options)

    def test_options_of_one_call_leave_the_definition_as_it_was(self, registry: Registry) -> None:
        job = registry.job(queue="mail", priority=1)(send)
        bulk = job.options(queue="bulk").options(priority=5)
        assert (bulk.settings.queue, bulk.settings.priority) == ("bulk", 5)
        assert (job.settings.queue, job.settings.priority) == ("mail", 1)
        assert bulk.name == job.name
        assert registry.definitions() == [job]


class TestCalls:
    @pytest.mark.parametrize(
        ("args", "kwargs"),
        [
            ((), {}),
            (("a", "b"), {}),
            (("a",), {"to": "b"}),
            (("a",), {"sujet": "b"}),
            ((), {"subject": "b"}),
        ],
    )
    def test_arguments_that_do_not_fit_are_refused_where_the_call_is_made(
        self, registry: Registry, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        job = registry.job(name="mail.send")(send)
        with pytest.raises(CallError, match=r"mail\.send\(to: 'str', \*, subject: 'str' = ''\)"):
            job.call(*args, **kwargs)

    def test_the_context_is_not_an_argument(self, registry: Registry) -> None:
        @registry.job(context=True)
        async def rows(context: JobContext, path: str) -> None: ...

        assert rows.call("rows.csv").payload == rows.call("rows.csv").payload
        with pytest.raises(CallError):
            rows.call("rows.csv", "more")  # type: ignore[call-arg]
        with pytest.raises(CallError):
            rows.call()  # type: ignore[call-arg]

    def test_any_parameter_names_will_do(self, registry: Registry) -> None:
        @registry.job
        async def awkward(
            self: int, fn: int, definition: int, on: int, call: int, args: int, kwargs: int
        ) -> int:
            return self + fn + definition + on + call + args + kwargs

        call = awkward.call(self=1, fn=2, definition=3, on=4, call=5, args=6, kwargs=7)
        assert call.definition is awkward
        assert asyncio.run(awkward(self=1, fn=2, definition=3, on=4, call=5, args=6, kwargs=7)) == 28

    def test_variable_and_positional_only_parameters(self, registry: Registry) -> None:
        @registry.job
        async def variable(first: int, /, *rest: int, flag: bool = False, **more: int) -> None: ...

        variable.call(1, 2, 3, flag=True, first=4)
        variable.call(1)
        with pytest.raises(CallError):
            variable.call(flag=True)  # type: ignore[call-arg]

    def test_a_value_that_cannot_be_packed_is_named(self, registry: Registry) -> None:
        job = registry.job(name="mail.send")(send)
        with pytest.raises(SerializationError, match="argument 'to'"):
            job.call(object())  # type: ignore[arg-type]
        with pytest.raises(SerializationError, match=r"argument 'subject'.*subject\['deep'\]\[1\]"):
            job.call("ada", subject={"deep": [1, object()]})  # type: ignore[arg-type]

    def test_arguments_over_the_limit_are_refused_and_the_limit_is_the_registrys(self) -> None:
        job = Registry(max_payload=100).job(name="mail.send")(send)
        job.call("x" * 80)
        with pytest.raises(PayloadTooLarge, match=r"the arguments of mail\.send.*limit is 100"):
            job.call("x" * 100)
        assert len(Registry().job(send).call("x" * 1_000_000).payload) > 1_000_000
        with pytest.raises(PayloadTooLarge):
            Registry().job(send).call("x" * 1_048_576)

    def test_arguments_are_taken_as_they_are_now(self, registry: Registry) -> None:
        @registry.job
        async def add(numbers: list[int]) -> None: ...

        numbers = [1]
        call = add.call(numbers)
        numbers.append(2)
        assert MsgpackSerializer().unpack(call.payload) == [[[1]]]


class TestTypes:
    def test_types_in_annotations_are_known_by_themselves(self, registry: Registry) -> None:
        @registry.job
        async def paint(points: list[Point], colour: Colour | None = None) -> None: ...

        call = paint.call([Point(1, 2)], Colour.RED)
        assert registry.serializer.unpack(call.payload) == [[[Point(1, 2)], Colour.RED]]

    def test_others_are_registered_by_hand(self, registry: Registry) -> None:
        @registry.job
        async def paint(what: object) -> None: ...

        with pytest.raises(SerializationError, match="register"):
            paint.call(Point(1, 2))
        assert registry.register_type(Point) is Point
        paint.call(Point(1, 2))

    def test_a_serializer_that_knows_no_types_is_named(self) -> None:
        class Plain:
            def pack(self, value: Any, /) -> bytes:
                return repr(value).encode()

            def unpack(self, data: bytes, /) -> Any:
                return None

        with pytest.raises(OptionError, match=r"Plain has no register\(\).*Point"):
            Registry(serializer=Plain()).register_type(Point)


class TestExternal:
    def test_it_is_enqueued_by_its_name_and_with_its_signature(self, registry: Registry) -> None:
        job = registry.external("mail.send", queue="mail")(send)
        assert (job.name, job.runs, job.settings.queue) == ("mail.send", "elsewhere", "mail")
        job.call("ada", subject="Hi")
        with pytest.raises(CallError, match=r"mail\.send"):
            job.call("ada", "Hi")  # type: ignore[call-arg]

    def test_types_in_its_annotations_are_known_as_well(self, registry: Registry) -> None:
        @registry.external("paint")
        async def paint(point: Point) -> None: ...

        assert registry.serializer.unpack(paint.call(Point(1, 2)).payload) == [[Point(1, 2)]]

    def test_a_second_of_the_name_is_refused(self, registry: Registry) -> None:
        registry.job(name="mail.send")(send)
        with pytest.raises(DefinitionError, match=r"two jobs are called 'mail\.send'"):
            registry.external("mail.send")(send)


async def watch() -> int:
    """Keep an eye on it."""
    return 1


async def watch_with_context(context: ProcessContext) -> str:
    return context.name


class TestProcesses:
    async def test_it_can_still_be_called_as_the_function_it_is(self, registry: Registry) -> None:
        bare = registry.process(watch)
        with_context = registry.process(name="other", context=True)(watch_with_context)

        assert await bare() == 1
        context = ProcessContext("name", Any, lambda: "worker", asyncio.Event())  # type: ignore[arg-type]
        assert await with_context(context) == "name"
        assert bare.__doc__ == "Keep an eye on it."
        assert inspect.unwrap(bare) is watch
        assert repr(bare) == f"<BackgroundProcess {__name__}.watch>"

    def test_its_name_is_where_it_is_unless_it_is_given_one(self, registry: Registry) -> None:
        assert registry.process(watch).name == f"{__name__}.watch"
        assert registry.process(name="watch")(watch).name == "watch"
        assert [process.name for process in registry.processes()] == [f"{__name__}.watch", "watch"]

    def test_a_job_may_have_the_same_name(self, registry: Registry) -> None:
        registry.job(name="mail")(send)
        registry.process(name="mail")(watch)

    def test_its_options_and_their_defaults(self, registry: Registry) -> None:
        options = registry.process(name="a")(watch).options
        assert (options.every_ms, options.scope, options.ttl_ms, options.grace_ms) == (
            None,
            "worker",
            10_000,
            0,
        )
        assert options.backoff == Exponential(base=1, cap=60, jitter="equal")
        backoff = Exponential(base=5)
        options = registry.process(
            name="b",
            every=timedelta(minutes=1),
            scope="cluster",
            ttl=2.5,
            backoff=backoff,
            grace=timedelta(seconds=3),
        )(watch).options
        assert (options.every_ms, options.scope, options.ttl_ms, options.grace_ms) == (
            *(60_000, "cluster"),
            *(2_500, 3_000),
        )
        assert options.backoff is backoff

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"every": 0}, "every is 0"),
            ({"every": -1}, "every is -1"),
            ({"every": "5"}, "every is '5': give a timedelta, or a number of seconds"),
            ({"scope": "all"}, "scope is 'all'"),
            ({"ttl": 5}, 'ttl is for scope="cluster"'),
            ({"scope": "cluster", "ttl": 0.5}, "ttl is 0.5: give 1 second to 1 day"),
            ({"scope": "cluster", "ttl": timedelta(days=2)}, "give 1 second to 1 day"),
            ({"backoff": 5}, "backoff is 5: give an Exponential"),
            ({"grace": -1}, "grace is -1"),
        ],
    )
    def test_options_that_cannot_be_right_are_refused_where_they_are_written(
        self, registry: Registry, options: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(OptionError, match=message):
            registry.process(**options)

    def test_what_no_process_can_be_made_of_is_refused(self, registry: Registry) -> None:
        def plain() -> None: ...

        async def takes_something(number: int) -> None: ...

        async def takes_anything(*numbers: int, **more: int) -> None: ...

        async def takes_something_more(context: ProcessContext, number: int = 1) -> None: ...

        async def takes_it_by_name(*, context: ProcessContext) -> None: ...

        async def takes_a_jobs(context: JobContext) -> None: ...

        async def generates() -> AsyncIterator[int]:
            yield 1

        declare: Any = registry.process
        for fn, message in (
            (plain, "coroutine function"),
            (generates, "coroutine function"),
            (5, "coroutine function, and 5 isn't one"),
            (takes_something, "has parameters, and nobody to give them"),
            (takes_anything, "has parameters"),
            (watch_with_context, r"declare it with @registry\.process\(context=True\)"),
            (takes_a_jobs, "gets a ProcessContext"),
            (registry.job(send), "declared twice"),
            (registry.process(name="once")(watch), "once is declared twice"),
            (functools.partial(watch), "name="),
        ):
            with pytest.raises(DefinitionError, match=message):
                declare(fn)
        for fn in (watch, takes_something_more, takes_it_by_name, takes_anything):
            with pytest.raises(DefinitionError, match="has to take one argument, and no other"):
                declare(context=True)(fn)
        assert [process.name for process in registry.processes()] == ["once"]

    def test_two_of_one_name_are_refused(self, registry: Registry) -> None:
        registry.process(name="watch")(watch)
        with pytest.raises(DefinitionError, match="two processes are called 'watch'"):
            registry.process(name="watch")(watch)

    @pytest.mark.parametrize("name", ["", "two words", "x" * 201])
    def test_names_that_cannot_be_are_refused(self, registry: Registry, name: str) -> None:
        with pytest.raises(DefinitionError, match="can't be a process' name"):
            registry.process(name=name)(watch)
