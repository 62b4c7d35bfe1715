"""Celery with Redis as broker and result backend."""

from __future__ import annotations

from datetime import UTC, datetime

import celery
from celery import Celery

from benchmarks.drivers.protocol import SyncDriver, mark_sample, mark_start, serve

app = Celery("bench")
app.conf.update(
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop")
def noop(argument: str | None = None) -> None:
    mark_start()


@app.task(name="sample")
def sample(given: int) -> None:
    mark_sample(given)


class CeleryDriver(SyncDriver):
    version = celery.__version__
    settings = (
        "threads pool, concurrency 100, prefetch 4 each (default), no gossip, mingle or heartbeat, "
        "results kept 1 day (default)"
    )
    # Of Celery's keys only the results expire.
    probe = ["INFO", "keyspace"]  # noqa: RUF012
    probe_pattern = r"db0:keys=\d+,expires=(\d+)"

    def open(self, url: str) -> None:
        app.conf.update(broker_url=url, result_backend=url)

    def enqueue(self) -> None:
        noop.delay()

    def enqueue_with(self, argument: str | None) -> None:
        noop.delay(*([argument] if argument else []))

    def enqueue_sample(self, given: int) -> None:
        sample.delay(given)

    def enqueue_at(self, due_wall: int) -> None:
        sample.apply_async((due_wall,), eta=datetime.fromtimestamp(due_wall / 1e6, UTC))

    def work(self, url: str, measure: str) -> None:
        self.open(url)
        # One process, as for all: threads did better here than two prefork children, "solo" slightly better.
        options = ["--pool=threads", "--concurrency=100", "--loglevel=WARNING"]
        app.worker_main(["worker", *options, "--without-gossip", "--without-mingle", "--without-heartbeat"])


if __name__ == "__main__":
    serve(CeleryDriver())
