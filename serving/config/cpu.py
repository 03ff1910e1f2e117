"""The configuration that serves a model on the CPU, derived from one for GPUs. Pure functions; no file is changed."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.serving.config.accelerators import CUDA_PARAMETERS
from camserve.serving.config.backends import THREADS, backend_of
from camserve.serving.config.instances import PARALLEL, read_parameter
from camserve.serving.config.message import read_options
from camserve.text import count

__all__ = ["cpu_change", "cpu_config"]

_BATCH_SIZES = "batch_sizes"
_GPU_PARAMETERS = (*CUDA_PARAMETERS, _BATCH_SIZES, "cuda_graphs", "cpu_fallback")
_GPU_FIELDS = ("gpus", "secondary_devices", "profile", "host_policy")
_GROUP = model_config_pb2.ModelInstanceGroup


def cpu_config(config: Any) -> Any | None:
    """Return the message for the CPU; None if the model runs on the CPU only, as it is.

    What is for GPUs is left out: accelerators, CUDA's parameters, fixed batch sizes. Instances on GPUs become one
    instance on all cores, since their number and threads were chosen for GPUs. Instances of the kind `KIND_AUTO` were
    chosen for the CPU too, so their number and threads are kept.

    Args:
        config: The `ModelConfig` message, which is not changed.
    """
    groups = config.instance_group
    if config.HasField("ensemble_scheduling"):  # it has no instances
        return None
    if groups and all(group.kind in (_GROUP.KIND_CPU, _GROUP.KIND_MODEL) for group in groups):
        return None
    copy = model_config_pb2.ModelConfig()
    copy.CopyFrom(config)
    _keep_cpu_groups(copy)
    if groups and all(group.kind == _GROUP.KIND_GPU for group in groups):
        _remove(copy, *THREADS[backend_of(copy)], PARALLEL)
    _remove_accelerators(copy)
    _remove(copy, *_GPU_PARAMETERS)
    return copy


def cpu_change(before: Any, after: Any) -> str:
    """Return how a model is served on the CPU, and how it was published, as in `resnet50 with 1 instance ...`.

    Args:
        before: The message as published.
        after: What `cpu_config` returned.
    """
    published, options = read_options(before), read_options(after)
    threads = "on all cores" if options["threads"] is None else f"of {count(options['threads'], 'thread')}"
    facts = [str(published["accelerator"]), count(published["instances"], "instance")]
    if sizes := read_parameter(before, _BATCH_SIZES):
        facts.append(f"{_BATCH_SIZES} {sizes}")
    return f"{before.name} with {count(options['instances'], 'instance')} {threads} (published: {', '.join(facts)})"


def _keep_cpu_groups(config: Any) -> None:
    groups = [group for group in config.instance_group if group.kind != _GROUP.KIND_GPU]
    if not groups:
        groups = [*config.instance_group[:1]] or [_GROUP()]
        groups[0].count = 1
    for group in groups:
        group.kind = _GROUP.KIND_MODEL if group.kind == _GROUP.KIND_MODEL else _GROUP.KIND_CPU
        for name in _GPU_FIELDS:
            group.ClearField(name)
    kept = [_GROUP.FromString(group.SerializeToString()) for group in groups]
    config.ClearField("instance_group")
    config.instance_group.extend(kept)


def _remove_accelerators(config: Any) -> None:
    optimization = config.optimization
    optimization.ClearField("cuda")
    optimization.execution_accelerators.ClearField("gpu_execution_accelerator")
    if not optimization.execution_accelerators.ListFields():
        optimization.ClearField("execution_accelerators")
    if not optimization.ListFields():
        config.ClearField("optimization")


def _remove(config: Any, *parameters: str) -> None:
    for name in parameters:
        config.parameters.pop(name, None)
