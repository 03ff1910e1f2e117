"""The part of a model configuration about versions, warm-up and the response cache."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import model_config_pb2

from camserve.contract import TensorSpec
from camserve.serving.config.accelerator_options import TensorRT
from camserve.serving.config.serving_options import ServingOptions

__all__ = ["read_readiness", "write_readiness"]


def write_readiness(config: Any, options: ServingOptions, image: TensorSpec) -> None:
    """Write the options into the message."""
    _write_versions(config.version_policy, options)
    if options.response_cache:
        config.response_cache.enable = True
    if options.warmup:
        config.model_warmup.extend(_warmup(image, size) for size in _warmup_sizes(options))


def read_readiness(config: Any) -> dict[str, Any]:
    """Return the options that `write_readiness` wrote, by name."""
    policy = config.version_policy
    values = {"warmup": bool(config.model_warmup), "response_cache": config.response_cache.enable}
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific" and policy.specific.versions:
        return {**values, "versions": tuple(policy.specific.versions)}
    if choice == "all":
        return {**values, "versions": "all"}
    return {**values, "versions": "latest", "latest_versions": policy.latest.num_versions or 1}


def _write_versions(policy: Any, options: ServingOptions) -> None:
    if options.versions == "all":
        policy.all.SetInParent()
    elif isinstance(options.versions, tuple):
        policy.specific.versions.extend(options.versions)
    else:
        policy.latest.num_versions = options.latest_versions


def _warmup_sizes(options: ServingOptions) -> list[int]:
    accelerator = options.accelerator
    optimized = accelerator.opt_batch_size if isinstance(accelerator, TensorRT) else None
    return sorted({1, optimized or options.max_batch_size, options.max_batch_size})


def _warmup(image: TensorSpec, batch_size: int) -> Any:
    warmup = model_config_pb2.ModelWarmup(name=f"batch of {batch_size}", batch_size=batch_size, count=1)
    warmup.inputs[image.name].data_type = model_config_pb2.DataType.Value(f"TYPE_{image.dtype}")
    warmup.inputs[image.name].dims.extend(image.shape)
    warmup.inputs[image.name].random_data = True
    return warmup
