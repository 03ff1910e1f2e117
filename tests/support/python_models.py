"""Models of Triton's Python backend: `slow` sleeps for its input in seconds, `echo` returns its input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from camserve.clients.wire.values import Request, ServedTensor

__all__ = ["echo_request", "slow_request", "write_python_models"]

_CONFIG = """
name: "{name}"
backend: "python"
input {{ name: "given" data_type: TYPE_FP32 dims: -1 }}
output {{ name: "taken" data_type: TYPE_FP32 dims: -1 }}
instance_group {{ kind: KIND_CPU count: {instances} }}
"""
_PROGRAM = """
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        given = pb_utils.get_input_tensor_by_name(request, "given").as_numpy()
        {work}
        return pb_utils.InferenceResponse([pb_utils.Tensor("taken", given)])
"""


def write_python_models(repository: Path, *, instances: int = 8) -> Path:
    """Add the models `slow` and `echo` to a repository and return it."""
    for name, work in (("slow", "time.sleep(float(given[0]))"), ("echo", "pass")):
        folder = repository / name
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text(_CONFIG.format(name=name, instances=instances if name == "slow" else 1))
        (folder / "1" / "model.py").write_text(_PROGRAM.format(work=work))
    return repository


def slow_request(seconds: float) -> Request:
    """Return a request that takes that many seconds."""
    return _request("slow", np.array([seconds], np.float32))


def echo_request(values: np.ndarray[Any, Any]) -> Request:
    """Return a request whose output is equal to its input."""
    return _request("echo", values)


def _request(model: str, values: np.ndarray[Any, Any]) -> Request:
    return Request(model, "", ServedTensor("given", "FP32", (-1,)), values, ("taken",))
