"""Check of an ONNX file before it is published: it loads, has the contract's tensors and gives the golden answers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from camserve.contract import ModelContract, TensorSpec
from camserve.errors import BundleError, ServingError
from camserve.external_data import check_self_contained
from camserve.golden import Golden, compare
from camserve.golden_images import GoldenImages
from camserve.serving.publishing.draft import GoldenFiles
from camserve.tensors import DATA_TYPES, PROBABILITIES

__all__ = ["check_servable"]


def check_servable(path: Path, contract: ModelContract, golden: GoldenFiles, *, tolerance: float) -> None:
    """Load an ONNX file in ONNX Runtime and verify its golden answers, in one batch and one image at a time.

    Args:
        path: The ONNX file.
        contract: Its contract.
        golden: The golden answers, and the golden images if there are any.
        tolerance: Largest difference, as for `camserve.golden.compare`.

    Raises:
        BundleError: If the file stores weights elsewhere or does not load, or if a tensor is missing or has another
            type or shape, or the answers differ.
        ServingError: If onnxruntime is not installed.
    """
    check_self_contained(path)
    session = _open_session(path)
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    if set(inputs) != {contract.input.name}:
        raise _mismatch(f"the inputs of the graph are {_names(inputs)}, the contract has {contract.input.name}")
    _check_declared(contract.input, inputs[contract.input.name])
    outputs = {tensor.name: tensor for tensor in session.get_outputs()}
    for spec in contract.outputs:
        if spec.name not in outputs:
            raise _mismatch(f"the graph has no output {spec.name}; it has {_names(outputs)}")
        _check_declared(spec, outputs[spec.name])
    _check_answers(session, contract, golden.answers, tolerance)
    if golden.images is not None:
        _check_images(session, contract, golden.images, tolerance)


def _open_session(path: Path) -> Any:
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
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises errors of many types
        raise BundleError(f"onnxruntime cannot load {path.name}: {error}", hint="Export the model again") from None


def _check_declared(spec: TensorSpec, found: Any) -> None:
    expected = DATA_TYPES[spec.dtype].onnx_tensor
    if found.type != expected:
        raise _mismatch(f"{spec.name} is {found.type} in the graph and {expected} in the contract")
    if len(found.shape) != len(spec.shape) + 1 or isinstance(found.shape[0], int):
        raise _mismatch(
            f"{spec.name} has shape {found.shape} in the graph; it must have a free batch dimension and "
            f"{len(spec.shape)} more"
        )


def _check_answers(session: Any, contract: ModelContract, golden: Golden, tolerance: float) -> None:
    image = golden.image(contract)
    batched = _run(session, contract, image)
    single = [_run(session, contract, image[row : row + 1]) for row in range(len(image))]
    for how, answers in (
        ("in one batch", batched),
        ("one image at a time", {name: np.concatenate([each[name] for each in single]) for name in batched}),
    ):
        faults = compare(golden, contract, answers, tolerance=tolerance)
        if faults:
            raise BundleError(
                f"model.onnx does not reproduce the golden answers of its export, run {how}: {'; '.join(faults)}",
                hint="Export the model again",
            )


def _check_images(session: Any, contract: ModelContract, golden: GoldenImages, tolerance: float) -> None:
    images = golden.image(contract)
    answers = [_run(session, contract, images[row : row + 1])[PROBABILITIES] for row in range(len(images))]
    faults = golden.faults({PROBABILITIES: np.concatenate(answers)}, tolerance=tolerance)
    if faults:
        raise BundleError(
            f"model.onnx does not give the expected answers to the golden images: {'; '.join(faults)}",
            hint="Export the model again",
        )


def _run(session: Any, contract: ModelContract, image: Any) -> dict[str, Any]:
    names = [spec.name for spec in contract.outputs]
    try:
        return dict(zip(names, session.run(names, {contract.input.name: image}), strict=True))
    except Exception as error:  # noqa: BLE001 - onnxruntime raises errors of many types
        raise BundleError(f"cannot run model.onnx on an image: {error}", hint="Export the model again") from None


def _mismatch(message: str) -> BundleError:
    return BundleError(f"model.onnx does not match contract.json: {message}", hint="Export the model again")


def _names(tensors: dict[str, Any]) -> str:
    return ", ".join(sorted(tensors)) or "none"
