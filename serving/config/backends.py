"""Triton's backends that run a published model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["THREADS", "Backend", "backend_of"]

Backend = Literal["onnxruntime", "tensorflow"]

THREADS: Mapping[Backend, tuple[str, str]] = {
    "onnxruntime": ("intra_op_thread_count", "inter_op_thread_count"),
    "tensorflow": ("TF_NUM_INTRA_THREADS", "TF_NUM_INTER_THREADS"),
}
"""By backend, the parameters for the threads within an operator and across operators."""


def backend_of(config: Any) -> Backend:
    """Return the backend that a configuration names; `onnxruntime` if it names one that camserve does not publish."""
    return "tensorflow" if config.backend == "tensorflow" else "onnxruntime"
