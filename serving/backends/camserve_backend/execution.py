"""From Triton's requests to its responses, by way of one run of the model for all of them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from .batches import Joiner, split
from .cam_metrics import MapCounter

__all__ = ["BatchExecution", "Run"]

Run = Callable[[Sequence[str], Mapping[str, Any]], Sequence[Any]]
"""Runs the model: names of the outputs wanted and inputs by name to the outputs, in that order."""

_set_capsule_destructor = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p)(
    ("PyCapsule_SetDestructor", ctypes.pythonapi)
)


class BatchExecution:
    """Answers the requests that Triton's scheduler puts together.

    The model runs once, for the outputs that any of them asked for; each gets its own rows of those it asked for.

    Args:
        config: The model's configuration.
        run: The model.
        counter: Counts the requests for maps.
    """

    def __init__(self, config: Mapping[str, Any], run: Run, counter: MapCounter) -> None:
        self._run = run
        self._counter = counter
        self._batched = config["max_batch_size"] > 0
        self._outputs = [tensor["name"] for tensor in config["output"]]
        self._joiners = {tensor["name"]: Joiner() for tensor in config["input"]}
        self._optional = {tensor["name"] for tensor in config["input"] if tensor.get("optional")}

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each request, in their order."""
        self._counter.count([request.requested_output_names() for request in requests])
        if len(requests) == 1 or not self._batched:
            return [self._answer_alone(request) for request in requests]
        try:
            return self._answer_together(requests)
        except Exception:  # noqa: BLE001 - whatever it was, only the request that caused it may suffer
            return [self._answer_alone(request) for request in requests]

    def _answer_alone(self, request: Any) -> Any:
        try:
            wanted = request.requested_output_names()
            names = [name for name in self._outputs if name in wanted]
            return _response(names, self._run(names, self._inputs(request)))
        except Exception as error:  # noqa: BLE001 - an escaped exception would fail the whole batch
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))

    def _answer_together(self, requests: Sequence[Any]) -> list[Any]:
        each = [self._inputs(request) for request in requests]
        counts = [next(iter(inputs.values())).shape[0] for inputs in each]
        joined = {name: joiner.join([inputs[name] for inputs in each]) for name, joiner in self._joiners.items()}
        wanted = [set(request.requested_output_names()) for request in requests]
        names = [name for name in self._outputs if any(name in each_wanted for each_wanted in wanted)]
        rows = {name: split(output, counts) for name, output in zip(names, self._run(names, joined), strict=True)}
        return [
            _response(own, [rows[name][index] for name in own])
            for index, own in enumerate([name for name in names if name in each_wanted] for each_wanted in wanted)
        ]

    def _inputs(self, request: Any) -> dict[str, Any]:
        tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self._joiners}
        return {
            name: _to_array(tensor)
            for name, tensor in tensors.items()
            if not (tensor is None and name in self._optional)
        }


def _response(names: Sequence[str], arrays: Sequence[Any]) -> Any:
    tensors = [_to_tensor(name, array) for name, array in zip(names, arrays, strict=True)]
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _to_array(tensor: Any) -> Any:
    # The stub was built against numpy 1 and its own arrays look empty to numpy 2; DLPack serves both, and copies not.
    return np.from_dlpack(tensor)


def _to_tensor(name: str, array: Any) -> Any:
    capsule = np.ascontiguousarray(array).__dlpack__()
    # The stub takes the memory over but marks the capsule in a way that numpy's destructor takes for an error.
    _set_capsule_destructor(capsule, None)
    return pb_utils.Tensor.from_dlpack(name, capsule)
