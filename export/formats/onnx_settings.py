"""How the ONNX file is written and computed, without loading a framework."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.choices import Int8Target, Precision

__all__ = ["OPENVINO", "OnnxSettings", "lower_format"]

OPENVINO = "openvino"
"""The ONNX file in OpenVINO, which computes it in bf16. It is measured like a format of its own."""


@dataclass(frozen=True)
class OnnxSettings:
    """How the ONNX file is written.

    Attributes:
        opset: Operator set.
        precision: Precision of weights and activations before the head. The file of bf16 is that of fp32.
        target: The runtime that int8 is for.
    """

    opset: int = 17
    precision: Precision = "fp32"
    target: Int8Target = "cpu"

    @property
    def label(self) -> str:
        """The precision in words: `fp32`, `fp16`, `bf16`, `int8 (cpu)` or `int8 (tensorrt)`."""
        return f"int8 ({self.target})" if self.precision == "int8" else self.precision


def lower_format(precision: Precision) -> str | None:
    """Return the format that is measured in a lower precision: `onnx`, `openvino` for bf16, and None for fp32."""
    return {"fp32": None, "bf16": OPENVINO}.get(precision, "onnx")
