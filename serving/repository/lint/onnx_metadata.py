"""Read the versions and the types in an ONNX file without its weights."""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from camserve.protobuf import BYTES, VARINT, read_fields
from camserve.regular_file import open_regular_file

__all__ = ["OnnxMetadata", "read_onnx_metadata"]

_IR_VERSION, _GRAPH, _OPSET_IMPORT = 1, 7, 8
_DOMAIN, _VERSION = 1, 2
_NODE, _INITIALIZER = 1, 5
_OPERATOR, _DATA_TYPE = 4, 2
_FLOAT16 = 10
_QUANTIZE = b"QuantizeLinear"


@dataclass(frozen=True)
class OnnxMetadata:
    """The versions and the types in an ONNX file.

    Attributes:
        ir: Version of the file format.
        opsets: Version of each operator set by domain; ONNX's own domain is the empty text.
        half: Whether it has weights of float16.
        quantized: Whether it quantizes values to integers.
    """

    ir: int
    opsets: Mapping[str, int]
    half: bool = False
    quantized: bool = False

    @property
    def opset(self) -> int:
        """Version of ONNX's own operator set."""
        return self.opsets.get("", 0)


def read_onnx_metadata(path: Path) -> OnnxMetadata:
    """Read the versions and the types in an ONNX file, skipping its weights.

    Raises:
        ValueError: If it is not an ONNX file.
        OSError: If it cannot be read.
    """
    with open_regular_file(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        ir, opsets, half, quantized = 0, {}, False, False
        for field, kind, value, size in read_fields(content, 0, len(content)):
            if field == _IR_VERSION and kind == VARINT:
                ir = value
            elif field == _OPSET_IMPORT and kind == BYTES:
                domain, version = _operator_set(content, value, value + size)
                opsets["" if domain == "ai.onnx" else domain] = version
            elif field == _GRAPH and kind == BYTES:
                half, quantized = _types(content, value, value + size)
    if not ir or "" not in opsets:
        raise ValueError("it contains no version of ONNX")
    return OnnxMetadata(ir, opsets, half, quantized)


def _operator_set(content: mmap.mmap, start: int, end: int) -> tuple[str, int]:
    domain, version = "", 0
    for field, kind, value, size in read_fields(content, start, end):
        if field == _DOMAIN and kind == BYTES:
            domain = content[value : value + size].decode("utf-8", "replace")
        elif field == _VERSION and kind == VARINT:
            version = value
    return domain, version


def _types(content: mmap.mmap, start: int, end: int) -> tuple[bool, bool]:
    half = quantized = False
    for field, kind, value, size in read_fields(content, start, end):
        if field == _NODE and kind == BYTES:
            quantized = quantized or _is_quantization(content, value, value + size)
        elif field == _INITIALIZER and kind == BYTES:
            half = half or _data_type(content, value, value + size) == _FLOAT16
    return half, quantized


def _is_quantization(content: mmap.mmap, start: int, end: int) -> bool:
    return any(
        field == _OPERATOR and kind == BYTES and content[value : value + size] == _QUANTIZE
        for field, kind, value, size in read_fields(content, start, end)
    )


def _data_type(content: mmap.mmap, start: int, end: int) -> int:
    values = (
        value for field, kind, value, _ in read_fields(content, start, end) if field == _DATA_TYPE and kind == VARINT
    )
    return next(values, 0)
