"""Detection of ONNX files that store weights in other files, from their bytes, before a runtime opens them.

In ONNX a tensor can name a file and an offset instead of storing its values, and ONNX Runtime and OpenVINO follow that
name when they open the model. A published model is a single file, so none of its tensors may do that.

The search follows the protobuf encoding (https://protobuf.dev/programming-guides/encoding) through the fields of
onnx.proto that lead to tensors and skips everything else, so weights of any size take no time and no memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from camserve.errors import BundleError
from camserve.protobuf import BYTES, read_fields

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
"""The fields that contain tensors, directly or indirectly, by message of onnx.proto."""


def check_self_contained(path: Path, content: bytes | None = None) -> None:
    """Refuse an ONNX file with a tensor that is stored in another file.

    Args:
        path: The file.
        content: Its content, if it was read (default: it is mapped into memory).

    Raises:
        BundleError: If it has one, or is not an ONNX file.
    """
    try:
        if content is not None:
            external = next(_external_tensors(content), None)
        else:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                external = next(_external_tensors(mapped), None)
    except (OSError, ValueError, IndexError) as error:
        raise BundleError(
            f"cannot load {path.name}: not an ONNX file: {error}", hint="Export the model again"
        ) from None
    if external is not None:
        raise BundleError(
            f"{path.name} stores the tensor {external!r} in another file; a published model must be a single file",
            hint="Export the model again, or save it with its weights inside: onnx.save(onnx.load(path), path)",
        )


def _external_tensors(content: mmap.mmap | bytes) -> Iterator[str]:
    """Find the names of the tensors that are stored elsewhere."""
    pending = [("ModelProto", 0, len(content))]
    while pending:
        message, start, end = pending.pop()
        leads_to = _LEADS_TO[message]
        name, external = "", False
        for field, kind, value, size in read_fields(content, start, end):
            if kind == BYTES and field in leads_to:
                pending.append((leads_to[field], value, value + size))
            elif message == _TENSOR and kind == BYTES and field == _NAME:
                name = content[value : value + size].decode("utf-8", "replace")
            elif message == _TENSOR and field in (_DATA_LOCATION, _EXTERNAL_DATA):
                external = external or field == _EXTERNAL_DATA or value != 0
        if external:
            yield name
