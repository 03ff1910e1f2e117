"""Rules about execution accelerators."""

from __future__ import annotations

from collections.abc import Iterator

from camserve.serving.config.accelerators import (
    ENGINE_CACHE,
    ENGINE_PREFIX,
    profile_sizes,
    tensorrt_accelerator,
)
from camserve.serving.repository.lint.findings import ModelFolder, Note, error, warning
from camserve.serving.repository.lint.targets import Target

__all__ = [
    "engine_cache",
    "tensorrt_precision",
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
"""TensorRT's parameters in Triton's ONNX Runtime backend, which rejects a model with any other."""


def unknown_accelerator(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """The backend does not load a model with an unknown accelerator."""
    if not model.runs_onnx:
        return
    accelerators = model.config.optimization.execution_accelerators
    for device, known in _KNOWN.items():
        for accelerator in getattr(accelerators, f"{device}_execution_accelerator"):
            if accelerator.name not in known:
                yield error(
                    f"unknown {device} execution accelerator {accelerator.name!r}: the model will not load",
                    f"Replace it by {' or '.join(known)}, or remove it",
                )


def unknown_tensorrt_parameter(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """The backend does not load a model with an unknown parameter of TensorRT."""
    accelerator = tensorrt_accelerator(model.config)
    for name in sorted(set(accelerator.parameters) - _TENSORRT_PARAMETERS) if accelerator is not None else ():
        yield error(
            f"unknown TensorRT parameter {name!r}: the model will not load",
            "Correct it, see the README of triton-inference-server/onnxruntime_backend, or remove it",
        )


def tensorrt_profile(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """An engine serves the batch sizes of its profile; for any other it is rebuilt while the request waits."""
    accelerator = tensorrt_accelerator(model.config)
    if accelerator is None:
        return
    sizes, largest = profile_sizes(accelerator.parameters), max(1, model.config.max_batch_size)
    if set(sizes) != {"min", "opt", "max"}:
        yield warning(
            "TensorRT has no profile: it builds an engine, for minutes, for each new batch size",
            "Write a profile for all batch sizes: camserve publish BUNDLE_DIR --repository DIR --accelerator tensorrt",
        )
    elif sizes["min"] > 1 or sizes["max"] < largest:
        yield error(
            f"TensorRT's profile covers batch sizes {sizes['min']} to {sizes['max']}, but max_batch_size is {largest}",
            f"Write a profile for 1 to {largest}: camserve publish BUNDLE_DIR --repository DIR --max-batch {largest}",
        )


def tensorrt_precision(model: ModelFolder, target: Target) -> Iterator[Note]:
    """TensorRT 11 is strongly typed: it computes in the types of the graph."""
    accelerator = tensorrt_accelerator(model.config)
    mode = "" if accelerator is None else accelerator.parameters.get("precision_mode", "")
    if target.has_weak_typing or mode not in ("FP16", "INT8"):
        return
    for number, metadata in model.onnx.items():
        if not (metadata.half if mode == "FP16" else metadata.quantized):
            precision = mode.lower()
            calibrated = " --int8-target tensorrt --calibration FOLDER" if precision == "int8" else ""
            yield error(
                f"precision_mode {mode} has no effect on version {number}: TensorRT 11 of Triton {target.release} "
                f"computes in the types of the graph, which is not {precision}",
                f"Export it: camserve export SOURCE --out BUNDLE_DIR --precision {precision}{calibrated}",
            )


def engine_cache(model: ModelFolder, _target: Target) -> Iterator[Note]:
    """A cached engine is identified by the names in a graph, which several models or versions may share."""
    accelerator = tensorrt_accelerator(model.config)
    if accelerator is None:
        return
    if accelerator.parameters.get(ENGINE_CACHE, "").lower() not in ("1", "true"):
        yield warning(
            "TensorRT's engine cache is off: every start builds the engines, for minutes",
            "Turn it on: camserve publish BUNDLE_DIR --repository DIR --set tensorrt_engine_cache=on",
        )
    elif ENGINE_PREFIX not in accelerator.parameters:
        yield error(
            f"TensorRT's engine cache has no {ENGINE_PREFIX}: another version or another model of this architecture "
            "may run with the weights of this one",
            "Publish the model again, which prefixes the engines with a checksum of the weights",
        )
    elif _serves_several(model):
        yield error(
            "several versions share one engine cache and may run with each other's weights",
            "Serve one version: "
            "camserve publish BUNDLE_DIR --repository DIR --latest-versions 1; or --set tensorrt_engine_cache=off",
        )


def _serves_several(model: ModelFolder) -> bool:
    policy = model.config.version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "specific":
        return len(policy.specific.versions) > 1
    return len(model.versions) > 1 and (choice == "all" or policy.latest.num_versions > 1)
