"""A session of ONNX Runtime that reads and writes tensors of one size, always at the same addresses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime

from .declared_tensors import configured_shape

__all__ = ["BoundSession"]

_FLOATS = {"TYPE_FP16": "float16", "TYPE_FP32": "float32", "TYPE_FP64": "float64"}


class BoundSession:
    """A session for one batch size, with its inputs and outputs bound to memory of the device.

    A batch with fewer rows is padded with zeros, and the outputs of the padding are dropped.

    Args:
        session: A session of ONNX Runtime.
        size: Number of rows of each batch.
        config: The model's configuration, with only fixed dimensions.
        device: Name of the device in ONNX Runtime: `cpu` or `cuda`.
        index: Index of the device.
    """

    def __init__(self, session: Any, size: int, config: Mapping[str, Any], *, device: str, index: int) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._inputs: dict[str, _Input] = {}
        self._outputs: dict[str, Any] = {}
        for tensor in config["input"]:
            name, bound = tensor["name"], _Input(_zeros(tensor, size), device, index)
            self._binding.bind_ortvalue_input(name, bound.value)
            self._inputs[name] = bound
        for tensor in config["output"]:
            name, value = tensor["name"], _on_device(_zeros(tensor, size), device, index)
            self._binding.bind_ortvalue_output(name, value)
            self._outputs[name] = value

    def write(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Set the inputs of the next run.

        Args:
            parts: The inputs of each request by name; together at most as many rows as the session has.

        Raises:
            ValueError: If they differ from the inputs of the session in dtype, or in shape apart from the batch axis.
        """
        for name, bound in self._inputs.items():
            bound.write([part[name] for part in parts])
            # If the input is read on another device, ONNX Runtime copies it there now, and not when the session runs.
            self._binding.bind_ortvalue_input(name, bound.value)

    def run(self, options: Any) -> None:
        """Run the session once."""
        self._session.run_with_iobinding(self._binding, options)

    def read(self, names: Iterable[str], rows: int) -> list[Any]:
        """Return the first rows of the outputs with these names, which are valid until the next run.

        Outputs in the memory of a GPU are copied, others are views.
        """
        return [self._outputs[name].numpy()[:rows] for name in names]


class _Input:
    """The memory of an input: an array of this process and, for another device, its copy there."""

    def __init__(self, array: Any, device: str, index: int) -> None:
        self.value = _on_device(array, device, index)
        self._array = array
        self._shared = self.value.data_ptr() == array.ctypes.data
        self._used = 0  # rows that may differ from zero

    def write(self, parts: Sequence[Any]) -> None:
        array = self._array
        rows = sum(part.shape[0] for part in parts)
        if len(parts) == 1 and rows == array.shape[0]:
            self._check(parts[0])
            self.value.update_inplace(parts[0])
            self._used = rows
            return
        for part in parts:
            self._check(part)
        np.concatenate(parts, out=array[:rows])
        array[rows : self._used] = 0
        self._used = rows
        if not self._shared:
            self.value.update_inplace(array)

    def _check(self, part: Any) -> None:
        if part.dtype != self._array.dtype or part.shape[1:] != self._array.shape[1:]:
            raise ValueError(
                f"an input has dtype {part.dtype} and shape {list(part.shape[1:])} instead of "
                f"{self._array.dtype} and {list(self._array.shape[1:])}"
            )


def _on_device(array: Any, device: str, index: int) -> Any:
    """Return an array as a value of ONNX Runtime on a device; on the CPU, both are the same memory."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array, device, index)


def _zeros(tensor: Mapping[str, Any], size: int) -> Any:
    data_type = tensor["data_type"]
    dtype = np.dtype(_FLOATS.get(data_type, data_type.removeprefix("TYPE_").lower()))
    return np.zeros((size, *configured_shape(tensor)), dtype)
