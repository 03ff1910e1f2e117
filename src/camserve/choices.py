"""The values of the export options that have only a few, for the command line and the export."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["FORMATS", "INPUTS", "INT8_TARGETS", "PRECISIONS", "Format", "InputType", "Int8Target", "Precision"]

Format = Literal["onnx", "savedmodel"]
InputType = Literal["float32", "uint8"]
Precision = Literal["fp32", "fp16", "int8"]
Int8Target = Literal["cpu", "tensorrt"]

FORMATS: tuple[str, ...] = get_args(Format)
INPUTS: tuple[str, ...] = get_args(InputType)
PRECISIONS: tuple[str, ...] = get_args(Precision)
INT8_TARGETS: tuple[str, ...] = get_args(Int8Target)
