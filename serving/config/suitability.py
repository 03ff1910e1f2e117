"""Whether serving options suit a model: its backend and its precision."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from camserve.errors import UsageError
from camserve.serving.config.accelerator_options import Auto, Cpu, Cuda, OpenVINO, TensorRT
from camserve.serving.config.accelerators import CUDA_PARAMETERS
from camserve.serving.config.backends import Backend
from camserve.serving.config.named_options import DEFAULTS
from camserve.serving.config.option_kinds import format_value

__all__ = ["check_suitable", "for_backend"]

_OF_ONNX_RUNTIME = (*CUDA_PARAMETERS, "batch_sizes", "prefer_nhwc", "fuse_conv_bias", "cuda_graphs")


def for_backend(backend: Backend, current: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return changes by name with those that a backend requires where nothing was chosen.

    OpenVINO has no GPU to choose: in place of the accelerator `auto`, a model gets `none`.

    Args:
        backend: The backend that will run the model.
        current: The current options of the model, or the defaults of a new one.
        changes: The options that are chosen now.
    """
    if backend == "openvino" and current["accelerator"] == Auto.name:
        return {"accelerator": Cpu.name, **changes}
    return dict(changes)


def check_suitable(
    options: Mapping[str, Any], *, backend: Backend, precision: str, chosen: Collection[str] = DEFAULTS
) -> None:
    """Check that the backend supports the options, and the accelerator the model's precision.

    Args:
        options: All options, by name.
        backend: The backend that runs the model.
        precision: The precision of the model's file.
        chosen: The options that are chosen now (default: all). What a published model has for int8 on CUDA is kept, so
            that it can be rolled back.

    Raises:
        UsageError: If it does not.
    """
    if backend == "tensorflow":
        _check_tensorflow(options)
    elif backend == "openvino":
        _check_openvino(options)
    elif precision == "bf16":
        raise UsageError(
            "ONNX Runtime would compute a model of precision bf16 in float32",
            hint="Publish with --backend openvino, which computes in bf16, or export with --precision fp32 or int8",
        )
    if options["accelerator"] == TensorRT.name:
        _check_tensorrt(options["tensorrt_precision"], precision)
    elif precision == "int8" and backend == "onnxruntime":
        _check_int8({name: options[name] for name in chosen})


def _check_tensorflow(options: Mapping[str, Any]) -> None:
    if options["accelerator"] in (TensorRT.name, OpenVINO.name):
        raise UsageError(
            f"the tensorflow backend does not support accelerator {options['accelerator']}",
            hint="Choose auto, none or cuda, or publish for the onnxruntime backend",
        )
    names = [name for name in _OF_ONNX_RUNTIME if options[name] != DEFAULTS[name]]
    if names:
        reset = " ".join(f"--set {name}={format_value(DEFAULTS[name])}" for name in names)
        raise UsageError(
            f"the tensorflow backend does not support {', '.join(names)}",
            hint=f"Publish for the onnxruntime backend, or reset what the model was published with: {reset}",
        )


def _check_openvino(options: Mapping[str, Any]) -> None:
    accelerator = options["accelerator"]
    if accelerator != Cpu.name:
        reason = ", which is for ONNX Runtime" if accelerator == OpenVINO.name else ": it computes on the CPU only"
        raise UsageError(
            f"the openvino backend does not support accelerator {accelerator}{reason}",
            hint="Choose none: --accelerator none, or publish for the onnxruntime backend",
        )


def _check_int8(chosen: Mapping[str, Any]) -> None:
    if chosen.get("accelerator") == Cuda.name:
        raise UsageError(
            "an int8 model does not suit accelerator cuda: it is slower there than fp16, and gives other maps",
            hint="Publish with --preset tensorrt or --accelerator none, or export the model with --precision fp16",
        )
    if chosen.get("prefer_nhwc"):
        raise UsageError(
            "prefer_nhwc does not work with an int8 model: CUDA fails at the first request", hint="Leave it out"
        )


def _check_tensorrt(tensorrt_precision: str, model_precision: str) -> None:
    if tensorrt_precision == "int8" and model_precision != "int8":
        raise UsageError(
            f"tensorrt_precision int8 requires a model exported as int8, got {model_precision}",
            hint="Choose fp16, or export the model with --precision int8 --int8-target tensorrt",
        )
    if model_precision == "int8" and tensorrt_precision != "int8":
        raise UsageError(
            f"an int8 model requires tensorrt_precision int8, got {tensorrt_precision}",
            hint="Choose tensorrt_precision int8",
        )
