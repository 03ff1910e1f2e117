"""Whether ONNX Runtime loads a model, and whether its tensors are those of its contract."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from camserve.contract import ModelContract, TensorSpec
from camserve.errors import BundleError, ServingError
from camserve.serving.publishing.external_data import check_self_contained

__all__ = ["check_servable"]

_DTYPES = {
    "FP32": ("tensor(float)", np.float32),
    "UINT8": ("tensor(uint8)", np.uint8),
    "INT32": ("tensor(int32)", np.int32),
}


def check_servable(path: Path, contract: ModelContract) -> None:
    """Loads the model and answers one blank image with it.

    Raises:
        BundleError: If it keeps weights in another file, does not load, or a tensor is missing, of another type or of
            another shape.
        ServingError: If onnxruntime is not installed.
    """
    check_self_contained(path)
    session = _session(path)
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    if set(inputs) != {contract.input.name}:
        raise _mismatch(f"the graph's inputs are {_names(inputs)} and the contract's is {contract.input.name}")
    _check_declared(contract.input, inputs[contract.input.name])
    outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    for spec in contract.outputs:
        if spec.name not in outputs:
            raise _mismatch(f"the graph has no output {spec.name}; it has {_names(outputs)}")
        _check_declared(spec, outputs[spec.name])
    _check_answer(session, contract)


def _session(path: Path) -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # noqa: PLC0415 - heavy, and only publishing needs it
    except ImportError as error:
        raise ServingError(
            "a model is loaded once before it is published, and onnxruntime is not installed",
            hint="Install it with: pip install 'camserve[server]'",
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BundleError(f"onnxruntime cannot load {path.name}: {error}", hint="Export the model again") from error


def _check_declared(spec: TensorSpec, found: Any) -> None:
    onnx_type, _ = _DTYPES[spec.dtype]
    if found.type != onnx_type:
        raise _mismatch(f"{spec.name} is {found.type} in the graph and {onnx_type} in the contract")
    if len(found.shape) != len(spec.shape) + 1 or isinstance(found.shape[0], int):
        raise _mismatch(f"{spec.name} has shape {found.shape} in the graph, without a free batch or of another rank")


def _check_answer(session: Any, contract: ModelContract) -> None:
    image = np.zeros((1, *contract.input.shape), dtype=_DTYPES[contract.input.dtype][1])
    names = [spec.name for spec in contract.outputs]
    try:
        answers = session.run(names, {contract.input.name: image})
    except Exception as error:
        raise BundleError(f"the graph cannot answer a blank image: {error}", hint="Export the model again") from error
    for spec, answer in zip(contract.outputs, answers, strict=True):
        if answer.shape != (1, *spec.shape):
            raise _mismatch(f"{spec.name} answers with shape {answer.shape[1:]} and the contract says {spec.shape}")


def _mismatch(message: str) -> BundleError:
    return BundleError(f"model.onnx and contract.json disagree: {message}", hint="Export the model again")


def _names(tensors: dict[str, Any]) -> str:
    return ", ".join(sorted(tensors)) or "none"
