"""Compute with a provider of ONNX Runtime, as camserve's backend in Triton does. Runs in its own process."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

__all__ = ["CPU", "CUDA", "MODEL", "TENSORRT", "main"]

CPU, CUDA, TENSORRT = "CPU", "CUDA", "TensorRT"

_ONE = b"\x00\x00\x80?"  # in float32
MODEL = (
    b'\x08\x08:\xd2\x02\n\x0f\n\x01x\n\x01w\x12\x01c"\x04Conv\n\x12\n\x01c\n\x01s\x12\x01r"'
    b'\x07Reshape\n\x11\n\x01r\n\x01m\x12\x01y"\x06MatMul\x12\x05trial'
    b"*W\x08\x02\x08\x01\x08\x03\x08\x03\x10\x01B\x01wJH"
    + 18 * _ONE
    + b"*k\x08\x08\x08\x03\x10\x01B\x01mJ`"
    + 24 * _ONE
    + b"*\x19\x08\x02\x10\x07B\x01sJ\x10\x01\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00"
    b"\x00Z\x1b\n\x01x\x12\x16\n\x14\x08\x01\x12\x10\n\x02\x08\x01\n\x02\x08\x01\n\x02\x08\x04"
    b"\n\x02\x08\x04b\x13\n\x01y\x12\x0e\n\x0c\x08\x01\x12\x08\n\x02\x08\x01\n\x02\x08\x03B"
    b"\x04\n\x00\x10\x11"
)
"""An ONNX model with a convolution and a matrix product, which need cuDNN and cuBLAS; for ones, it returns 72s."""

_ANSWER = 72.0
_TENSORRT_REQUEST = {"execution_accelerators": {"gpu_execution_accelerator": [{"name": "tensorrt"}]}}
_HINT = "; hint: "  # as in camserve.serving.backends.camserve_backend.parameters


def main() -> None:
    """Print the facts about ONNX Runtime and the provider that `sys.argv[1]` names as JSON."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    sys.stdout.write(f"\n{json.dumps(_report(sys.argv[1]))}\n")


def _report(provider: str) -> dict[str, Any]:
    import onnxruntime  # noqa: PLC0415 - a failure to import it is part of the attempt

    reason, remedy = _try(provider)
    return {
        "version": onnxruntime.__version__,
        "cuda": getattr(onnxruntime, "cuda_version", None) or None,
        "providers": onnxruntime.get_available_providers(),
        "reason": reason,
        "remedy": remedy,
    }


def _try(provider: str) -> tuple[str | None, str | None]:
    """Return why the provider cannot be used and what to do, or None and None."""
    import numpy as np  # noqa: PLC0415

    from camserve.serving.backends.camserve_backend.parameters import ModelRefusedError  # noqa: PLC0415
    from camserve.serving.backends.camserve_backend.provider_choice import (  # noqa: PLC0415
        choose_providers,
        open_session,
    )

    config = {"name": "doctor", "optimization": _TENSORRT_REQUEST if provider == TENSORRT else {}}
    try:
        choice = choose_providers(config, kind="CPU" if provider == CPU else "GPU", device="0")
        answer = open_session(MODEL, None, choice.providers).run(None, {"x": np.ones((1, 1, 4, 4), np.float32)})[0]
    except ModelRefusedError as error:
        message, _, hint = str(error).partition(_HINT)
        return message.split(", but ", 1)[-1], hint or None
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises errors of many types
        return " ".join(str(error).split()), None
    return (None, None) if np.all(answer == _ANSWER) else ("it computes wrong values", None)
