"""Triton's `onnxruntime` backend in Python, for hosts that have no C++ one.

Triton looks for a compiled backend first and takes this file where it finds none, so that one repository is served
unmodified by both. It runs inside Triton's Python stub and imports nothing but numpy and onnxruntime. It reads the
parameters that the C++ backend reads, under the same names, and refuses at load what the C++ backend refuses.
"""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

_set_capsule_destructor = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p)(
    ("PyCapsule_SetDestructor", ctypes.pythonapi)
)
_ONNX_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
}
_GRAPH_LEVELS = {
    -1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    1: onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    2: onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
}


class TritonPythonModel:
    """One instance of one version of a model."""

    def initialize(self, args: dict[str, str]) -> None:
        """Builds the session and holds the configuration against the model."""
        config = json.loads(args["model_config"])
        path = _model_path(args, config)
        options, providers = _session_options(config), _providers(args, config)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:
            raise pb_utils.TritonModelException(f"onnxruntime cannot load {path.name}: {error}") from error
        self._batched = config["max_batch_size"] > 0
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._outputs = [tensor["name"] for tensor in config["output"]]
        _check_all("input", config["input"], self._session.get_inputs(), batched=self._batched)
        _check_all("output", config["output"], self._session.get_outputs(), batched=self._batched)
        _check_complete(self._inputs, self._session.get_inputs())

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers the requests of one batch, each with the outputs that it asked for."""
        if len(requests) == 1 or not self._batched:
            return [self._answer_alone(request) for request in requests]
        try:
            return self._answer_together(requests)
        except Exception:  # noqa: BLE001 - whatever it was, only the request that caused it may suffer
            return [self._answer_alone(request) for request in requests]

    def _answer_alone(self, request: Any) -> Any:
        try:
            names = self._requested([request])
            outputs = self._session.run(names, dict(zip(self._inputs, self._arrays(request), strict=True)))
            return _response(request, dict(zip(names, outputs, strict=True)))
        except Exception as error:  # noqa: BLE001 - an escaped exception would fail the whole batch
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"onnxruntime: {error}"))

    def _answer_together(self, requests: Sequence[Any]) -> list[Any]:
        arrays = [self._arrays(request) for request in requests]
        joined = (np.concatenate(parts) for parts in zip(*arrays, strict=True))
        names = self._requested(requests)
        outputs = self._session.run(names, dict(zip(self._inputs, joined, strict=True)))
        ends = np.cumsum([parts[0].shape[0] for parts in arrays])
        split = [np.split(output, ends[:-1]) for output in outputs]
        rows = zip(*split, strict=True)
        return [
            _response(request, dict(zip(names, row, strict=True))) for request, row in zip(requests, rows, strict=True)
        ]

    def _arrays(self, request: Any) -> list[Any]:
        return [_to_array(pb_utils.get_input_tensor_by_name(request, name)) for name in self._inputs]

    def _requested(self, requests: Iterable[Any]) -> list[str]:
        wanted = {name for request in requests for name in request.requested_output_names()}
        return [name for name in self._outputs if name in wanted]


def _response(request: Any, outputs: dict[str, Any]) -> Any:
    wanted = request.requested_output_names()
    tensors = [_to_tensor(name, array) for name, array in outputs.items() if name in wanted]
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _to_array(tensor: Any) -> Any:
    # The stub was built against numpy 1 and its own arrays look empty to numpy 2; DLPack serves both.
    return np.from_dlpack(tensor)


def _to_tensor(name: str, array: Any) -> Any:
    capsule = array.__dlpack__()
    # The stub takes the memory over but marks the capsule in a way that numpy's destructor takes for an error.
    _set_capsule_destructor(capsule, None)
    return pb_utils.Tensor.from_dlpack(name, capsule)


def _model_path(args: dict[str, str], config: dict[str, Any]) -> Path:
    name = config.get("default_model_filename") or "model.onnx"
    path = Path(args["model_repository"]) / args["model_version"] / name
    if path.is_dir():
        path = path / "model.onnx"
    if not path.is_file():
        raise pb_utils.TritonModelException(f"unable to find '{path}' for model '{config['name']}'")
    return path


def _session_options(config: dict[str, Any]) -> Any:
    options = onnxruntime.SessionOptions()
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = _GRAPH_LEVELS.get(level, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
    mode = _number(config, "execution_mode", 0)
    if mode not in (0, 1):
        raise pb_utils.TritonModelException(f"execution_mode must be 0 or 1 and is {mode}")
    options.execution_mode = (
        onnxruntime.ExecutionMode.ORT_PARALLEL if mode else onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    )
    options.intra_op_num_threads = max(0, _number(config, "intra_op_thread_count", 0))
    options.inter_op_num_threads = max(0, _number(config, "inter_op_thread_count", 0))
    options.enable_cpu_mem_arena = _switch(config, "enable_mem_arena", options.enable_cpu_mem_arena)
    options.enable_mem_pattern = _switch(config, "enable_mem_pattern", options.enable_mem_pattern)
    return options


def _providers(args: dict[str, str], config: dict[str, Any]) -> list[Any]:
    """CUDA on a GPU instance where this onnxruntime has it; the CPU always, last."""
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    for accelerator in accelerators.get("cpu_execution_accelerator", []) + accelerators.get(
        "gpu_execution_accelerator", []
    ):
        pb_utils.Logger.log_warn(f"the Python onnxruntime backend goes without accelerator '{accelerator['name']}'")
    if args["model_instance_kind"] != "GPU":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        pb_utils.Logger.log_warn("this onnxruntime has no CUDA; install onnxruntime-gpu to use the GPU")
        return ["CPUExecutionProvider"]
    cuda = {"device_id": args["model_instance_device_id"]}
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]


def _parameter(config: dict[str, Any], name: str) -> str | None:
    parameter = config.get("parameters", {}).get(name)
    return None if parameter is None else parameter["string_value"]


def _number(config: dict[str, Any], name: str, default: int) -> int:
    text = _parameter(config, name)
    try:
        return default if text is None else int(text)
    except ValueError:
        raise pb_utils.TritonModelException(f"parameter {name} must be a whole number and is '{text}'") from None


def _switch(config: dict[str, Any], name: str, default: bool) -> bool:
    text = _parameter(config, name)
    if text is None:
        return default
    if text.lower() not in ("0", "1", "true", "false"):
        raise pb_utils.TritonModelException(f"parameter {name} must be 0 or 1 and is '{text}'")
    return text.lower() in ("1", "true")


def _check_all(role: str, configured: Iterable[dict[str, Any]], found: Iterable[Any], *, batched: bool) -> None:
    by_name = {tensor.name: tensor for tensor in found}
    for tensor in configured:
        if tensor["name"] not in by_name:
            names = ", ".join(sorted(by_name))
            raise pb_utils.TritonModelException(f"the model has no {role} '{tensor['name']}'; it has {names}")
        _check(role, tensor, by_name[tensor["name"]], batched=batched)


def _check(role: str, configured: dict[str, Any], found: Any, *, batched: bool) -> None:
    name = configured["name"]
    if _ONNX_TYPES.get(configured["data_type"]) != found.type:
        raise pb_utils.TritonModelException(
            f"{role} '{name}' is {found.type} in the model and {configured['data_type']} in the configuration"
        )
    reshaped = configured.get("reshape", {}).get("shape")
    dims = [int(side) for side in (configured["dims"] if reshaped is None else reshaped)]
    expected = [-1, *dims] if batched else dims
    actual = [side if isinstance(side, int) else -1 for side in found.shape]
    if batched and actual[:1] != [-1]:
        raise pb_utils.TritonModelException(f"{role} '{name}' has no free batch dimension in the model: {actual}")
    if len(expected) != len(actual) or any(
        -1 not in pair and pair[0] != pair[1] for pair in zip(expected, actual, strict=False)
    ):
        raise pb_utils.TritonModelException(
            f"{role} '{name}' is of shape {actual} in the model and {expected} in the configuration"
        )


def _check_complete(configured: Iterable[str], found: Iterable[Any]) -> None:
    missing = sorted({tensor.name for tensor in found} - set(configured))
    if missing:
        raise pb_utils.TritonModelException(f"the configuration lacks the model's inputs {', '.join(missing)}")
