"""Values to bytes and back: what a job's arguments and results may be, and how they are written."""

from asyncjobs.serialization.annotations import collect_types
from asyncjobs.serialization.payload import check_size, pack_call, pack_result, unpack_call, unpack_result
from asyncjobs.serialization.serializer import MAX_DEPTH, MsgpackSerializer, Serializer
from asyncjobs.serialization.typenames import import_name, type_name

__all__ = [
    "MAX_DEPTH",
    "MsgpackSerializer",
    "Serializer",
    "check_size",
    "collect_types",
    "import_name",
    "pack_call",
    "pack_result",
    "type_name",
    "unpack_call",
    "unpack_result",
]
