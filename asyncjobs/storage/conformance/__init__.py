"""The kit that every storage of asyncjobs has to pass, for use in the tests of whoever writes one.

It needs pytest; the tests run on asyncio by the pytest plugin that anyio brings along. A whole test module:

    import pytest
    from asyncjobs.storage.conformance import StorageConformance
    from mine import MyStorage

    class TestMyStorage(StorageConformance):
        @pytest.fixture
        def storage_factory(self, empty_database):
            return lambda clock: MyStorage(empty_database.url, clock=clock)

`storage_factory` gives a callable that makes a storage which holds nothing, and which takes the time of every
transition from `clock` (a callable that gives milliseconds since 1970). If a storage can have several shards,
do it again with a number of them: the tests adapt themselves to `Storage.shards`.

The tests read like the rules they check: a failing one names the rule. Each opens and closes the storage by
itself, waits no longer than it must, and asks nothing of the storage but the methods of `Storage`.
"""

import pytest

_SUBJECTS = (
    *("batching", "by_hand", "cancelling_batches", "continuing", "creating", "exchanging", "expiring"),
    *("finishing", "following_up", "handing_over", "leases", "limiting", "locking", "moving", "ordering"),
    *("queues", "rate_limiting", "reading", "reaping", "recurring", "recurring_control"),
    *("recurring_limited", "recurring_rescheduled", "retention", "scene", "throttling", "unique_jobs"),
    *("unique_continued", "unique_holders", "waiting"),
)
pytest.register_assert_rewrite(*(f"{__name__}.{subject}" for subject in _SUBJECTS))

from asyncjobs.storage.conformance.batching import BatchingTests  # noqa: E402 - rewritten from here on
from asyncjobs.storage.conformance.by_hand import ByHandTests  # noqa: E402
from asyncjobs.storage.conformance.cancelling_batches import CancellingBatchesTests  # noqa: E402
from asyncjobs.storage.conformance.continuing import ContinuingTests  # noqa: E402
from asyncjobs.storage.conformance.creating import CreatingTests  # noqa: E402
from asyncjobs.storage.conformance.exchanging import ExchangingTests  # noqa: E402
from asyncjobs.storage.conformance.expiring import ExpiringTests  # noqa: E402
from asyncjobs.storage.conformance.finishing import FinishingTests  # noqa: E402
from asyncjobs.storage.conformance.following_up import FollowingUpTests  # noqa: E402
from asyncjobs.storage.conformance.handing_over import HandingOverTests  # noqa: E402
from asyncjobs.storage.conformance.leases import LeaseTests  # noqa: E402
from asyncjobs.storage.conformance.limiting import LimitingTests  # noqa: E402
from asyncjobs.storage.conformance.locking import LockTests  # noqa: E402
from asyncjobs.storage.conformance.moving import MovingTests  # noqa: E402
from asyncjobs.storage.conformance.ordering import OrderingTests  # noqa: E402
from asyncjobs.storage.conformance.queues import QueueTests  # noqa: E402
from asyncjobs.storage.conformance.rate_limiting import RateLimitingTests  # noqa: E402
from asyncjobs.storage.conformance.reading import ReadingTests  # noqa: E402
from asyncjobs.storage.conformance.reaping import ReapingTests  # noqa: E402
from asyncjobs.storage.conformance.recurring import RecurringTests  # noqa: E402
from asyncjobs.storage.conformance.recurring_control import RecurringControlTests  # noqa: E402
from asyncjobs.storage.conformance.recurring_limited import RecurringLimitedTests  # noqa: E402
from asyncjobs.storage.conformance.recurring_rescheduled import RecurringRescheduledTests  # noqa: E402
from asyncjobs.storage.conformance.retention import RetentionTests  # noqa: E402
from asyncjobs.storage.conformance.scene import Fixtures, MovableClock, StorageFactory  # noqa: E402
from asyncjobs.storage.conformance.throttling import ThrottlingTests  # noqa: E402
from asyncjobs.storage.conformance.unique_continued import UniqueContinuedTests  # noqa: E402
from asyncjobs.storage.conformance.unique_holders import UniqueHolderTests  # noqa: E402
from asyncjobs.storage.conformance.unique_jobs import UniqueJobsTests  # noqa: E402
from asyncjobs.storage.conformance.waiting import WaitingTests  # noqa: E402

__all__ = ["MovableClock", "StorageConformance", "StorageFactory"]


@pytest.mark.anyio
class StorageConformance(
    CreatingTests,
    OrderingTests,
    ExchangingTests,
    FinishingTests,
    LeaseTests,
    ReapingTests,
    WaitingTests,
    ByHandTests,
    MovingTests,
    QueueTests,
    RetentionTests,
    ReadingTests,
    LockTests,
    RecurringTests,
    RecurringControlTests,
    RecurringRescheduledTests,
    ContinuingTests,
    HandingOverTests,
    BatchingTests,
    CancellingBatchesTests,
    FollowingUpTests,
    LimitingTests,
    ThrottlingTests,
    RateLimitingTests,
    UniqueContinuedTests,
    UniqueJobsTests,
    UniqueHolderTests,
    ExpiringTests,
    RecurringLimitedTests,
    Fixtures,
):
    """Every test of the kit. Subclass it with a name that pytest collects, and override `storage_factory`."""
