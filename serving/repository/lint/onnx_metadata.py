"""Read the versions in an ONNX file without its weights."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from camserve.regular_file import open_regular_file
from camserve.serving.repository.protobuf import BYTES, VARINT, read_fields

__all__ = ["OnnxMetadata", "read_onnx_metadata"]

_IR_VERSION, _OPSET_IMPORT = 1, 8
_DOMAIN, _VERSION = 1, 2


@dataclass(frozen=True)
class OnnxMetadata:
    """The versions in an ONNX file.

    Attributes:
        ir: Version of the file format.
        opsets: Version of each operator set by domain; ONNX's own domain is the empty text.
    """

    ir: int
    opsets: Mapping[str, int]

    @property
    def opset(self) -> int:
        """Version of ONNX's own operator set."""
        return self.opsets.get("", 0)


def read_onnx_metadata(path: Path) -> OnnxMetadata:
    """Read the versions in an ONNX file, skipping its weights.

    Raises:
        ValueError: If it is not an ONNX file.
        OSError: If it cannot be read.
    """
    with open_regular_file(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        ir, opsets = 0, {}
        for field, kind, value, size in read_fields(content, 0, len(content)):
            if field == _IR_VERSION and kind == VARINT:
                ir = value
            elif field == _OPSET_IMPORT and kind == BYTES:
                domain, version = _operator_set(content, value, value + size)
                opsets["" if domain == "ai.onnx" else domain] = version
    if not ir or "" not in opsets:
        raise ValueError("it contains no version of ONNX")
    return OnnxMetadata(ir, opsets)


def _operator_set(content: mmap.mmap, start: int, end: int) -> tuple[str, int]:
    domain, version = "", 0
    for field, kind, value, size in read_fields(content, start, end):
        if field == _DOMAIN and kind == BYTES:
            domain = content[value : value + size].decode("utf-8", "replace")
        elif field == _VERSION and kind == VARINT:
            version = value
    return domain, version
