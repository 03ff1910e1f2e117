"""OpenVINO, which runs ONNX files on CPUs in float32 or bf16. It is imported where it is used, without its telemetry.

On processors with AMX or AVX512-BF16, bf16 is OpenVINO's own default for files in float32: every file is therefore
compiled for a precision that the caller names.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from camserve.errors import UsageError
from camserve.extras import install_command

__all__ = [
    "NetworkTensor",
    "OpenVinoNetwork",
    "OpenVinoPrecision",
    "capabilities",
    "import_openvino",
    "open_network",
    "require_bf16",
]

OpenVinoPrecision = Literal["f32", "bf16"]
"""The values of OpenVINO's `INFERENCE_PRECISION_HINT` that camserve uses."""

Array = npt.NDArray[Any]

_TELEMETRY = "openvino_telemetry"
_importing = threading.Lock()


def import_openvino(purpose: str) -> Any:
    """Import OpenVINO so that it sends nothing.

    By default `import openvino` forks the process, and reports the import to Google Analytics from the child. Without
    its telemetry package it imports a stub instead, for the rest of the process.

    Args:
        purpose: What requires it, for the message.

    Raises:
        UsageError: If it is not installed or cannot be imported.
    """
    with _importing:
        if (loaded := sys.modules.get("openvino")) is not None:
            return loaded
        absent = _TELEMETRY not in sys.modules
        if absent:
            sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # an import of it raises ImportError
        try:
            import openvino  # noqa: PLC0415, TID251  (takes 0.3 s)
        except ImportError as error:
            raise _missing(purpose, str(error)) from None
        finally:
            if absent:
                del sys.modules[_TELEMETRY]
        return openvino


def capabilities(purpose: str) -> tuple[str, ...]:
    """Return the data types that OpenVINO computes in on this processor, such as `FP32`, `BF16` and `INT8`.

    Args:
        purpose: What requires OpenVINO, for the message.

    Raises:
        UsageError: If OpenVINO cannot be imported.
    """
    return tuple(import_openvino(purpose).Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


def require_bf16(purpose: str) -> None:
    """Check that OpenVINO is installed and computes in bf16 on this processor.

    Args:
        purpose: What requires bf16, for the message.

    Raises:
        UsageError: If it is not installed, which is found out without an import, or does not.
    """
    if find_spec("openvino") is None:
        raise _missing(purpose, "No module named 'openvino'")
    if "BF16" not in capabilities(purpose):
        raise UsageError(
            f"{purpose} requires a processor that computes in bf16, with AMX or AVX512-BF16 for example; this one does "
            "not",
            hint="Export with --precision int8, which is the fastest on such a processor, or --precision fp32",
        )


@dataclass(frozen=True)
class NetworkTensor:
    """An input or output of a network.

    Attributes:
        name: Its name.
        dtype: Its data type.
        shape: Its dimensions; -1 is of any size.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class OpenVinoNetwork:
    """A compiled network with one input. May be used from several threads.

    Args:
        compiled: OpenVINO's compiled model.

    Attributes:
        input: The input.
        outputs: The outputs, by every name that they have.
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._idle: list[Any] = []  # requests; taking from and adding to the end of a list is atomic
        (entry,) = compiled.inputs
        self.input = _tensor(entry.get_any_name(), entry)
        self._ports = {name: index for index, port in enumerate(compiled.outputs) for name in port.get_names()}
        self.outputs: Mapping[str, NetworkTensor] = {
            name: _tensor(name, compiled.outputs[index]) for name, index in self._ports.items()
        }

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Return outputs by name for a batch.

        Args:
            batch: The input, in its data type and shape.
            outputs: Names of outputs.

        Raises:
            RuntimeError: If OpenVINO cannot compute them.
        """
        request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
        try:
            request.infer({0: batch}, share_inputs=True)
            return {name: np.array(request.get_output_tensor(self._ports[name]).data) for name in outputs}
        except RuntimeError as error:
            raise RuntimeError(_cause(error)) from None
        finally:
            self._idle.append(request)


def open_network(
    model: Path | bytes, precision: OpenVinoPrecision, *, purpose: str, threads: int = 0, streams: int = 1
) -> OpenVinoNetwork:
    """Compile an ONNX file for this processor.

    Args:
        model: The file, or its content.
        precision: What a network in float32 is computed in. `f32` is exact, also for the float layers of int8.
        purpose: What requires OpenVINO, for the message.
        threads: Number of threads in all (default 0: one for each core).
        streams: How many batches are computed at once, each with its share of the threads.

    Raises:
        UsageError: If OpenVINO cannot be imported, or does not compute in bf16 on this processor.
        RuntimeError: If OpenVINO cannot read or compile the file.
    """
    if precision == "bf16":
        require_bf16(purpose)
    core = import_openvino(purpose).Core()
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": str(streams),
        "PERFORMANCE_HINT": "LATENCY" if streams == 1 else "THROUGHPUT",
        # A pinned thread waits for its core while another process, such as one that decodes images, uses it.
        "ENABLE_CPU_PINNING": False,
    }
    try:
        network = core.read_model(model if isinstance(model, bytes) else str(model))
        return OpenVinoNetwork(core.compile_model(network, "CPU", settings))
    except RuntimeError as error:
        raise RuntimeError(_cause(error)) from None


def _tensor(name: str, port: Any) -> NetworkTensor:
    shape = tuple(side.get_length() if side.is_static else -1 for side in port.get_partial_shape())
    return NetworkTensor(name, np.dtype(port.get_element_type().to_dtype()), shape)


def _cause(error: RuntimeError) -> str:
    """Return the last line of a message that names the files of OpenVINO's source which it passed through."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "unknown error"


def _missing(purpose: str, error: str) -> UsageError:
    return UsageError(
        f"openvino, which {purpose} requires, cannot be imported: {error}",
        hint=f"Install it: {install_command('openvino')}",
    )
