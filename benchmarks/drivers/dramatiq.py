"""Dramatiq: threads, a list and a hash a queue."""

from __future__ import annotations

import math
import os
import sys
import threading
import time

# Read when dramatiq is imported. Its default is twice the threads, and as the consumer sleeps while it has
# that many, no-op jobs leave the threads idle: 100 was three times as fast, and more not faster. With 100
# threads it was far slower than with the default of 8.
PREFETCH = 100
if "--variant=prefetch" in sys.argv:
    os.environ["dramatiq_queue_prefetch"] = str(PREFETCH)  # noqa: SIM112

import dramatiq  # noqa: E402
from dramatiq.brokers.redis import RedisBroker  # noqa: E402

from benchmarks.drivers.protocol import SyncDriver, mark_sample, mark_start, serve  # noqa: E402


@dramatiq.actor(actor_name="noop")
def noop(argument: str | None = None) -> None:
    mark_start()


@dramatiq.actor(actor_name="sample")
def sample(given: int) -> None:
    mark_sample(given)


class Dramatiq(SyncDriver):
    version = dramatiq.__version__
    settings = "8 threads (default), prefetch 16 (default), no results kept (default), hiredis"
    # A message's acknowledgement takes it out of this hash; only this queue's, so delayed ones don't count.
    probe = ["HLEN", "dramatiq:default.msgs"]  # noqa: RUF012

    def open(self, url: str) -> None:
        if self.variant == "prefetch":
            self.settings = self.settings.replace("prefetch 16 (default)", f"prefetch {PREFETCH}")
        self.broker = RedisBroker(url=url)
        dramatiq.set_broker(self.broker)
        for actor in (noop, sample):
            actor.broker = self.broker
            self.broker.declare_actor(actor)

    def enqueue(self) -> None:
        noop.send()

    def enqueue_with(self, argument: str | None) -> None:
        noop.send(*([argument] if argument else []))

    def enqueue_sample(self, given: int) -> None:
        sample.send(given)

    def enqueue_at(self, due_wall: int) -> None:
        delay = math.ceil(due_wall / 1000 - time.time() * 1000)
        sample.send_with_options(args=(due_wall,), delay=max(0, delay))

    def work(self, url: str, measure: str) -> None:
        self.open(url)
        dramatiq.Worker(self.broker, worker_threads=8).start()
        threading.Event().wait()


if __name__ == "__main__":
    serve(Dramatiq())
