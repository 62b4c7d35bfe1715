"""The worker."""

from asyncjobs.worker.worker import Worker

__all__ = ["Worker"]
