"""How the small packed parts of a record are written, the same in every storage."""

from __future__ import annotations

import msgpack


def pack_error(error_type: str, message: str, traceback: str) -> bytes:
    """The packed error of an attempt, as `Finish.error` carries it."""
    return msgpack.packb((error_type, message, traceback), unicode_errors="replace")


def unpack_error(data: bytes) -> tuple[str, str, str]:
    """(type, message, traceback); empty strings where there is none or it can't be read."""
    if not data:
        return "", "", ""
    try:
        error_type, message, traceback = msgpack.unpackb(data)
        return str(error_type), str(message), str(traceback)
    except Exception:
        return "", "", ""
