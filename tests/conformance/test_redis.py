from __future__ import annotations

import pytest

from asyncjobs.clock import Clock
from asyncjobs.storage.base import Storage
from asyncjobs.storage.conformance import StorageConformance, StorageFactory
from asyncjobs.storage.redis import RedisStorage


class TestRedis(StorageConformance):
    @pytest.fixture(params=[1, 3])
    def storage_factory(self, request: pytest.FixtureRequest, redis_url: str) -> StorageFactory:
        def make(clock: Clock) -> Storage:
            return RedisStorage(redis_url, shards=request.param, clock=clock)

        return make
