"""A storage in memory, the executable specification of `Storage`; also what users' unit tests run on."""

from asyncjobs.storage.memory.storage import MemoryStorage

__all__ = ["MemoryStorage"]
