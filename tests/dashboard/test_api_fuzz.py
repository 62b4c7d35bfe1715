"""Schemathesis asks the API of a live dashboard everything that its description allows, and what it doesn't.

Whatever it sends, an answer is one of those that are described, and nothing worse than a clear 4xx; what the
description forbids is refused.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from asyncjobs import Client, Limit, Registry, Worker
from asyncjobs_dashboard import Dashboard
from tests.dashboard.scene import set_up

EXAMPLES = 5
"""Of each operation and phase, beside those that the description makes necessary."""
SETTINGS = """
seed = 7

[generation]
deterministic = true
database = "none"

# What only the engine can tell (that there is no such limit, or no 30th of February) is a 400 as well.
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "403", "404", "409"]

# The access that is missing without the header is told as such.
[checks.missing_required_header]
expected-statuses = ["403"]
"""


async def test_nothing_that_it_is_asked_breaks_it(client: Client, registry: Registry, tmp_path: Path) -> None:
    @registry.recurring("0 3 * * *")
    @registry.job(queue="mail", limits=[Limit("smtp", rate=100)])
    async def send() -> None: ...

    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    async with (
        Worker(registry, client, queues=["evil", "default"], grace=0.1),
        Dashboard(client, port=0) as dashboard,
    ):
        await set_up(client, registry)
        # Not a block, which would be cancelled when the lock is taken away.
        await client.lock("ledger", ttl=60).acquire()
        await client.enqueue_many(send.call() for _ in range(50))
        # This one can be removed, the declared one can't.
        await client.recurring.put("weekly", "0 3 * * mon", send.call())
        asking = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", settings),
            *("run", f"{dashboard.url}api/openapi.json", "--no-color", "--continue-on-failure"),
            *("--max-examples", str(EXAMPLES)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=tmp_path,
        )
        told, _ = await asking.communicate()
    assert asking.returncode == 0, told.decode()
