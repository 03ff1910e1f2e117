"""The values of options that have only a few, for the command line and the packages."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = [
    "ENGINES",
    "FORMATS",
    "INPUTS",
    "INT8_TARGETS",
    "MATCHES",
    "OUTPUT_FORMATS",
    "PRECISIONS",
    "EngineName",
    "Format",
    "InputType",
    "Int8Target",
    "Match",
    "OutputFormat",
    "Precision",
]

Format = Literal["onnx", "savedmodel"]
InputType = Literal["float32", "uint8"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]
Int8Target = Literal["cpu", "tensorrt"]
OutputFormat = Literal["table", "camera"]
EngineName = Literal["local", "ray"]
Match = Literal["label", "class"]

FORMATS: tuple[str, ...] = get_args(Format)
INPUTS: tuple[str, ...] = get_args(InputType)
PRECISIONS: tuple[str, ...] = get_args(Precision)
INT8_TARGETS: tuple[str, ...] = get_args(Int8Target)
OUTPUT_FORMATS: tuple[str, ...] = get_args(OutputFormat)
ENGINES: tuple[str, ...] = get_args(EngineName)
MATCHES: tuple[str, ...] = get_args(Match)
