"""Workers that only say that they are there: with whatever they are to say of themselves."""

from __future__ import annotations

from typing import Any

from asyncjobs import Client
from asyncjobs.clock import system_clock


async def register(client: Client, worker: str, *, lease: float = 60, **info: Any) -> str:
    """Register one; its id. Its host and process id are those of the id."""
    host, pid, _ = worker.rsplit("-", 2)
    said = {"host": host, "pid": int(pid), "queues": ["default"], "concurrency": 10} | info
    await client.storage.register(0, worker, said, int(lease * 1000))
    return worker


def process(name: str, state: str = "running", *, restarts: int = 0, error: str = "") -> dict[str, object]:
    """What a worker says of a background process."""
    return {"name": name, "state": state, "since_ms": system_clock(), "restarts": restarts, "error": error}
