"""Whether ONNX Runtime loads a model, its tensors are those of its contract, and it answers as it did at its export."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from camserve.contract import ModelContract, TensorSpec
from camserve.errors import BundleError, ServingError
from camserve.golden import Golden, compare
from camserve.serving.publishing.external_data import check_self_contained
from camserve.tensors import DATA_TYPES

__all__ = ["check_servable"]


def check_servable(path: Path, contract: ModelContract, golden: Golden, *, tolerance: float) -> None:
    """Loads the model and asks it the golden images, all at once and one at a time.

    Args:
        path: The ONNX file.
        contract: What it must expect and answer.
        golden: The images, and what it answered at its export.
        tolerance: How far answers may be apart, as for `camserve.golden.compare`.

    Raises:
        BundleError: If it keeps weights in another file, does not load, a tensor is missing, of another type or of
            another shape, or it answers otherwise.
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
    _check_answers(session, contract, golden, tolerance)


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
    expected = DATA_TYPES[spec.dtype].onnx_tensor
    if found.type != expected:
        raise _mismatch(f"{spec.name} is {found.type} in the graph and {expected} in the contract")
    if len(found.shape) != len(spec.shape) + 1 or isinstance(found.shape[0], int):
        raise _mismatch(f"{spec.name} has shape {found.shape} in the graph, without a free batch or of another rank")


def _check_answers(session: Any, contract: ModelContract, golden: Golden, tolerance: float) -> None:
    image = golden.image(contract)
    together = _ask(session, contract, image)
    alone = [_ask(session, contract, image[row : row + 1]) for row in range(len(image))]
    for how, answers in (
        ("in one batch", together),
        ("one at a time", {name: np.concatenate([each[name] for each in alone]) for name in together}),
    ):
        faults = compare(golden, contract, answers, tolerance=tolerance)
        if faults:
            raise BundleError(
                f"model.onnx does not answer its golden images, asked {how}, as it did at its export: "
                f"{'; '.join(faults)}",
                hint="Export the model again",
            )


def _ask(session: Any, contract: ModelContract, image: Any) -> dict[str, Any]:
    names = [spec.name for spec in contract.outputs]
    try:
        return dict(zip(names, session.run(names, {contract.input.name: image}), strict=True))
    except Exception as error:
        raise BundleError(f"the graph cannot answer an image: {error}", hint="Export the model again") from error


def _mismatch(message: str) -> BundleError:
    return BundleError(f"model.onnx and contract.json disagree: {message}", hint="Export the model again")


def _names(tensors: dict[str, Any]) -> str:
    return ", ".join(sorted(tensors)) or "none"
