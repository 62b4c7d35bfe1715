"""Limits on Redis: each verb of `LimitStorage` as one script."""

from __future__ import annotations

from typing import Any

from asyncjobs.ids import shard_for
from asyncjobs.storage.base import LimitRecord, LimitSetting, Numbers
from asyncjobs.storage.redis import scripts
from asyncjobs.storage.redis.shard import Shard

ROW_VALUES = 7


class RedisLimits:
    """The limits of `RedisStorage`, which has the shards."""

    _shards: list[Shard]

    async def set_limit(self, name: str, numbers: Numbers | None) -> None:
        """See `LimitStorage.set_limit`."""
        shard = self._shards[shard_for(name, len(self._shards))]
        told = ("", 0) if numbers is None else (numbers.most, numbers.per_ms)
        await shard.run(scripts.SET_LIMIT, shard.now(), name, *told)
        shard.follow_up(self.carry_on)

    async def carry_on(self, shard: int) -> bool:
        """See `BatchStorage.carry_on`."""
        raise NotImplementedError

    async def limit_settings(self) -> list[LimitSetting]:
        """See `LimitStorage.limit_settings`."""
        settings: list[LimitSetting] = []
        for shard in self._shards:
            flat = await shard.run(scripts.LIMIT_SETTINGS)
            for at in range(0, len(flat), 2):
                most, per_ms, *by_hand = flat[at + 1].decode().split(" ")
                numbers = Numbers(int(most), int(per_ms))
                settings.append(LimitSetting(flat[at].decode(errors="replace"), numbers, bool(by_hand)))
        return sorted(settings, key=lambda setting: setting.name)

    async def limits(self, *, offset: int = 0, limit: int = 50) -> tuple[list[LimitRecord], int]:
        """See `LimitStorage.limits`."""
        merged = len(self._shards) > 1
        span = (0, offset + limit) if merged else (offset, limit)
        records: list[LimitRecord] = []
        total = 0
        for shard in self._shards:
            count, *flat = await shard.run(scripts.LIMITS, shard.now(), *span)
            total += count
            records += [_record(flat[at : at + ROW_VALUES]) for at in range(0, len(flat), ROW_VALUES)]
        if merged:
            records = sorted(records, key=lambda record: record.id.encode())[offset : offset + limit]
        return records, total


def _record(row: list[Any]) -> LimitRecord:
    limit_id, most, per_ms, running, started, enqueued, throttled = row
    return LimitRecord(
        limit_id.decode(errors="replace"), Numbers(most, per_ms), running, started, enqueued, throttled
    )
