"""Values to bytes and back: what a job's arguments and results may be, and how they are written."""

from asyncjobs.serialization.annotations import collect_types
from asyncjobs.serialization.outputs import PREVIOUS, Output, fill_in, take_outputs
from asyncjobs.serialization.payload import check_size, pack_call, pack_result, unpack_call, unpack_result
from asyncjobs.serialization.secrets import MASKED, RESULT, Masked, SecretsOf, marks_of, mask
from asyncjobs.serialization.serializer import MAX_DEPTH, MsgpackSerializer, Serializer
from asyncjobs.serialization.typenames import import_name, type_name

__all__ = [
    "MASKED",
    "MAX_DEPTH",
    "PREVIOUS",
    "RESULT",
    "Masked",
    "MsgpackSerializer",
    "Output",
    "SecretsOf",
    "Serializer",
    "check_size",
    "collect_types",
    "fill_in",
    "import_name",
    "marks_of",
    "mask",
    "pack_call",
    "pack_result",
    "take_outputs",
    "type_name",
    "unpack_call",
    "unpack_result",
]
