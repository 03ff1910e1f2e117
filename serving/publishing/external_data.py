"""Whether an ONNX file keeps weights in other files; found out by its bytes alone, before ONNX Runtime opens anything.

ONNX lets a tensor name a file and an offset in place of its numbers. ONNX Runtime follows that name when it opens the
model. A published model is one file, so none of its tensors may.

The walk follows the protobuf encoding (https://protobuf.dev/programming-guides/encoding) through those fields of
onnx.proto that lead to tensors, and steps over everything else: weights of any size take no time and no memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from camserve.errors import BundleError
from camserve.serving.repository.protobuf import BYTES, read_fields

__all__ = ["check_self_contained"]

_TENSOR = "TensorProto"
_DATA_LOCATION, _EXTERNAL_DATA = 14, 13
_NAME = 8
_LEADS_TO = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: _TENSOR, 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: _TENSOR,
        6: "GraphProto",
        10: _TENSOR,
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: _TENSOR, 2: _TENSOR},
    _TENSOR: {},
}
"""By message of onnx.proto, the fields that hold messages which lead to tensors."""


def check_self_contained(path: Path) -> None:
    """Refuses a model any of whose tensors is kept in another file, wherever that is.

    Raises:
        BundleError: If one is, or the file is not ONNX.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            outside = next(_external_tensors(content), None)
    except (OSError, ValueError, IndexError) as error:
        raise BundleError(f"cannot load {path.name}, which is not ONNX: {error}", hint="Export it again") from error
    if outside is not None:
        raise BundleError(
            f"{path.name} keeps the tensor {outside!r} in another file, and a published model is one file",
            hint="Export the model again, or save it with its weights inside: onnx.save(onnx.load(path), path)",
        )


def _external_tensors(content: mmap.mmap) -> Iterator[str]:
    """Names of the tensors that are kept elsewhere."""
    waiting = [("ModelProto", 0, len(content))]
    while waiting:
        message, start, end = waiting.pop()
        leads_to = _LEADS_TO[message]
        name, external = "", False
        for field, kind, value, size in read_fields(content, start, end):
            if kind == BYTES and field in leads_to:
                waiting.append((leads_to[field], value, value + size))
            elif message == _TENSOR and kind == BYTES and field == _NAME:
                name = content[value : value + size].decode("utf-8", "replace")
            elif message == _TENSOR and field in (_DATA_LOCATION, _EXTERNAL_DATA):
                external = external or field == _EXTERNAL_DATA or value != 0
        if external:
            yield name
