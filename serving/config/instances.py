"""The part of a model configuration about its copies: where they run, on how many threads, in whose turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.serving.config.choices import Accelerator, Backend
from camserve.serving.config.serving_options import Resource, ServingOptions

__all__ = ["THREADS", "backend_of", "read_instances", "read_parameter", "write_instances"]

THREADS: Mapping[Backend, tuple[str, str]] = {
    "onnxruntime": ("intra_op_thread_count", "inter_op_thread_count"),
    "tensorflow": ("TF_NUM_INTRA_THREADS", "TF_NUM_INTER_THREADS"),
}
"""Parameters by which a backend is told its threads inside an operator and across operators."""

_PARALLEL = "execution_mode"
_KINDS: Mapping[Accelerator, str] = {
    "auto": "KIND_AUTO",
    "none": "KIND_CPU",
    "cuda": "KIND_GPU",
    "tensorrt": "KIND_GPU",
    "openvino": "KIND_CPU",
}


def write_instances(config: Any, options: ServingOptions, backend: Backend) -> None:
    """Writes the options into the message."""
    group = config.instance_group.add(count=options.instances, kind=_kind(options.accelerator), gpus=list(options.gpus))
    for resource in options.rate_limiter_resources:
        # `global` is a word of Python's own.
        group.rate_limiter.resources.add(**{"name": resource.name, "count": resource.count, "global": resource.shared})
    if options.rate_limiter_priority != 1:
        group.rate_limiter.priority = options.rate_limiter_priority
    inside, across = THREADS[backend]
    if options.threads is not None:
        config.parameters[inside].string_value = str(options.threads)
    if options.inter_threads is not None:
        config.parameters[across].string_value = str(options.inter_threads)
        if backend == "onnxruntime":
            # ONNX Runtime heeds the number only where branches may run side by side.
            config.parameters[_PARALLEL].string_value = "1"


def read_instances(config: Any) -> dict[str, Any]:
    """The options by which `write_instances` wrote the message."""
    inside, across = THREADS[backend_of(config)]
    read: dict[str, Any] = {
        "threads": _positive(read_parameter(config, inside)),
        "inter_threads": _positive(read_parameter(config, across)),
        "accelerator": _accelerator(config),
    }
    if config.instance_group:
        group = config.instance_group[0]
        read["instances"] = group.count or 1
        read["gpus"] = tuple(group.gpus)
        read["rate_limiter_resources"] = tuple(_resource(each) for each in group.rate_limiter.resources)
        read["rate_limiter_priority"] = group.rate_limiter.priority or 1
    return read


def backend_of(config: Any) -> Backend:
    """The backend that a configuration names; the one for ONNX where it names another."""
    return "tensorflow" if config.backend == "tensorflow" else "onnxruntime"


def read_parameter(config: Any, name: str) -> str:
    """The value of a parameter, empty where there is none; reading a map of protobuf by key would add the key."""
    return str(config.parameters[name].string_value) if name in config.parameters else ""


def _positive(text: str) -> int | None:
    return int(text) or None if text.isdecimal() else None


def _resource(message: Any) -> Resource:
    return Resource(name=message.name, count=message.count, shared=getattr(message, "global"))


def _kind(accelerator: Accelerator) -> int:
    return int(model_config_pb2.ModelInstanceGroup.Kind.Value(_KINDS[accelerator]))


def _accelerator(config: Any) -> Accelerator:
    accelerators = config.optimization.execution_accelerators
    if any(each.name == "tensorrt" for each in accelerators.gpu_execution_accelerator):
        return "tensorrt"
    if any(each.name == "openvino" for each in accelerators.cpu_execution_accelerator):
        return "openvino"
    kind = config.instance_group[0].kind if config.instance_group else _kind("auto")
    plain: tuple[Accelerator, ...] = ("auto", "none", "cuda")
    return next((name for name in plain if kind == _kind(name)), "auto")
