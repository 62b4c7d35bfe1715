"""The storage on Redis or Valkey."""

from asyncjobs.storage.redis.storage import RedisStorage

__all__ = ["RedisStorage"]
