"""What serving options may say, where the words are few."""

from __future__ import annotations

from typing import Literal

__all__ = ["Accelerator", "ArenaStrategy", "Backend", "ConvolutionSearch", "QueueAction", "TensorRTPrecision"]

Accelerator = Literal["auto", "none", "cuda", "tensorrt", "openvino"]
Backend = Literal["onnxruntime", "tensorflow"]
QueueAction = Literal["reject", "continue"]
ConvolutionSearch = Literal["exhaustive", "heuristic", "default"]
ArenaStrategy = Literal["next-power-of-two", "same-as-requested"]
TensorRTPrecision = Literal["fp32", "fp16", "int8"]
