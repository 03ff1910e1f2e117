"""Traps in what the Triton that will serve has and knows."""

from __future__ import annotations

from collections.abc import Iterator

from camserve.serving.repository.lint.findings import ModelFolder, Note, error, warning
from camserve.serving.repository.lint.targets import Target

__all__ = ["onnx_too_new", "tensorflow_gone"]


def onnx_too_new(model: ModelFolder, target: Target) -> Iterator[Note]:
    """An ONNX Runtime loads operator sets and file formats up to those that were released with it."""
    for number, head in model.heads.items():
        known = f"ONNX Runtime {target.onnxruntime} of Triton {target.release} loads up to"
        if head.opset > target.opset:
            yield error(
                f"version {number} is written in opset {head.opset} and {known} {target.opset}",
                f"Export it with --opset {target.opset} or lower, or serve it by a newer Triton",
            )
        if head.ir > target.ir:
            yield error(
                f"version {number} is written in ONNX's file format {head.ir} and {known} {target.ir}",
                "Export it with an older ONNX operator set, or serve it by a newer Triton",
            )


def tensorflow_gone(model: ModelFolder, target: Target) -> Iterator[Note]:
    """Triton's own TensorFlow backend was last in 25.02; the one that camserve brings runs by its name alone."""
    if target.has_tensorflow:
        return
    if model.config.platform.startswith("tensorflow"):
        yield error(
            f"platform {model.config.platform} needs a backend that Triton {target.release} has not",
            "Publish the model as ONNX, or as TensorFlow with camserve publish … --backend tensorflow",
        )
    elif model.config.backend == "tensorflow":
        yield warning(
            f"Triton {target.release} has no TensorFlow backend of its own",
            "Mount camserve's, as docs/serving.md says under The SavedModel, or publish the model as ONNX",
        )
