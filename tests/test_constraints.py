"""Keys made of the arguments of a call: templates and functions, and what can't make one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from asyncjobs import PREVIOUS, Client, JobContext, Limit, Registry, Unique
from asyncjobs.constraints import MAX_KEY, Constraints, storable
from asyncjobs.errors import CallError, DefinitionError, OptionError
from asyncjobs.storage.base import MUTEX, LimitUse, Numbers, Until
from asyncjobs.storage.memory import MemoryStorage


@dataclass
class User:
    id: int
    name: str = "ada"


@pytest.fixture
def registry() -> Registry:
    return Registry()


async def send(user_id: int, to: str = "ada", *, subject: str = "Hi") -> None: ...


async def rows(row: dict[str, Any], user: User | None = None) -> None: ...


async def any_number(first: int, *numbers: int, **labels: str) -> None: ...


async def positional(number: int, /, text: str = "x") -> None: ...


def key(registry: Registry, fn: Callable[..., Any], template: Any, *args: Any, **kwargs: Any) -> str:
    """The unique key of one call."""
    constraints = registry.job(unique=template)(fn).call(*args, **kwargs).constraints
    assert constraints is not None
    assert constraints.unique is not None
    return constraints.unique.key


class TestTemplates:
    @pytest.mark.parametrize(
        ("template", "args", "kwargs", "made"),
        [
            ("welcome:{user_id}", (5,), {}, "welcome:5"),
            ("welcome:{user_id}", (), {"user_id": 5}, "welcome:5"),
            ("{to}", (5,), {}, "ada"),
            ("{to}", (5, "bob"), {}, "bob"),
            ("{to}", (5,), {"to": "bob"}, "bob"),
            ("{subject}/{to}", (5,), {}, "Hi/ada"),
            ("{subject}", (5,), {"subject": "Ho"}, "Ho"),
            ("{user_id:05}", (5,), {}, "00005"),
            ("{to!r}", (5,), {}, "'ada'"),
            ("{to:>{user_id}}", (5,), {}, "  ada"),
            ("{{{user_id}}}", (5,), {}, "{5}"),
            ("all of them", (5,), {}, "all of them"),
        ],
    )
    def test_of_arguments_defaults_and_keywords(
        self, registry: Registry, template: str, args: tuple[Any, ...], kwargs: dict[str, Any], made: str
    ) -> None:
        assert key(registry, send, template, *args, **kwargs) == made

    def test_of_attributes_and_items(self, registry: Registry) -> None:
        registry.register_type(User)
        row = {"id": 7, "tags": ["a", "b"]}
        assert key(registry, rows, "{row[id]}-{row[tags][1]}", row) == "7-b"
        assert key(Registry(), rows, "{user.id}:{user.name}", {}, User(7)) == "7:ada"

    @pytest.mark.parametrize(
        ("template", "args", "kwargs", "made"),
        [
            ("{first}", (1, 2), {}, "1"),
            ("{numbers}", (1, 2, 3), {}, "(2, 3)"),
            ("{numbers[1]}", (1, 2, 3), {}, "3"),
            ("{labels[tenant]}", (1,), {"tenant": "acme"}, "acme"),
            ("{numbers}{labels}", (1,), {}, "(){}"),
        ],
    )
    def test_of_any_number_of_arguments(
        self, registry: Registry, template: str, args: tuple[Any, ...], kwargs: dict[str, Any], made: str
    ) -> None:
        assert key(registry, any_number, template, *args, **kwargs) == made

    def test_of_positional_only_arguments(self, registry: Registry) -> None:
        assert key(registry, positional, "{number}{text}", 1) == "1x"

    def test_the_context_is_no_argument(self, registry: Registry) -> None:
        async def work(context: JobContext, tenant: str) -> None: ...

        job = registry.job(context=True, unique="{tenant}", mutex=lambda tenant: tenant)(work)
        constraints = job.call("acme").constraints
        assert constraints is not None
        assert constraints.unique is not None
        assert constraints.unique.key == "acme"
        with pytest.raises(DefinitionError, match=r"names \{context\}, which is none of its parameters"):
            Registry().job(context=True, unique="{context}")(work)

    @pytest.mark.parametrize(
        ("template", "message"),
        [
            ("{nobody}", r"names \{nobody\}, which is none of its parameters: \(user_id: "),
            ("{user}", r"names \{user\}"),
            ("{User_id}", r"names \{User_id\}"),
            ("{user_id:{nobody}}", r"names \{nobody\}"),
            ("{nobody.id}", r"names \{nobody\}"),
            ("{nobody[id]}", r"names \{nobody\}"),
            ("{}", r"names \{\}"),
            ("{0}", r"names \{0\}"),
            ("{ user_id }", r"names \{ user_id \}"),
            ("{", "can't be read"),
            ("}", "can't be read"),
            ("{user_id", "can't be read"),
            ("{user_id!x}", "can't be read: !x is no conversion"),
        ],
    )
    def test_one_that_cannot_be_right_is_refused_where_it_is_declared(
        self, registry: Registry, template: str, message: str
    ) -> None:
        for options, what in (
            ({"unique": template}, "unique key"),
            ({"unique": Unique(template)}, "unique key"),
            ({"mutex": template}, "mutex"),
            ({"limits": [Limit("tenant", 1, key=template)]}, "key of limit 'tenant'"),
        ):
            with pytest.raises(DefinitionError, match=message) as told:
                registry.job(**options)(send)  # type: ignore[call-overload]
            assert f"test_constraints.send: the {what} {template!r} " in str(told.value)
        # Nothing is left of what was refused.
        job = registry.job(send)
        with pytest.raises(DefinitionError, match=message):
            job.options(unique=template)
        assert registry.limits() == []

    @pytest.mark.parametrize(
        ("template", "args", "why"),
        [
            ("{user.id}", ({},), "AttributeError: 'NoneType' object has no attribute 'id'"),
            ("{row[id]}", ({},), "KeyError: 'id'"),
            ("{row:5}", ({},), "TypeError: unsupported format string"),
        ],
    )
    def test_arguments_that_make_none_are_refused_where_the_call_is_made(
        self, registry: Registry, template: str, args: tuple[Any, ...], why: str
    ) -> None:
        job = registry.job(unique=template)(rows)
        with pytest.raises(CallError, match=rf"rows: its unique key can't be made of these arguments: {why}"):
            job.call(*args)

    def test_arguments_that_do_not_fit_are_said_to_be_the_fault(self, registry: Registry) -> None:
        job = registry.job(unique="{user_id}", mutex=lambda *_: "x")(send)
        with pytest.raises(CallError, match="missing a required argument: 'user_id'"):
            job.call()  # type: ignore[call-arg]  # pyright: ignore
        with pytest.raises(CallError, match="unexpected keyword argument 'sender'"):
            job.call(1, sender="x")  # type: ignore[call-arg]  # pyright: ignore


class TestFunctions:
    def test_it_gets_the_arguments_as_the_job_does(self, registry: Registry) -> None:
        seen: list[object] = []

        def of(user_id: int, to: str, *, subject: str) -> str:
            seen.append((user_id, to, subject))
            return f"{user_id}-{subject}"

        assert key(registry, send, of, 5) == "5-Hi"
        assert key(Registry(), send, of, 6, subject="Ho") == "6-Ho"
        assert seen == [(5, "ada", "Hi"), (6, "ada", "Ho")]
        assert key(Registry(), any_number, lambda *args, **kwargs: (args, kwargs), 1, 2, a="b") == (
            "((1, 2), {'a': 'b'})"
        )
        assert key(Registry(), positional, lambda number, text: number, 3) == "3"

    @pytest.mark.parametrize(
        ("of", "why"),
        [
            (lambda: "x", "TypeError: .*unexpected keyword"),
            (lambda **_: 1 // 0, "TypeError"),
            (lambda *_, **__: 1 // 0, "ZeroDivisionError"),
        ],
    )
    def test_what_it_raises_is_told(self, registry: Registry, of: Any, why: str) -> None:
        job = registry.job(mutex=of)(send)
        with pytest.raises(
            CallError, match=rf"send: its mutex can't be made of these arguments: .*{why}"
        ) as told:
            job.call(5)
        assert told.value.__cause__ is not None

    def test_none_is_no_key(self, registry: Registry) -> None:
        job = registry.job(unique=lambda *_, **__: None)(send)
        with pytest.raises(CallError, match="its unique key is empty"):
            job.call(5)

    def test_it_is_not_awaited(self, registry: Registry) -> None:
        async def of(*_: object, **__: object) -> str:
            return "x"

        for options in ({"unique": of}, {"mutex": of}):
            with pytest.raises(OptionError, match="give a plain function"):
                registry.job(**options)  # type: ignore[call-overload]
        with pytest.raises(OptionError, match=r"key of limit 'a' is .*give a plain function"):
            Limit("a", 1, key=of)


class TestKeys:
    @pytest.mark.parametrize("options", [{"unique": "{to}"}, {"mutex": "{to}"}], ids=str)
    def test_an_empty_one_is_refused(self, registry: Registry, options: dict[str, Any]) -> None:
        job = registry.job(**options)(send)
        with pytest.raises(CallError, match=f"send: its {next(iter(options))}.* is empty"):
            job.call(5, "")

    def test_an_empty_one_of_a_limit_is_refused(self, registry: Registry) -> None:
        job = registry.job(limits=[Limit("tenant", 1, key="{to}")])(send)
        with pytest.raises(CallError, match="its key of limit 'tenant' is empty"):
            job.call(5, "")

    @pytest.mark.parametrize("text", ["x" * MAX_KEY, "größer", "日本", "a b", "a:b", "~", "😀"])
    def test_what_can_be_printed_is_stored_as_it_is(self, text: str) -> None:
        assert storable(text) == text

    @pytest.mark.parametrize(
        "text", ["x" * (MAX_KEY + 1), "a\nb", "a\x00", "\x1b[31m", "a\u200bb", "x" * 5000 + "\n", "\ud800"]
    )
    def test_others_are_shortened_to_what_can_be_but_stay_different(self, text: str) -> None:
        stored = storable(text)
        assert len(stored) <= MAX_KEY
        assert stored.isprintable()
        assert stored == storable(text)
        assert stored != storable(text + "x") != storable(text + "y")
        assert stored[:1] == (text[:1] if text[:1].isprintable() else "?")

    async def test_the_results_of_other_jobs_make_none(self, registry: Registry) -> None:
        @registry.job
        async def first() -> str:
            return "x"

        async def second(value: object, number: int = 0) -> None: ...

        async with Client(MemoryStorage(), registry=registry) as client:
            job = await client.enqueue(first)
        output: Any = job.output
        for place, of in enumerate(
            ["{value}", "{value!r}", "{value.id}", "{value[0]}", lambda value, _: value]
        ):
            declared = Registry().job(name=str(place), unique=of)(second)
            for value in (output, PREVIOUS, [output], {"a": (output,)}):
                if value is not output and value is not PREVIOUS and of in ("{value.id}", "{value[0]}"):
                    continue
                with pytest.raises(
                    CallError, match="can't be made of the output of another job, which isn't"
                ):
                    declared.call(value)
        # It may be an argument that isn't in the key.
        assert Registry().job(unique="{number}")(second).call(output, 7).outputs == (job.id,)


class TestConstraints:
    def test_a_job_without_any_has_none(self, registry: Registry) -> None:
        assert registry.job(send).call(5).constraints is None
        bound = registry.get(f"{__name__}.send").options(unique="{user_id}")
        assert bound.options(unique=None).call(5).constraints is None

    def test_all_of_them_together(self, registry: Registry) -> None:
        job = registry.job(
            unique=Unique("{user_id}", until=2.5, on_conflict="replace"),
            limits=[Limit("smtp", rate=5, per=60), Limit("tenant", 3, key="{to}")],
            mutex="{subject}",
            expires=90,
        )(send)
        constraints = job.options(job_id="mine").call(5).constraints
        assert constraints is not None
        claim = constraints.unique
        assert claim is not None
        assert (claim.key, claim.until, claim.period_ms, claim.replaces) == ("5", Until.PERIOD, 2500, True)
        assert constraints.limits == (
            LimitUse("smtp", "", Numbers(5, 60_000)),
            LimitUse("tenant", "ada", Numbers(3)),
            LimitUse(MUTEX, "Hi", Numbers(1)),
        )
        assert (constraints.expires_ms, constraints.job_id) == (90_000, "mine")
        assert not constraints.may_be_left_out, "it replaces the other"

    def test_options_of_a_call_take_the_place_of_those_declared(self, registry: Registry) -> None:
        job = registry.job(unique="a", mutex="b", limits=[Limit("c", 1)], expires=60)(send)

        def of(**options: Any) -> Constraints | None:
            return job.options(**options).call(1).constraints

        other = of(unique="x{user_id}", mutex=None, limits=[], expires=None)
        assert other is not None
        assert other.unique is not None
        assert (other.unique.key, other.limits, other.expires_ms) == ("x1", (), 0)
        assert of(unique=None, mutex=None, limits=[], expires=None) is None
        kept = of(queue="bulk")
        assert kept is not None
        assert [use.id for use in kept.limits] == ["c", "mutex:b"]

    def test_a_registry_gives_them_to_all_its_jobs(self) -> None:
        registry = Registry(limits=[Limit("database", 5)], expires=60)
        constraints = registry.job(send).call(5).constraints
        assert constraints is not None
        assert ([use.id for use in constraints.limits], constraints.expires_ms) == (["database"], 60_000)
