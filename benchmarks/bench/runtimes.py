"""Networks in ONNX Runtime and in OpenVINO, in this process, with a given number of threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

__all__ = ["Run", "kernels", "native_bf16", "onnxruntime_run", "openvino", "openvino_compile", "openvino_run"]

Run = Callable[[Any], list[Any]]
"""Take a batch of images, and return the outputs that were asked for."""


def onnxruntime_run(path: Path, threads: int, outputs: Sequence[str] | None = None) -> Run:
    """Open a file in ONNX Runtime on the CPU; all outputs are returned by default."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads wait for work actively within a run, which is faster, and never between runs, where they disturb others.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: list(session.run(outputs, {name: images}))


def openvino() -> Any:
    """Return the module of OpenVINO, without its telemetry, which it would send when it is imported."""
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # the documented way is a file at home
    import openvino as module  # noqa: TID251

    return module


def native_bf16() -> bool:
    """Return whether the processor computes in bfloat16."""
    return "BF16" in openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def openvino_compile(model: Any, threads: int, precision: Literal["f32", "bf16"] | None) -> Any:
    """Compile a file or a model for the CPU.

    Args:
        model: A path or a model of OpenVINO.
        threads: The number of threads.
        precision: The arithmetic of what is not quantized; None for OpenVINO's default.
    """
    settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    return openvino().Core().compile_model(model, "CPU", settings)


def openvino_run(compiled: Any, outputs: Sequence[str] | None = None) -> Run:
    """Return a function that runs a compiled model; all outputs are returned by default."""
    request = compiled.create_infer_request()
    ports = [compiled.output(name) for name in outputs] if outputs else list(compiled.outputs)

    def run(images: Any) -> list[Any]:
        results = request.infer([images], share_inputs=True)
        return [results[port] for port in ports]

    return run


def kernels(compiled: Any, layer_type: str) -> list[str]:
    """Return the kernel that each layer of a type runs in, such as `brgemm_avx512_amx_bf16`."""
    nodes = [node.get_rt_info() for node in compiled.get_runtime_model().get_ordered_ops()]
    return [str(info["primitiveType"].value) for info in nodes if info["layerType"].value == layer_type]
