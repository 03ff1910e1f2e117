"""The part of a model configuration about instances: devices, threads and rate limiting."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.errors import UsageError
from camserve.serving.config.accelerator_options import Accelerator, Auto, Cpu, Cuda, OpenVINO, TensorRT
from camserve.serving.config.backends import THREADS, Backend, backend_of
from camserve.serving.config.resources import Resource
from camserve.serving.config.serving_options import ServingOptions

__all__ = ["PARALLEL", "read_instances", "read_parameter", "write_instances"]

PARALLEL = "execution_mode"


def write_instances(config: Any, options: ServingOptions, backend: Backend) -> None:
    """Write the options into the message.

    Raises:
        UsageError: If the backend has no threads across operators, and the options have.
    """
    accelerator = options.accelerator
    gpus = accelerator.gpus if isinstance(accelerator, Cuda | TensorRT) else ()
    group = config.instance_group.add(count=options.instances, kind=_kind(accelerator), gpus=gpus)
    for resource in options.rate_limiter_resources:
        # `global` is a keyword of Python.
        group.rate_limiter.resources.add(**{"name": resource.name, "count": resource.count, "global": resource.shared})
    if options.rate_limiter_priority != 1:
        group.rate_limiter.priority = options.rate_limiter_priority
    within, *across = THREADS[backend]
    if options.threads is not None:
        config.parameters[within].string_value = str(options.threads)
    if options.inter_threads is not None:
        if not across:
            raise UsageError(
                f"the {backend} backend does not support inter_threads",
                hint="Leave it out, or reset what the model was published with: --set inter_threads=none",
            )
        config.parameters[across[0]].string_value = str(options.inter_threads)
        if backend == "onnxruntime":
            # ONNX Runtime uses the number only in parallel execution mode.
            config.parameters[PARALLEL].string_value = "1"


def read_instances(config: Any) -> dict[str, Any]:
    """Return the options that `write_instances` wrote, by name."""
    within, *across = THREADS[backend_of(config)]
    values: dict[str, Any] = {
        "threads": _positive(read_parameter(config, within)),
        "inter_threads": _positive(read_parameter(config, across[0]) if across else ""),
        "accelerator": _accelerator(config),
    }
    if config.instance_group:
        group = config.instance_group[0]
        values["instances"] = group.count or 1
        values["gpus"] = tuple(group.gpus)
        values["rate_limiter_resources"] = tuple(_resource(each) for each in group.rate_limiter.resources)
        values["rate_limiter_priority"] = group.rate_limiter.priority or 1
    return values


def read_parameter(config: Any, name: str) -> str:
    """Return the value of a parameter, empty if it is missing. Reading protobuf's map by key would add the key."""
    return str(config.parameters[name].string_value) if name in config.parameters else ""


def _positive(text: str) -> int | None:
    return int(text) or None if text.isdecimal() else None


def _resource(message: Any) -> Resource:
    return Resource(name=message.name, count=message.count, shared=getattr(message, "global"))


def _kind(accelerator: Accelerator | type[Accelerator]) -> int:
    return int(model_config_pb2.ModelInstanceGroup.Kind.Value(accelerator.instance_kind))


def _accelerator(config: Any) -> str:
    accelerators = config.optimization.execution_accelerators
    if any(each.name == TensorRT.name for each in accelerators.gpu_execution_accelerator):
        return TensorRT.name
    if any(each.name == OpenVINO.name for each in accelerators.cpu_execution_accelerator):
        return OpenVINO.name
    kinds = {_kind(each): each.name for each in (Auto, Cpu, Cuda)}
    return kinds.get(config.instance_group[0].kind, Auto.name) if config.instance_group else Auto.name
