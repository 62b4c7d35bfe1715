"""Jobs that wait until a test lets them end."""

from __future__ import annotations

import time
from pathlib import Path

from asyncjobs import Registry

registry = Registry()


@registry.job(name="wait_for", runs_in="process")
def wait_for(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.02)
    return path
