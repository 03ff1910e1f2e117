"""Whether options suit the model that they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from camserve.errors import UsageError
from camserve.serving.config.accelerators import CUDA_PARAMETERS
from camserve.serving.config.choices import Backend

__all__ = ["check_suitable"]


def check_suitable(options: Mapping[str, Any], *, backend: Backend, precision: str) -> None:
    """Refuses accelerators that the backend lacks, and arithmetic that the model was not made for.

    Args:
        options: All of them, by name.
        backend: The backend that runs the model.
        precision: Of the model's file.

    Raises:
        UsageError: The hint says what to choose.
    """
    if backend == "tensorflow":
        _check_tensorflow(options)
    if options["accelerator"] == "tensorrt":
        _check_tensorrt(options["tensorrt_precision"], precision)


def _check_tensorflow(options: Mapping[str, Any]) -> None:
    if options["accelerator"] in ("tensorrt", "openvino"):
        raise UsageError(
            f"the tensorflow backend has no accelerator {options['accelerator']}",
            hint="Choose auto, none or cuda, or publish for the onnxruntime backend",
        )
    for name in CUDA_PARAMETERS:
        if options[name] is not None:
            raise UsageError(
                f"the tensorflow backend has no {name}",
                hint="Leave it out, or publish for the onnxruntime backend",
            )


def _check_tensorrt(arithmetic: str, precision: str) -> None:
    if arithmetic == "int8" and precision != "int8":
        raise UsageError(
            f"tensorrt_precision is int8 and the model {precision}: it carries no ranges to quantize by",
            hint="Choose fp16, or export the model with --precision int8 --int8-target tensorrt",
        )
    if precision == "int8" and arithmetic != "int8":
        raise UsageError(
            f"the model is int8 and tensorrt_precision {arithmetic}, by which TensorRT refuses its graph",
            hint="Choose tensorrt_precision int8",
        )
