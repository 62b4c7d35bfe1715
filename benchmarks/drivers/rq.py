"""RQ: one job at a time in a worker."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.drivers.protocol import SyncDriver, mark_sample, mark_start, serve

# Jobs in one `enqueue_many`, which is one pipeline.
CHUNK = 1000


def noop(argument: str | None = None) -> None:
    mark_start()


def sample(given: int) -> None:
    mark_sample(given)


# RQ finds functions by import, and refuses those of the main program.
NOOP = "benchmarks.drivers.rq.noop"
SAMPLE = "benchmarks.drivers.rq.sample"


class Rq(SyncDriver):
    version = version("rq")
    # A SimpleWorker runs jobs in its own process, without a fork for each: several times faster for no-ops.
    settings = "SimpleWorker (one job at a time, no fork), results kept 500 s (default), hiredis"
    probe = ["ZCARD", "rq:finished:default"]  # noqa: RUF012
    has_bulk = True

    def open(self, url: str) -> None:
        self.redis = Redis.from_url(url)
        self.queue = Queue(connection=self.redis)

    def enqueue(self) -> None:
        self.queue.enqueue(NOOP)

    def enqueue_bulk(self, count: int, argument: str | None) -> None:
        given = (argument,) if argument else ()
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            self.queue.enqueue_many([Queue.prepare_data(NOOP, given) for _ in range(size)])

    def enqueue_sample(self, given: int) -> None:
        self.queue.enqueue(SAMPLE, given)

    def enqueue_at(self, due_wall: int) -> None:
        self.queue.enqueue_at(datetime.fromtimestamp(due_wall / 1e6, UTC), SAMPLE, due_wall)

    def work(self, url: str, measure: str) -> None:
        self.open(url)
        worker = SimpleWorker([self.queue], connection=self.redis)
        worker.work(logging_level="WARNING", with_scheduler=measure == "delayed")


if __name__ == "__main__":
    serve(Rq())
