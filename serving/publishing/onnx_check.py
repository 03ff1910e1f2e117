"""Check of an ONNX file before it is published: it loads, has the contract's tensors and gives the golden answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from camserve.contract import ModelContract, TensorSpec
from camserve.errors import BundleError
from camserve.external_data import check_self_contained
from camserve.golden import Golden, compare
from camserve.golden_images import GoldenImages
from camserve.openvino_runtime import NetworkTensor
from camserve.serving.config.backends import Backend
from camserve.serving.publishing.draft import GoldenFiles
from camserve.serving.publishing.runtime_sessions import RuntimeSession, in_float32_instead, open_runtime
from camserve.tensors import DATA_TYPES, PROBABILITIES

__all__ = ["check_servable"]

_OTHER_RUNTIME = "Publish with --backend onnxruntime, which the file was exported with"
_IN_FLOAT32 = (
    "this processor does not compute in bf16, so the golden answers were compared in float32. To compare them in bf16, "
    "publish with --url to a server that does"
)


def check_servable(
    path: Path, contract: ModelContract, golden: GoldenFiles, *, tolerance: float, backend: Backend, precision: str
) -> tuple[str, ...]:
    """Load an ONNX file in the runtime of its backend and verify its golden answers, in one batch and one by one.

    Args:
        path: The ONNX file.
        contract: Its contract.
        golden: The golden answers, and the golden images if there are any.
        tolerance: Largest difference, as for `camserve.golden.compare`.
        backend: The backend that will serve it, `onnxruntime` or `openvino`.
        precision: Precision of the file.

    Returns:
        What could not be verified on this host.

    Raises:
        BundleError: If the file stores weights elsewhere or does not load, or if a tensor is missing or has another
            type or shape, or the answers differ.
        ServingError: If onnxruntime is not installed.
        UsageError: If openvino is not installed.
    """
    check_self_contained(path)
    session = open_runtime(path, backend, precision)
    if set(session.inputs) != {contract.input.name}:
        raise _mismatch(f"the inputs of the graph are {_names(session.inputs)}, the contract has {contract.input.name}")
    _check_declared(contract.input, session.inputs[contract.input.name])
    for spec in contract.outputs:
        if spec.name not in session.outputs:
            raise _mismatch(f"the graph has no output {spec.name}; it has {_names(session.outputs)}")
        _check_declared(spec, session.outputs[spec.name])
    for how, faults in _compare(session, contract, golden.answers, tolerance):
        if faults:
            where = " in OpenVINO" if backend == "openvino" else ""
            # Answers of int8 were recorded with ONNX Runtime, and other kernels round otherwise.
            other = (backend, precision) == ("openvino", "int8")
            raise BundleError(
                f"model.onnx does not reproduce the golden answers of its export{where}, run {how}: "
                f"{'; '.join(faults)}",
                hint=_OTHER_RUNTIME if other else "Export the model again",
            )
    if golden.images is not None:
        _check_images(session, contract, golden.images, tolerance)
    return (_IN_FLOAT32,) if in_float32_instead(backend, precision) else ()


def _check_declared(spec: TensorSpec, found: NetworkTensor) -> None:
    if found.dtype != DATA_TYPES[spec.dtype].numpy:
        raise _mismatch(f"{spec.name} is {found.dtype} in the graph and {DATA_TYPES[spec.dtype].numpy} in the contract")
    if len(found.shape) != len(spec.shape) + 1 or found.shape[0] != -1:
        raise _mismatch(
            f"{spec.name} has shape {list(found.shape)} in the graph; it must have a free batch dimension and "
            f"{len(spec.shape)} more"
        )


def _compare(
    session: RuntimeSession, contract: ModelContract, golden: Golden, tolerance: float
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield how the golden images are run, and how the answers then differ."""
    image = golden.image(contract)
    batched = _run(session, contract, image)
    single = [_run(session, contract, image[row : row + 1]) for row in range(len(image))]
    for how, answers in (
        ("in one batch", batched),
        ("one image at a time", {name: np.concatenate([each[name] for each in single]) for name in batched}),
    ):
        yield how, compare(golden, contract, answers, tolerance=tolerance)


def _check_images(session: RuntimeSession, contract: ModelContract, golden: GoldenImages, tolerance: float) -> None:
    images = golden.image(contract)
    answers = [_run(session, contract, images[row : row + 1])[PROBABILITIES] for row in range(len(images))]
    faults = golden.faults({PROBABILITIES: np.concatenate(answers)}, tolerance=tolerance)
    if faults:
        raise BundleError(
            f"model.onnx does not give the expected answers to the golden images: {'; '.join(faults)}",
            hint="Export the model again",
        )


def _run(session: RuntimeSession, contract: ModelContract, image: Any) -> dict[str, Any]:
    try:
        return session.run(image, [spec.name for spec in contract.outputs])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises errors of many types
        raise BundleError(f"cannot run model.onnx on an image: {error}", hint="Export the model again") from None


def _mismatch(message: str) -> BundleError:
    return BundleError(f"model.onnx does not match contract.json: {message}", hint="Export the model again")


def _names(tensors: Iterable[str]) -> str:
    return ", ".join(sorted(tensors)) or "none"
