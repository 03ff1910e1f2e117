"""How the ONNX file is written, without loading a framework."""

from __future__ import annotations

from dataclasses import dataclass

from camserve.choices import Int8Target, Precision

__all__ = ["OnnxSettings"]


@dataclass(frozen=True)
class OnnxSettings:
    """How the ONNX file is written.

    Attributes:
        opset: Operator set.
        precision: Precision of weights and activations before the head.
        target: The runtime that int8 is for.
    """

    opset: int = 17
    precision: Precision = "fp32"
    target: Int8Target = "cpu"

    @property
    def label(self) -> str:
        """The precision in words: `fp32`, `fp16`, `int8 (cpu)` or `int8 (tensorrt)`."""
        return f"int8 ({self.target})" if self.precision == "int8" else self.precision
