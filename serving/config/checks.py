"""Whether serving options make sense, each by itself and together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args

from camserve.errors import UsageError
from camserve.serving.config.choices import (
    Accelerator,
    ArenaStrategy,
    ConvolutionSearch,
    QueueAction,
    TensorRTPrecision,
)

if TYPE_CHECKING:
    from camserve.serving.config.serving_options import ServingOptions

__all__ = ["ONLY_WITH", "RANGES", "SWITCHES", "check_options", "check_values"]

_LARGEST = 2**63 - 1
_MICROSECONDS = 3_600_000_000
_LARGEST_COUNT = 1_000_000

RANGES: Mapping[str, tuple[int, int]] = {
    "max_batch_size": (1, 4096),
    "max_queue_delay_us": (0, 10_000_000),
    "preferred_batch_sizes": (1, 4096),
    "max_queue_size": (0, 1_000_000),
    "queue_timeout_us": (0, _MICROSECONDS),
    "priority_levels": (0, 100),
    "default_priority": (0, 100),
    "instances": (1, 256),
    "gpus": (0, 255),
    "threads": (1, 1024),
    "inter_threads": (1, 1024),
    "gpu_mem_limit": (1, _LARGEST),
    "tensorrt_opt_batch_size": (1, 4096),
    "tensorrt_workspace": (1, _LARGEST),
    "versions": (1, _LARGEST),
    "latest_versions": (1, 256),
    "rate_limiter_priority": (1, 1_000_000),
}
"""Lowest and highest value of each option that is a whole number, or of each of its numbers."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "queue_timeout_action": get_args(QueueAction),
    "accelerator": get_args(Accelerator),
    "cudnn_conv_algo_search": get_args(ConvolutionSearch),
    "arena_extend_strategy": get_args(ArenaStrategy),
    "tensorrt_precision": get_args(TensorRTPrecision),
}

_OPTIONAL = (
    "threads",
    "inter_threads",
    "cudnn_conv_algo_search",
    "gpu_mem_limit",
    "arena_extend_strategy",
    "do_copy_in_default_stream",
    "tensorrt_opt_batch_size",
    "tensorrt_workspace",
)
SWITCHES = (
    "queue_timeout_override",
    "do_copy_in_default_stream",
    "tensorrt_engine_cache",
    "tensorrt_timing_cache",
    "warmup",
    "response_cache",
)
"""Options that are on or off."""

_CUDA: tuple[Accelerator, ...] = ("auto", "cuda", "tensorrt")
ONLY_WITH: Mapping[str, tuple[Accelerator, ...]] = {
    "gpus": ("cuda", "tensorrt"),
    "cudnn_conv_algo_search": _CUDA,
    "gpu_mem_limit": _CUDA,
    "arena_extend_strategy": _CUDA,
    "do_copy_in_default_stream": _CUDA,
    "tensorrt_precision": ("tensorrt",),
    "tensorrt_opt_batch_size": ("tensorrt",),
    "tensorrt_workspace": ("tensorrt",),
    "tensorrt_engine_cache": ("tensorrt",),
    "tensorrt_timing_cache": ("tensorrt",),
    "tensorrt_cache_path": ("tensorrt",),
}
"""Options that mean something only under certain accelerators."""


def check_options(options: ServingOptions) -> None:
    """Refuses values out of range, and values that contradict each other.

    Raises:
        UsageError: The message names the option, the hint says what to do.
    """
    check_values({field.name: getattr(options, field.name) for field in fields(options)})
    _check_accelerator(options)
    _check_batching(options)
    _check_versions(options)
    _check_resources(options)


