"""The storage in memory and the one on Redis answer the same random calls alike.

`ASYNCJOBS_EXAMPLES=5000` in the environment tries so many runs instead of the few that a test run allows.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.controlled_machine import ControlledMachine


@pytest.mark.timeout(3_600)  # a failure is made small before it is shown, which takes its time
@pytest.mark.parametrize(("shards", "examples"), [(1, 60), (3, 30)])
def test_memory_and_redis_are_alike(redis_url: str, shards: int, examples: int) -> None:
    class Machine(ControlledMachine):
        url = redis_url
        shard_count = shards

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=int(os.environ.get("ASYNCJOBS_EXAMPLES", examples)),
            stateful_step_count=40,
            deadline=None,
            print_blob=True,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
