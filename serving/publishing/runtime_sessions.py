"""An ONNX file, opened on the CPU as the backend that will serve it computes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from camserve.errors import BundleError, ServingError
from camserve.openvino_runtime import NetworkTensor, capabilities, open_network
from camserve.serving.config.backends import Backend
from camserve.serving.config.openvino import pinned_precision
from camserve.tensors import DATA_TYPES

__all__ = ["RuntimeSession", "in_float32_instead", "open_runtime"]

Array = npt.NDArray[Any]

_PURPOSE = "publishing for the openvino backend"
_TYPES = {each.onnx_tensor: np.dtype(each.numpy) for each in DATA_TYPES.values()}


@dataclass(frozen=True, eq=False)
class RuntimeSession:
    """An ONNX file in a runtime.

    Attributes:
        inputs: The inputs by name.
        outputs: The outputs by name.
        run: Takes a batch and names of outputs, and returns these outputs by name.
    """

    inputs: Mapping[str, NetworkTensor]
    outputs: Mapping[str, NetworkTensor]
    run: Callable[[Array, Sequence[str]], dict[str, Array]]


def open_runtime(path: Path, backend: Backend, precision: str) -> RuntimeSession:
    """Open an ONNX file in the runtime of a backend, on the CPU.

    Args:
        path: The file, which stores its weights itself.
        backend: `onnxruntime` or `openvino`.
        precision: Precision of the file, which is what OpenVINO computes it in, if the processor does.

    Raises:
        BundleError: If the runtime cannot load it.
        ServingError: If onnxruntime is not installed.
        UsageError: If openvino is not installed.
    """
    return _in_openvino(path, precision) if backend == "openvino" else _in_onnxruntime(path)


def in_float32_instead(backend: Backend, precision: str) -> bool:
    """Return whether this host cannot compute what it publishes in bf16, so that `open_runtime` uses float32.

    Raises:
        UsageError: If openvino is required and not installed.
    """
    in_bf16 = backend == "openvino" and pinned_precision(precision) == "bf16"
    return in_bf16 and "BF16" not in capabilities(_PURPOSE)


def _in_openvino(path: Path, precision: str) -> RuntimeSession:
    hint = "f32" if in_float32_instead("openvino", precision) else pinned_precision(precision)
    try:
        network = open_network(path, hint, purpose=_PURPOSE)
    except (RuntimeError, ValueError) as error:  # a network has one input
        raise BundleError(f"OpenVINO cannot load {path.name}: {error}", hint="Export the model again") from None
    return RuntimeSession({network.input.name: network.input}, network.outputs, network.run)


def _in_onnxruntime(path: Path) -> RuntimeSession:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # noqa: PLC0415 - heavy, and only publishing needs it
    except ImportError:
        raise ServingError(
            "publishing requires onnxruntime, which is not installed",
            hint="Install it with: pip install 'camserve[server]'",
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises errors of many types
        raise BundleError(f"onnxruntime cannot load {path.name}: {error}", hint="Export the model again") from None

    def run(batch: Array, names: Sequence[str]) -> dict[str, Array]:
        return dict(zip(names, session.run(names, {session.get_inputs()[0].name: batch}), strict=True))

    return RuntimeSession(_tensors(session.get_inputs()), _tensors(session.get_outputs()), run)


def _tensors(found: Sequence[Any]) -> dict[str, NetworkTensor]:
    return {
        each.name: NetworkTensor(
            each.name,
            _TYPES.get(each.type, np.dtype(object)),
            tuple(side if isinstance(side, int) else -1 for side in each.shape),
        )
        for each in found
    }
