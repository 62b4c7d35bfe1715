"""Retry: what is retried, after how long, and what a call's own setting can carry."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from datetime import timedelta
from typing import Any

import pytest

from asyncjobs.errors import OptionError, SerializationError
from asyncjobs.retry import MAX_RETRY_DELAY, Exponential, Retry, to_ms

ERROR = RuntimeError("boom")


def lowest() -> float:
    return 0.0


def highest() -> float:
    return 1.0


class DeclinedError(ValueError):
    pass


class TestToMs:
    @pytest.mark.parametrize(
        ("value", "ms"),
        [
            (0, 0),
            (30, 30_000),
            (0.25, 250),
            (0.1 * 3, 300),
            (0.00001, 1),
            (timedelta(minutes=5), 300_000),
            (timedelta(microseconds=1), 1),
            (timedelta(days=36_525), 36_525 * 86_400_000),
        ],
    )
    def test_durations_become_milliseconds(self, value: Any, ms: int) -> None:
        assert to_ms(value, "timeout") == ms
        assert type(to_ms(value, "timeout")) is int

    @pytest.mark.parametrize(
        "value",
        [
            -1, -0.001, math.nan, math.inf, -math.inf, True, "30", None, [1], 10**400, timedelta(seconds=-1),
            timedelta.max, timedelta.min,
        ],
    )  # fmt: skip
    def test_what_is_no_duration_is_refused_by_name(self, value: Any) -> None:
        with pytest.raises(OptionError, match=r"^timeout is"):
            to_ms(value, "timeout")


class TestDelay:
    @pytest.mark.parametrize(("n", "seconds"), [(1, 15), (2, 16), (3, 31), (4, 96), (10, 6576)])
    def test_default_grows_with_the_fourth_power_and_a_random_part(self, n: int, seconds: int) -> None:
        assert Retry().delay_ms(n, ERROR, lowest) == seconds * 1000
        assert Retry().delay_ms(n, ERROR, highest) == (seconds + 30 * n) * 1000

    def test_default_is_random_by_itself(self) -> None:
        delays = {Retry().delay_ms(3, ERROR) for _ in range(50)}
        assert len(delays) > 1
        assert all(31_000 <= delay <= 121_000 for delay in delays)

    @pytest.mark.parametrize("delay", [7, 7.0, timedelta(seconds=7)])
    def test_a_duration_is_constant(self, delay: Any) -> None:
        retry = Retry(delay=delay)
        assert [retry.delay_ms(n, ERROR) for n in (1, 2, 9)] == [7000, 7000, 7000]

    @pytest.mark.parametrize("delay", [[1, timedelta(minutes=1), 2.5], (1, timedelta(minutes=1), 2.5)])
    def test_a_list_goes_in_order_and_repeats_its_last(self, delay: Any) -> None:
        retry = Retry(delay=delay)
        assert [retry.delay_ms(n, ERROR) for n in (1, 2, 3, 4, 50)] == [1000, 60_000, 2500, 2500, 2500]

    def test_exponential_grows_up_to_its_cap(self) -> None:
        retry = Retry(delay=Exponential(base=2, factor=3, cap=100, jitter="none"))
        assert [retry.delay_ms(n, ERROR) for n in (1, 2, 3, 4, 5)] == [2000, 6000, 18_000, 54_000, 100_000]
        assert retry.delay_ms(100_000, ERROR) == 100_000

    @pytest.mark.parametrize(
        ("jitter", "least", "most"), [("none", 4000, 4000), ("equal", 2000, 4000), ("full", 0, 4000)]
    )
    def test_jitter_spreads_downwards(self, jitter: Any, least: int, most: int) -> None:
        exponential = Exponential(jitter=jitter)
        assert exponential.delay_ms(3, lowest) == least
        assert exponential.delay_ms(3, highest) == most

    def test_a_function_gets_the_number_and_the_exception(self) -> None:
        seen: list[tuple[int, BaseException]] = []

        def delay(number: int, exception: BaseException) -> timedelta:
            seen.append((number, exception))
            return timedelta(seconds=number)

        assert Retry(delay=delay).delay_ms(4, ERROR) == 4000
        assert seen == [(4, ERROR)]
        assert Retry(delay=lambda number, _: 0.5 * number).delay_ms(3, ERROR) == 1500

    @pytest.mark.parametrize("given", [-1, math.nan, None, "soon"])
    def test_a_function_that_gives_no_duration_is_named(self, given: Any) -> None:
        def backwards(number: int, exception: BaseException) -> Any:
            return given

        with pytest.raises(OptionError, match="backwards"):
            Retry(delay=backwards).delay_ms(1, ERROR)

    @pytest.mark.parametrize(
        "delay",
        [None, Exponential(base=86_400, cap=timedelta(days=3650), jitter="none"), lambda n, _: 10**9],
    )
    def test_no_delay_is_longer_than_a_year(self, delay: Any) -> None:
        assert Retry(delay=delay).delay_ms(5000, ERROR) == MAX_RETRY_DELAY // timedelta(milliseconds=1)


class TestWhichExceptions:
    def test_everything_by_default(self) -> None:
        assert Retry().retries(ERROR)
        assert Retry().retries(KeyboardInterrupt())

    def test_only_and_its_subclasses(self) -> None:
        retry = Retry(only=(ValueError, OSError))
        assert retry.retries(DeclinedError())
        assert retry.retries(ConnectionError())
        assert not retry.retries(ERROR)

    def test_except_counts_more_than_only(self) -> None:
        retry = Retry(only=(ValueError,), except_=(DeclinedError,))
        assert retry.retries(ValueError())
        assert not retry.retries(DeclinedError())
        assert not Retry(except_=(DeclinedError,)).retries(DeclinedError())


class TestChecked:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"max_retries": -1}, "max_retries"),
            ({"max_retries": True}, "max_retries"),
            ({"max_retries": 2.0}, "max_retries"),
            ({"max_retries": None}, "max_retries"),
            ({"delay": -1}, "delay"),
            ({"delay": "1s"}, "delay"),
            ({"delay": []}, "empty"),
            ({"delay": [1, -2]}, "delay"),
            ({"delay": timedelta(days=366)}, "365 days"),
            ({"only": (ValueError, "OSError")}, "only"),
            ({"only": ValueError}, r"only=\(ValueError,\)"),
            ({"except_": [ValueError]}, "except_"),
            ({"except_": (int,)}, "except_"),
            ({"only": (ValueError,), "except_": (ValueError,)}, "both"),
            ({"on_exhausted": "delete"}, "on_exhausted"),
        ],
    )
    def test_what_can_not_be_right_is_refused_when_made(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            Retry(**settings)

    def test_an_async_delay_function_is_refused(self) -> None:
        async def delay(number: int, exception: BaseException) -> float:
            return 1

        with pytest.raises(OptionError, match="async"):
            Retry(delay=delay)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"base": 0}, "base"),
            ({"base": -1}, "base"),
            ({"base": 10, "cap": 5}, "shorter"),
            ({"factor": 0.5}, "factor"),
            ({"factor": math.nan}, "factor"),
            ({"factor": math.inf}, "factor"),
            ({"factor": True}, "factor"),
            ({"factor": "2"}, "factor"),
            ({"jitter": "some"}, "jitter"),
        ],
    )
    def test_exponential_is_checked_too(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            Exponential(**settings)

    def test_is_a_frozen_hashable_value(self) -> None:
        retry = Retry(3, [1, 2], only=(ValueError,))
        assert retry == Retry(3, (timedelta(seconds=1), 2.0), only=(ValueError,))
        assert (
            len(
                {
                    retry,
                    Retry(3, [1, 2], only=(ValueError,)),
                    Retry(3, Exponential()),
                    Retry(3, Exponential(1.0)),
                }
            )
            == 2
        )
        with pytest.raises(FrozenInstanceError):
            retry.max_retries = 4  # type: ignore[misc]


class TestTravelling:
    @pytest.mark.parametrize(
        "retry",
        [
            Retry(),
            Retry(0),
            Retry(3, 5),
            Retry(delay=timedelta(milliseconds=1)),
            Retry(delay=0),
            Retry(delay=[1, timedelta(minutes=2)]),
            Retry(delay=[1]),
            Retry(delay=Exponential(0.5, 1.5, 60, "equal")),
            Retry(on_exhausted="cancel"),
        ],
    )
    @pytest.mark.parametrize(
        "base",
        [
            None,
            Retry(7, [9], on_exhausted="cancel"),
            Retry(delay=lambda n, _: n, only=(OSError,), except_=(TimeoutError,)),
        ],
    )
    def test_comes_back_over_any_base(self, retry: Retry, base: Retry | None) -> None:
        assert Retry.unpack(retry.pack(base), base) == retry

    def test_carries_only_what_differs(self) -> None:
        declared = Retry(5, lambda number, _: number, only=(ValueError,))
        assert declared.pack(declared) == {}
        assert Retry().pack() == {}
        assert replace(declared, max_retries=7).pack(declared) == {"n": 7}
        assert Retry.unpack({"n": 7}, declared) == replace(declared, max_retries=7)

    @pytest.mark.parametrize(
        "retry", [Retry(delay=lambda n, _: n), Retry(only=(ValueError,)), Retry(except_=(ValueError,))]
    )
    def test_code_can_not_travel(self, retry: Retry) -> None:
        with pytest.raises(OptionError, match=r"declare (it|them)"):
            retry.pack()

    @pytest.mark.parametrize(
        "packed",
        [
            {"z": 1},
            {"n": -1},
            {"n": "3"},
            {"d": -5},
            {"d": "x"},
            {"d": {"b": 1}},
            {"d": 10**30},
            {"x": "?"},
            {"o": ["ValueError"]},
            [1],
        ],
    )
    def test_what_pack_does_not_give_is_an_error(self, packed: Any) -> None:
        with pytest.raises(SerializationError, match="can't be read"):
            Retry.unpack(packed)
