"""Traps in execution accelerators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from camserve.serving.config.accelerators import (
    CUDA_PARAMETERS,
    ENGINE_CACHE,
    ENGINE_PREFIX,
    profile_sizes,
    tensorrt_accelerator,
)
from camserve.serving.repository.lint.findings import ModelFolder, Note, error, warning
from camserve.serving.repository.lint.targets import Target

__all__ = [
    "cuda_option_misplaced",
    "engine_cache",
    "tensorrt_profile",
    "unknown_accelerator",
    "unknown_tensorrt_parameter",
]

_KNOWN = {"gpu": ("tensorrt", "cuda"), "cpu": ("openvino",)}
_TENSORRT_PARAMETERS = frozenset(
    [
        "precision_mode",
        "max_workspace_size_bytes",
        "int8_calibration_table_name",
        "int8_use_native_calibration_table",
        "trt_max_partition_iterations",
        "trt_min_subgraph_size",
        "trt_dla_enable",
        "trt_dla_core",
        "trt_engine_cache_enable",
        "trt_engine_cache_path",
        "trt_engine_cache_prefix",
        "trt_dump_subgraphs",
        "trt_force_sequential_engine_build",
        "trt_context_memory_sharing_enable",
        "trt_layer_norm_fp32_fallback",
        "trt_timing_cache_enable",
        "trt_timing_cache_path",
        "trt_force_timing_cache",
        "trt_detailed_build_log",
        "trt_build_heuristics_enable",
        "trt_sparsity_enable",
        "trt_builder_optimization_level",
        "trt_auxiliary_streams",
        "trt_tactic_sources",
        "trt_extra_plugin_lib_paths",
        "trt_profile_min_shapes",
        "trt_profile_max_shapes",
        "trt_profile_opt_shapes",
        "trt_cuda_graph_enable",
        "trt_dump_ep_context_model",
        "trt_ep_context_file_path",
        "trt_ep_context_embed_mode",
    ]
)
"""What Triton's ONNX Runtime backend reads of TensorRT; with any other it refuses to load the model."""


def cuda_option_misplaced(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """The backend sets these back to their defaults after it has read the accelerator."""
    for accelerator in model.config.optimization.execution_accelerators.gpu_execution_accelerator:
        for name in CUDA_PARAMETERS if accelerator.name == "cuda" else ():
            if name in accelerator.parameters:
                yield error(
                    f"{name} stands under execution_accelerators, where the backend sets it back to its default",
                    f"Move it to the model's parameters: camserve publish … --set {name}=…",
                )


def unknown_accelerator(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """The backend refuses to load a model that asks for an accelerator it does not know."""
    if not _is_onnx(model.config):
        return
    accelerators = model.config.optimization.execution_accelerators
    for device, known in _KNOWN.items():
        for accelerator in getattr(accelerators, f"{device}_execution_accelerator"):
            if accelerator.name not in known:
                yield error(
                    f"there is no {device} execution accelerator {accelerator.name!r}: the model will not load",
                    f"Choose {' or '.join(known)}, or leave it out",
                )


def unknown_tensorrt_parameter(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """The backend refuses to load a model with a parameter of TensorRT that it does not know."""
    accelerator = tensorrt_accelerator(model.config)
    for name in sorted(set(accelerator.parameters) - _TENSORRT_PARAMETERS) if accelerator is not None else ():
        yield error(
            f"TensorRT has no parameter {name!r} in Triton's backend: the model will not load",
            "Correct it by the README of triton-inference-server/onnxruntime_backend, or leave it out",
        )


def tensorrt_profile(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """An engine serves the batches of its profile; for another it is built anew, while its sender waits."""
    accelerator = tensorrt_accelerator(model.config)
    if accelerator is None:
        return
    sizes, largest = profile_sizes(accelerator.parameters), max(1, model.config.max_batch_size)
    if set(sizes) != {"min", "opt", "max"}:
        yield warning(
            "TensorRT has no profile: it builds an engine, for minutes, for every batch size that it meets",
            "Publish it again with --accelerator tensorrt, which writes one for all batches",
        )
    elif sizes["min"] > 1 or sizes["max"] < largest:
        yield error(
            f"TensorRT's profile covers batches of {sizes['min']} to {sizes['max']} and max_batch_size is {largest}",
            f"Make it cover 1 to {largest}: publish it again with --max-batch {largest}",
        )


def engine_cache(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """A cached engine is found by the names in a graph, which tell neither models nor versions apart."""
    accelerator = tensorrt_accelerator(model.config)
    if accelerator is None:
        return
    if accelerator.parameters.get(ENGINE_CACHE, "").lower() not in ("1", "true"):
        yield warning(
            "TensorRT keeps no engines: every start builds them, for minutes",
            "Keep them: camserve publish … --set tensorrt_engine_cache=on",
        )
    elif ENGINE_PREFIX not in accelerator.parameters:
        yield error(
            f"TensorRT's engine cache has no {ENGINE_PREFIX}: an engine is found by the names in its graph, so that "
            "another version, or another model of this architecture, answers with these weights",
            "Publish it again, which names the engines by their weights",
        )
    elif _several(model):
        yield error(
            "several versions are served with one engine cache, and answer with each other's weights",
            "Serve one at a time: camserve publish … --latest-versions 1; or --set tensorrt_engine_cache=off",
        )


def _is_onnx(config: Any) -> bool:
    return bool(config.backend == "onnxruntime" or config.platform.startswith("onnxruntime"))


def _several(model: ModelFolder) -> bool:
    policy = model.config.version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        return len(policy.specific.versions) > 1
    return len(model.versions) > 1 and (choice == "all" or policy.latest.num_versions > 1)
