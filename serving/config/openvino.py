"""The part of a model configuration that only OpenVINO reads: the precision that it computes in, and its streams.

On processors with AMX or AVX512-BF16, OpenVINO computes files in float32 in bf16 unless it is told otherwise. So every
configuration pins the precision. Triton's own backend reads `HINT_BF16`, `NUM_STREAMS` and `ENABLE_BATCH_PADDING`, but
no parameter that pins float32; it ignores parameters that it does not know (`ModelState::ParseParameters` in
`src/openvino.cc` of triton-inference-server/openvino_backend).
"""

from __future__ import annotations

from typing import Any

from camserve.openvino_runtime import OpenVinoPrecision
from camserve.serving.config.backends import Backend

__all__ = ["BATCH_PADDING", "HINT_BF16", "PRECISION", "pin_precision", "pinned_precision", "write_openvino"]

PRECISION = "INFERENCE_PRECISION_HINT"
HINT_BF16 = "HINT_BF16"
BATCH_PADDING = "ENABLE_BATCH_PADDING"
_STREAMS = "NUM_STREAMS"


def write_openvino(config: Any) -> None:
    """Write what does not depend on the version: an instance runs one batch at a time, of any size."""
    config.parameters[_STREAMS].string_value = "1"
    # Without it, Triton's own backend refuses batches that are smaller than the largest.
    config.parameters[BATCH_PADDING].string_value = "YES"


def pin_precision(config: Any, backend: Backend, precision: str) -> None:
    """Pin what OpenVINO computes in; for another backend, remove the parameters.

    Args:
        config: The message; it is modified.
        backend: The backend that runs the model.
        precision: Precision of the model's file: `fp32`, `fp16`, `bf16` or `int8`.
    """
    for name in (PRECISION, HINT_BF16):
        config.parameters.pop(name, None)
    if backend == "openvino":
        config.parameters[PRECISION].string_value = pinned_precision(precision)
        if precision == "bf16":
            config.parameters[HINT_BF16].string_value = "YES"


def pinned_precision(precision: str) -> OpenVinoPrecision:
    """Return what OpenVINO computes a file of some precision in; the layers of int8 that are not float are int8."""
    return "bf16" if precision == "bf16" else "f32"
