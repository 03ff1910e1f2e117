"""Networks in ONNX Runtime and in OpenVINO, in this process, with a given number of threads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from camserve.openvino_runtime import OpenVinoPrecision, capabilities, import_openvino, open_network

__all__ = ["Run", "in_onnxruntime", "in_openvino", "native_bf16", "openvino", "openvino_as_it_is"]

Run = Callable[[Any], list[Any]]
"""Take a batch of images, and return the requested outputs."""

_PURPOSE = "the benchmark"


def in_onnxruntime(path: Path, threads: int, outputs: Sequence[str] | None = None) -> Run:
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


def in_openvino(path: Path, threads: int, precision: OpenVinoPrecision, outputs: Sequence[str] | None = None) -> Run:
    """Open a file in OpenVINO with camserve's settings; all outputs are returned by default."""
    network = open_network(path, precision, purpose=_PURPOSE, threads=threads)
    names = outputs or list(network.outputs)
    return lambda images: list(network.run(images, names).values())


def openvino_as_it_is(model: Any, threads: int, precision: OpenVinoPrecision | None) -> Run:
    """Compile a model of OpenVINO.

    Args:
        model: The model; its first output is returned.
        threads: The number of threads.
        precision: What it is computed in; None for OpenVINO's default.
    """
    settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        settings["INFERENCE_PRECISION_HINT"] = precision
    request = openvino().Core().compile_model(model, "CPU", settings).create_infer_request()
    return lambda images: [request.infer([images], share_inputs=True)[0]]


def openvino() -> Any:
    """Return OpenVINO's module, without telemetry for the whole process: `convert_model` imports its own later."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # an import of it raises ImportError
    return import_openvino(_PURPOSE)


def native_bf16() -> bool:
    """Return whether the processor computes in bfloat16."""
    return "BF16" in capabilities(_PURPOSE)
