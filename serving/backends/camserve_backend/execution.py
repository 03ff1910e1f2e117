"""Execution of a batch: from Triton's requests to its responses, with one run of the model."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from .batches import split
from .cam_metrics import CamCounter

__all__ = ["BatchExecution", "Run", "to_tensor"]

Run = Callable[[Sequence[str], Sequence[Mapping[str, Any]]], Sequence[Any]]
"""Runs the model: takes the names of outputs and the inputs of each request by name, and returns these outputs of the
batch, which may be valid only until the next run."""

_set_capsule_destructor = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_void_p)(
    ("PyCapsule_SetDestructor", ctypes.pythonapi)
)


class BatchExecution:
    """Answers the requests that Triton's scheduler combines.

    The model runs once for all requests, with every output that one of them requests. Each response contains the rows
    of its own request.

    Args:
        config: The model's configuration.
        run: Runs the model.
        counter: Counts the requests for maps.
        warn: Tells the user of the server.
    """

    def __init__(self, config: Mapping[str, Any], run: Run, counter: CamCounter, warn: Callable[[str], None]) -> None:
        self._run = run
        self._counter = counter
        self._warn = warn
        self._warned = False
        self._batched = config["max_batch_size"] > 0
        self._outputs = [tensor["name"] for tensor in config["output"]]
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._optional = {tensor["name"] for tensor in config["input"] if tensor.get("optional")}

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """Return one response per request, in their order."""
        requested = [set(request.requested_output_names()) for request in requests]
        self._counter.count(requested)
        if len(requests) > 1 and self._batched:
            try:
                return self._answer_batch(requests, requested)
            except Exception as error:  # noqa: BLE001 - whatever the error, only the request that caused it should fail
                return self._answer_each(requests, requested, error)
        return [self._answer_single(*each, keep=False) for each in zip(requests, requested, strict=True)]

    def _answer_each(self, requests: Sequence[Any], requested: Sequence[Set[str]], error: Exception) -> list[Any]:
        """Answer the requests of a batch that failed one by one; warn once if none of them is the cause."""
        answers = [self._answer_single(*each, keep=True) for each in zip(requests, requested, strict=True)]
        if not self._warned and not any(answer.has_error() for answer in answers):
            self._warned = True
            self._warn(f"a batch of {len(requests)} requests failed, which are answered one by one, slower: {error}")
        return answers

    def _answer_single(self, request: Any, requested: Set[str], *, keep: bool) -> Any:
        try:
            names = [name for name in self._outputs if name in requested]
            outputs = self._run(names, [self._read(request)])
            return _response(names, [array.copy() for array in outputs] if keep else outputs)
        except Exception as error:  # noqa: BLE001 - an uncaught exception would fail the whole batch
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))

    def _answer_batch(self, requests: Sequence[Any], requested: Sequence[Set[str]]) -> list[Any]:
        parts = [self._read(request) for request in requests]
        counts = [next(iter(part.values())).shape[0] for part in parts]
        names = [name for name in self._outputs if any(name in each for each in requested)]
        outputs = dict(zip(names, self._run(names, parts), strict=True))
        rows = {name: split(output, counts) for name, output in outputs.items()}
        own = [[name for name in names if name in each] for each in requested]
        return [_response(each, [rows[name][place] for name in each]) for place, each in enumerate(own)]

    def _read(self, request: Any) -> dict[str, Any]:
        tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self._inputs}
        return {
            name: _to_array(tensor)
            for name, tensor in tensors.items()
            if not (tensor is None and name in self._optional)
        }


def _response(names: Sequence[str], arrays: Sequence[Any]) -> Any:
    tensors = [to_tensor(name, array) for name, array in zip(names, arrays, strict=True)]
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _to_array(tensor: Any) -> Any:
    # The stub was built with numpy 1, and its arrays are empty in numpy 2. DLPack works with both, without a copy.
    return np.from_dlpack(tensor)


def to_tensor(name: str, array: Any) -> Any:
    """Return an array as an output of Triton's stub, without a copy if it is contiguous."""
    capsule = np.ascontiguousarray(array).__dlpack__()
    # The stub takes over the memory, but marks the capsule in a way that numpy's destructor reports as an error.
    _set_capsule_destructor(capsule, None)
    return pb_utils.Tensor.from_dlpack(name, capsule)
