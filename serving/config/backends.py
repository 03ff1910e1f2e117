"""Triton's backends that run a published model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

__all__ = ["THREADS", "Backend", "backend_of", "default_backend"]

Backend = Literal["onnxruntime", "tensorflow", "openvino"]

THREADS: Mapping[Backend, tuple[str, ...]] = {
    "onnxruntime": ("intra_op_thread_count", "inter_op_thread_count"),
    "tensorflow": ("TF_NUM_INTRA_THREADS", "TF_NUM_INTER_THREADS"),
    "openvino": ("INFERENCE_NUM_THREADS",),
}
"""By backend, the parameters for the threads within an operator and, if it has one, across operators."""


def default_backend(precision: str) -> Backend:
    """Return the backend of a model for which none is chosen: the one that computes in its precision.

    Args:
        precision: Precision of the model's file: `fp32`, `fp16`, `bf16` or `int8`.
    """
    return "openvino" if precision == "bf16" else "onnxruntime"


def backend_of(config: Any) -> Backend:
    """Return the backend that a configuration names; `onnxruntime` if it names one that camserve does not publish."""
    return cast("Backend", config.backend) if config.backend in get_args(Backend) else "onnxruntime"
