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
    if groups and all(group.kind in (_GROUP.KIND_CPU, _GROUP.KIND_MODEL) for group in groups):
        return None
    copy = model_config_pb2.ModelConfig()
    copy.CopyFrom(config)
    _keep_cpu_groups(copy)
    if groups and all(group.kind == _GROUP.KIND_GPU for group in groups):
        _remove(copy, *THREADS[backend_of(copy)], PARALLEL)
    copy.optimization.ClearField("cuda")
    copy.optimization.execution_accelerators.ClearField("gpu_execution_accelerator")
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
        first = config.instance_group[0] if config.instance_group else _GROUP()
        groups = [_GROUP(name=first.name, count=1, rate_limiter=first.rate_limiter)]
    kept = [_GROUP(name=each.name, count=each.count, rate_limiter=each.rate_limiter, kind=each.kind) for each in groups]
    for group in kept:
        group.kind = _GROUP.KIND_CPU if group.kind == _GROUP.KIND_AUTO else group.kind
    config.ClearField("instance_group")
    config.instance_group.extend(kept)


def _remove(config: Any, *parameters: str) -> None:
    for name in parameters:
        config.parameters.pop(name, None)
