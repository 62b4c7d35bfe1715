"""What `asyncjobs worker` starts: everything that a process needs to know to be a worker."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class WorkerSettings:
    """One worker process; durations in seconds."""

    target: str
    """`module:object` of the registry."""
    url: str
    namespace: str = "asyncjobs"
    shards: int = 1
    queues: tuple[str, ...] | dict[str, int] | None = None
    concurrency: int = 100
    lease: float = 10.0
    grace: float = 25.0
    burst: bool = False
    """End when nothing is left to do now."""
    uvloop: bool = True
    """Use uvloop if it is installed."""
    log_level: str = "INFO"

    def to_json(self) -> str:
        """For a child process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> WorkerSettings:
        """In the child process."""
        values = json.loads(text)
        if isinstance(values["queues"], list):
            values["queues"] = tuple(values["queues"])
        return cls(**values)
