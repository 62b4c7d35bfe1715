"""A worker as an application would run it: `python -m tests.faults.apps.worker MODULE URL OPTIONS`.

OPTIONS is a JSON object: the keywords of `Worker`, `shards` and `patience` of its client, and `uvloop`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import sys
from typing import Any

from asyncjobs import Client, Worker


async def work(app: str, url: str, options: dict[str, Any]) -> None:
    registry = importlib.import_module(app).registry
    shards, patience = options.pop("shards", 1), options.pop("patience", 10)
    client = Client(url, registry=registry, shards=shards, patience=patience)
    worker = Worker(registry, client, **options)
    signals = asyncio.create_task(worker.stop_on_signals())
    try:
        await worker.run()
    finally:
        signals.cancel()


def main() -> None:
    app, url, text = sys.argv[1:]
    options = json.loads(text)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    loop_factory = None
    if options.pop("uvloop", False):
        import uvloop

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(work(app, url, options))


if __name__ == "__main__":
    main()
