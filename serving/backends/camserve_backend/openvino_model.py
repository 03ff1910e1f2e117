"""A model in OpenVINO, with a network for each of a few batch sizes, and one for all others."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .batches import BatchJoiner
from .declared_tensors import Tensor, configured_shape
from .openvino_settings import NetworkSettings
from .parameters import ModelRefusedError

__all__ = ["OpenVinoModel", "import_openvino"]

_TYPES = {
    "boolean": "TYPE_BOOL",
    "u8": "TYPE_UINT8",
    "u16": "TYPE_UINT16",
    "u32": "TYPE_UINT32",
    "u64": "TYPE_UINT64",
    "i8": "TYPE_INT8",
    "i16": "TYPE_INT16",
    "i32": "TYPE_INT32",
    "i64": "TYPE_INT64",
    "f16": "TYPE_FP16",
    "f32": "TYPE_FP32",
    "f64": "TYPE_FP64",
    "string": "TYPE_STRING",
}


def import_openvino() -> Any:
    """Import OpenVINO for the rest of the process without its telemetry, which reports to Google Analytics.

    Raises:
        ModelRefusedError: If it cannot be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # an import of it raises ImportError
    try:
        import openvino  # noqa: PLC0415, TID251
    except ImportError as error:
        raise ModelRefusedError(
            f"openvino cannot be imported: {error}", hint="Install it: pip install 'camserve[openvino]'"
        ) from None
    return openvino


class OpenVinoModel:
    """A model with a network for each of a few batch sizes, and one for all others.

    A network of one batch size is faster by the time that OpenVINO takes to find the shapes of all tensors, for each
    batch: 3 ms in MobileNetV2. A batch that fills at least three quarters of such a network is padded.

    Args:
        path: The file.
        config: The model's configuration.
        settings: Its settings.
        log: Called with what becomes ready.

    Raises:
        ModelRefusedError: If OpenVINO is not installed or cannot read the file.
    """

    provider = "CPU"
    optional: Sequence[Tensor] = ()

    def __init__(
        self, path: Path, config: Mapping[str, Any], settings: NetworkSettings, *, log: Callable[[str], None]
    ) -> None:
        self._core = import_openvino().Core()
        self._config, self._settings, self._log = config, settings, log
        self.warnings = [*settings.warnings]
        try:
            if settings.extension is not None:
                self._core.add_extension(settings.extension)
            self._graph = self._core.read_model(str(path))
        except RuntimeError as error:
            raise ModelRefusedError(f"OpenVINO cannot load {path.name}: {_cause(error)}") from error
        inputs, outputs = self._graph.inputs, self._graph.outputs
        self.inputs = [_tensor(port.get_any_name(), port) for port in inputs]
        self.outputs = [_tensor(name, port) for port in outputs for name in port.get_names()]
        self._inputs = {name: index for index, port in enumerate(inputs) for name in port.get_names()}
        self._outputs = {name: index for index, port in enumerate(outputs) for name in port.get_names()}
        self._requests: dict[int, Any] = {}
        self._any_size: Any = None
        self._joiner = BatchJoiner()

    def make_ready(self) -> None:
        """Compile the networks and run each that has one batch size once.

        Raises:
            ModelRefusedError: If OpenVINO cannot compile one, or not in the pinned precision.
        """
        begin, precision = time.perf_counter(), self._available_precision()
        sizes, largest = self._settings.sizes, self._config["max_batch_size"]
        others = largest <= 0 or any(_prepared(rows, sizes) not in sizes for rows in range(1, largest + 1))
        try:
            for size in sizes:
                self._requests[size] = self._compile(_of_size(self._graph, self._config, size), precision)
                self._requests[size].infer()
            if others:
                self._any_size = self._compile(self._graph, precision)
        except RuntimeError as error:
            raise ModelRefusedError(f"OpenVINO cannot compile the model: {_cause(error)}") from error
        del self._graph
        self._log(f"OpenVINO computes in {precision}; ready after {time.perf_counter() - begin:.1f} s")

    def run(self, names: Sequence[str], parts: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
        """Run the model and return copies of the outputs with these names; all are computed, which costs little."""
        inputs = self._joiner.join(parts)
        rows = next(iter(inputs.values())).shape[0] if self._config["max_batch_size"] > 0 else 0
        size = _prepared(rows, self._requests)
        request = self._requests.get(size, self._any_size)
        try:
            request.infer({self._inputs[name]: _padded(each, size) for name, each in inputs.items()}, share_inputs=True)
            outputs = [request.get_output_tensor(self._outputs[name]).data for name in names]
            return [np.array(each if size == rows else each[:rows]) for each in outputs]
        except RuntimeError as error:
            raise RuntimeError(f"OpenVINO: {_cause(error)}") from error

    def _available_precision(self) -> str:
        """Return the pinned precision, or float32 in place of a bf16 that the processor lacks, with a warning."""
        pinned = self._settings.precision
        if pinned == "bf16" and "BF16" not in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            self.warnings.append(
                "computes in float32, since this processor does not compute in bf16, for which the model was exported; "
                "int8 is the fastest here"
            )
            return "f32"
        return pinned

    def _compile(self, graph: Any, precision: str) -> Any:
        """Return a request of a network."""
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": self._settings.threads,
            "NUM_STREAMS": "1",
            "PERFORMANCE_HINT": "LATENCY",
            # Each process would pin its threads to the same cores: two instances with a thread each are half as fast.
            "ENABLE_CPU_PINNING": False,
        }
        if self._settings.compilation_threads:
            settings["COMPILATION_NUM_THREADS"] = self._settings.compilation_threads
        compiled = self._core.compile_model(graph, "CPU", settings)
        found = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if found != precision:
            raise ModelRefusedError(f"OpenVINO would compute in {found} instead of {precision}")
        return compiled.create_infer_request()


def _prepared(rows: int, sizes: Iterable[int]) -> int:
    """Return the smallest of the sizes that a batch fills to three quarters; its own size if there is none."""
    return next((size for size in sizes if rows <= size and 3 * size <= 4 * rows), rows)


def _padded(array: Any, size: int) -> Any:
    """Return an input with zeros for the rows that are missing."""
    if size in (0, array.shape[0]):
        return array
    return np.concatenate([array, np.zeros((size - array.shape[0], *array.shape[1:]), array.dtype)])


def _of_size(graph: Any, config: Mapping[str, Any], size: int) -> Any:
    """Return a copy of a graph for batches of one size."""
    copy = graph.clone()
    copy.reshape({tensor["name"]: [size, *configured_shape(tensor)] for tensor in config["input"]})
    return copy


def _tensor(name: str, port: Any) -> Tensor:
    type_name = port.get_element_type().get_type_name()
    return Tensor(name, _TYPES.get(type_name, type_name), _shape(port.get_partial_shape()))


def _shape(shape: Any) -> tuple[int, ...] | None:
    if shape.rank.is_dynamic:
        return None
    return tuple(side.get_length() if side.is_static else -1 for side in shape)


def _cause(error: RuntimeError) -> str:
    """Return the last line of a message that names the files of OpenVINO's source which it passed through."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "unknown error"
