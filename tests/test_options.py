"""JobOptions, Retention and due times: checked when made, merged, carried to the worker."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from asyncjobs.errors import OptionError, SerializationError
from asyncjobs.options import (
    Exponential,
    JobOptions,
    Retention,
    Retry,
    apply_overrides,
    aware,
    check_queue_name,
    epoch_ms,
    pack_overrides,
)
from asyncjobs.serialization import MsgpackSerializer


class TestDueTimes:
    def test_an_aware_datetime_is_taken_as_it_is(self) -> None:
        when = datetime(2026, 3, 1, 9, tzinfo=ZoneInfo("Europe/Berlin"))
        assert aware(when, "the time") is when
        assert epoch_ms(when, "the time") == epoch_ms(datetime(2026, 3, 1, 8, tzinfo=UTC), "the time")

    @pytest.mark.parametrize(
        ("when", "ms"),
        [
            (datetime(1970, 1, 1, tzinfo=UTC), 0),
            (datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC), 1),
            (datetime(1970, 1, 1, 0, 0, 0, 999_001, tzinfo=UTC), 1000),
            (datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), 0),
            (datetime(1969, 12, 31, 23, 59, 59, 999_500, tzinfo=UTC), 0),
            (datetime(2026, 1, 1, 0, 0, 0, 5000, tzinfo=UTC), 1_767_225_600_005),
        ],
    )
    def test_milliseconds_are_rounded_up(self, when: datetime, ms: int) -> None:
        assert epoch_ms(when, "the time") == ms

    def test_a_naive_datetime_is_refused_with_advice(self) -> None:
        with pytest.raises(OptionError, match=r"^the time to run at .*no time zone.*tzinfo=UTC"):
            aware(datetime(2026, 3, 1), "the time to run at")

    def test_a_zone_without_an_offset_is_naive_too(self) -> None:
        class Nowhere(tzinfo):
            def utcoffset(self, dt: datetime | None) -> None:
                return None

        with pytest.raises(OptionError, match="no time zone"):
            aware(datetime(2026, 3, 1, tzinfo=Nowhere()), "the time")

    @pytest.mark.parametrize("value", [5, "2026-03-01", None, timedelta(hours=1)])
    def test_anything_else_is_refused(self, value: Any) -> None:
        with pytest.raises(OptionError, match="give a datetime"):
            epoch_ms(value, "the time")


class TestQueueNames:
    @pytest.mark.parametrize("name", ["default", "a", "x" * 64, "mail.eu-1_b/c", "straße", "q(1)"])
    def test_usable(self, name: str) -> None:
        assert check_queue_name(name) == name
        assert JobOptions(queue=name).queue == name

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "x" * 65,
            "a b",
            "a:b",
            "a,b",
            "{a}",
            "a}",
            "a*",
            "a?",
            "[a]",
            "a]",
            "a\\b",
            "a\n",
            "a\t",
            "\x00",
            "\u200b",
            "\u00a0",
            None,
            5,
            b"a",
        ],
    )
    def test_refused(self, name: Any) -> None:
        with pytest.raises(OptionError, match="queue name"):
            JobOptions(queue=name)


class TestRetention:
    def test_defaults(self) -> None:
        retention = Retention()
        assert retention.age_ms("succeeded") == retention.age_ms("cancelled") == 24 * 3600 * 1000
        assert retention.age_ms("failed") == 90 * 24 * 3600 * 1000
        assert retention.max_jobs == 100_000

    def test_seconds_and_timedeltas_mean_the_same(self) -> None:
        assert Retention(succeeded=60, failed=0) == Retention(
            succeeded=timedelta(minutes=1), failed=timedelta()
        )
        assert hash(Retention(succeeded=60)) == hash(Retention(succeeded=60.0))
        assert Retention(succeeded=60).age_ms("succeeded") == 60_000

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"succeeded": -1}, "Retention succeeded"),
            ({"cancelled": math.nan}, "Retention cancelled"),
            ({"failed": "90d"}, "Retention failed"),
            ({"failed": timedelta.max}, "100 years"),
            ({"max_jobs": -1}, "max_jobs"),
            ({"max_jobs": True}, "max_jobs"),
            ({"max_jobs": 1e5}, "max_jobs"),
        ],
    )
    def test_checked(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            Retention(**settings)


class TestJobOptions:
    def test_defaults(self) -> None:
        options = JobOptions()
        assert (options.queue, options.priority, options.retry) == ("default", 0, Retry())
        assert (options.timeout_ms, options.retention_ms) == (None, None)
        assert (options.keep_result, options.max_recoveries) == (True, 3)

    def test_merge_takes_what_users_give(self) -> None:
        options = JobOptions().merge(
            queue="bulk", priority=-500, timeout=1.5, retention=timedelta(hours=1), keep_result=False,
            max_recoveries=0, retry=Retry(2),
        )  # fmt: skip
        assert options == JobOptions("bulk", -500, Retry(2), 1500, 3_600_000, False, 0)

    def test_merge_leaves_the_rest_and_the_original(self) -> None:
        options = JobOptions().merge(timeout=30, queue="mail")
        assert options.merge(priority=5) == JobOptions("mail", 5, timeout_ms=30_000)
        assert options.merge(timeout=None) == JobOptions("mail")
        assert options == JobOptions("mail", timeout_ms=30_000)

    def test_is_a_frozen_hashable_value(self) -> None:
        assert len({JobOptions(), JobOptions().merge(), JobOptions(priority=1)}) == 2
        with pytest.raises(FrozenInstanceError):
            JobOptions().queue = "other"  # type: ignore[misc]

    @pytest.mark.parametrize(
        ("overrides", "message"),
        [
            ({"prio": 1}, "no option prio: give some of queue, priority"),
            ({"timeout_ms": 5}, "no option timeout_ms"),
            ({"priority": 501}, "priority is 501: .*-500 to 500"),
            ({"priority": -501}, "priority"),
            ({"priority": True}, "priority"),
            ({"priority": 1.0}, "priority"),
            ({"timeout": 0}, "None for no time-out"),
            ({"timeout": -1}, "^timeout is -1"),
            ({"timeout": True}, "^timeout is True"),
            ({"retention": -1}, "^retention is -1"),
            ({"retention": math.inf}, "^retention is inf"),
            ({"keep_result": 1}, "keep_result"),
            ({"keep_result": None}, "keep_result"),
            ({"max_recoveries": -1}, "max_recoveries"),
            ({"retry": 5}, r"retry is 5: give a Retry, as in `Retry\(max_retries=5\)`"),
            ({"retry": None}, "retry"),
            ({"queue": "a b"}, "queue name"),
        ],
    )
    def test_what_can_not_be_right_is_refused(self, overrides: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            JobOptions().merge(**overrides)


class TestOverridesThatTravel:
    DEFAULTS = JobOptions(
        "mail", retry=Retry(5, lambda n, _: n, only=(OSError,)), timeout_ms=1000, keep_result=False
    )

    def test_nothing_travels_when_the_worker_knows_all(self) -> None:
        assert pack_overrides(self.DEFAULTS, self.DEFAULTS) == b""
        assert pack_overrides(self.DEFAULTS, self.DEFAULTS.merge(timeout=1, keep_result=False)) == b""
        assert apply_overrides(self.DEFAULTS, b"") is self.DEFAULTS

    def test_what_is_in_the_job_by_itself_does_not_travel_again(self) -> None:
        merged = self.DEFAULTS.merge(queue="bulk", priority=9, max_recoveries=0)
        assert pack_overrides(self.DEFAULTS, merged) == b""

    @pytest.mark.parametrize(
        "overrides",
        [
            {"timeout": 5},
            {"timeout": None},
            {"retention": 0},
            {"retention": timedelta(days=1)},
            {"keep_result": True},
            {"retry": Retry()},
            {"retry": Retry(0)},
            {"retry": Retry(3, Exponential(2, 3, timedelta(minutes=5), "none"), on_exhausted="cancel")},
            {"timeout": 5, "retention": 7, "keep_result": True, "retry": Retry(1, [1, 2])},
        ],
    )
    def test_the_worker_gets_what_the_call_said(self, overrides: dict[str, Any]) -> None:
        merged = self.DEFAULTS.merge(**overrides)
        blob = pack_overrides(self.DEFAULTS, merged)
        assert blob
        assert apply_overrides(self.DEFAULTS, blob) == merged

    def test_one_override_costs_a_few_bytes(self) -> None:
        assert len(pack_overrides(JobOptions(), JobOptions().merge(timeout=30))) <= 6

    def test_code_can_not_travel(self) -> None:
        with pytest.raises(OptionError, match="declare"):
            pack_overrides(JobOptions(), JobOptions().merge(retry=Retry(only=(ValueError,))))

    @pytest.mark.parametrize(
        "value", [{"q": 1}, {"t": -5}, {"k": 3}, {"r": {"n": -1}}, {"r": 5}, [1], 7, {1: 2}]
    )
    def test_what_is_not_an_override_is_an_error(self, value: Any) -> None:
        with pytest.raises(SerializationError, match="can't be read"):
            apply_overrides(JobOptions(), MsgpackSerializer().pack(value))

    def test_broken_bytes_are_an_error(self) -> None:
        with pytest.raises(SerializationError):
            apply_overrides(JobOptions(), b"\xc1")