def check_values(given: Mapping[str, Any]) -> None:
    """Refuses values of options that are out of range, each by itself.

    Raises:
        UsageError: It names the first.
    """
    for name, value in given.items():
        if value is None and name in _OPTIONAL:
            continue
        if name in _CHOICES and value not in _CHOICES[name]:
            said = f"there is no {name} {value!r}"
            raise UsageError(said, hint=f"Choose one of {', '.join(_CHOICES[name])}")
        if name in SWITCHES and not isinstance(value, bool):
            raise UsageError(f"{name} must be True or False and is {value!r}")
        if name in RANGES and not (name == "versions" and isinstance(value, str)):
            for number in value if isinstance(value, tuple) else (value,):
                _check_number(name, number)


def _check_number(name: str, value: Any) -> None:
    lowest, highest = RANGES[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} must be a whole number and is {value!r}")
    if not lowest <= value <= highest:
        raise UsageError(f"{name} must be from {lowest} to {highest} and is {value}")


def _check_accelerator(options: ServingOptions) -> None:
    for field in fields(options):
        allowed = ONLY_WITH.get(field.name, get_args(Accelerator))
        if options.accelerator not in allowed and getattr(options, field.name) != field.default:
            raise UsageError(
                f"{field.name} has no meaning with accelerator {options.accelerator}",
                hint=f"Leave it out, or choose accelerator {' or '.join(allowed)}",
            )
    if len(set(options.gpus)) != len(options.gpus):
        raise UsageError(f"gpus names one twice: {', '.join(map(str, options.gpus))}", hint="Raise instances instead")
    path = options.tensorrt_cache_path
    if not isinstance(path, str) or not path or path != path.strip():
        raise UsageError(f"tensorrt_cache_path {path!r} is no path", hint="Name a folder on the server")


def _check_batching(options: ServingOptions) -> None:
    sizes = {"preferred_batch_sizes": options.preferred_batch_sizes}
    sizes["tensorrt_opt_batch_size"] = (options.tensorrt_opt_batch_size or 1,)
    for name, values in sizes.items():
        if values and max(values) > options.max_batch_size:
            raise UsageError(
                f"{name} says {max(values)} and max_batch_size {options.max_batch_size}",
                hint=f"Raise max_batch_size to {max(values)}, or lower {name}",
            )
    levels, default = options.priority_levels, options.default_priority
    if levels and not 1 <= default <= levels:
        raise UsageError(
            f"priority_levels is {levels} and default_priority {default}",
            hint=f"Set default_priority, that of requests which name none, from 1, which is served first, to {levels}",
        )
    if default and not levels:
        raise UsageError(f"default_priority is {default} without priority_levels", hint="Give priority_levels, too")


def _check_versions(options: ServingOptions) -> None:
    versions = options.versions
    if isinstance(versions, str) and versions not in ("latest", "all"):
        raise UsageError(f"versions says {versions!r}", hint="Choose latest, all, or numbers of versions")
    if isinstance(versions, tuple) and (not versions or len(set(versions)) != len(versions)):
        raise UsageError(
            "versions must name at least one, each once", hint="Give numbers such as 3,5, or latest, or all"
        )
    if versions != "latest" and options.latest_versions != 1:
        raise UsageError("latest_versions holds only where versions is latest", hint="Leave one of them out")
    several = options.latest_versions > 1 or versions == "all" or (isinstance(versions, tuple) and len(versions) > 1)
    if several and options.accelerator == "tensorrt" and options.tensorrt_engine_cache:
        # The engine's file name tells models by the names in their graphs, which two versions share.
        raise UsageError(
            "TensorRT's engine cache cannot tell versions that are served at once apart, and would answer for one with "
            "the weights of another",
            hint="Serve one version at a time, or turn tensorrt_engine_cache off",
        )


def _check_resources(options: ServingOptions) -> None:
    names = [resource.name for resource in options.rate_limiter_resources]
    for resource in options.rate_limiter_resources:
        if not resource.name or isinstance(resource.count, bool) or not 1 <= resource.count <= _LARGEST_COUNT:
            raise UsageError(f"rate_limiter_resources has {resource}", hint="Give each a name and a count from 1 on")
    if len(set(names)) != len(names):
        raise UsageError("rate_limiter_resources names one twice", hint="Add its counts together")
