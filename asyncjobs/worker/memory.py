"""How much memory this process holds."""

from __future__ import annotations

import sys
from pathlib import Path

_PAGE = 4096


def memory_in_use() -> int:
    """Resident bytes; 0 where the system doesn't say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        if sys.platform == "win32":
            return 0
        import resource

        # macOS gives the greatest ever, in bytes: the best there is without a library.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
