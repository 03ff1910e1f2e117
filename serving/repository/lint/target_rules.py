"""Rules about the release of Triton that will serve the model."""

from __future__ import annotations

from collections.abc import Iterator

from camserve.serving.repository.lint.findings import ModelFolder, Note, error, warning
from camserve.serving.repository.lint.targets import Target

__all__ = ["onnx_too_new", "tensorflow_gone"]


def onnx_too_new(model: ModelFolder, target: Target) -> Iterator[Note]:
    """ONNX Runtime loads operator sets and file formats up to those of its release."""
    if model.runs_openvino:
        return
    supported = f"but ONNX Runtime {target.onnxruntime} of Triton {target.release} supports at most"
    for number, metadata in model.onnx.items():
        if metadata.opset > target.opset:
            yield error(
                f"version {number} uses opset {metadata.opset}, {supported} {target.opset}",
                f"Export it with --opset {target.opset} or lower, or use a newer Triton",
            )
        if metadata.ir > target.ir:
            yield error(
                f"version {number} uses ONNX IR version {metadata.ir}, {supported} {target.ir}",
                "Export it with a lower --opset, or use a newer Triton",
            )


def tensorflow_gone(model: ModelFolder, target: Target) -> Iterator[Note]:
    """Triton's own TensorFlow backend was removed after 25.02; that of camserve is selected by its name."""
    if target.has_tensorflow:
        return
    if model.config.platform.startswith("tensorflow"):
        yield error(
            f"platform {model.config.platform} requires a backend that Triton {target.release} does not have",
            "Publish the model as ONNX, or as TensorFlow with "
            "camserve publish BUNDLE_DIR --repository DIR --backend tensorflow",
        )
    elif model.config.backend == "tensorflow":
        yield warning(
            f"Triton {target.release} has no TensorFlow backend",
            "Use that of camserve: camserve repository backend --backend tensorflow --out DIR "
            f"--target-triton {target.release}; or publish the model as ONNX",
        )
