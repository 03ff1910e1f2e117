"""The ONNX file of a bundle, opened in this process: with ONNX Runtime, or with OpenVINO if its precision is bf16."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from camserve.clients.scoring.openvino_session import open_bf16
from camserve.clients.wire.values import ServedTensor
from camserve.errors import BundleError, RequestError, UsageError
from camserve.extras import install_command
from camserve.regular_file import read_regular_file
from camserve.strict_json import JsonError, parse_json
from camserve.tensors import DATA_TYPES
from camserve.text import printable, reason

if TYPE_CHECKING:
    from camserve.bundle import Bundle

__all__ = ["BundleSession", "open_session", "runtime_of"]

Array = np.ndarray[Any, Any]

_CPU = "CPUExecutionProvider"
_TRITON_TYPES = {each.onnx_tensor: name for name, each in DATA_TYPES.items()}
_SESSION_ENTRIES = {
    # As in camserve's backend for Triton: threads that spin take CPU time from those that decode images.
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
    # No weights are read from other files, whose checksums nobody verified: there is no file in this folder.
    "session.model_external_initializers_file_folder_path": os.devnull,
}


class BundleSession(Protocol):
    """A session on the CPU. May be used from several threads, each of which computes its own batch.

    Attributes:
        inputs: The inputs of the network.
        outputs: The outputs of the network.
    """

    inputs: tuple[ServedTensor, ...]
    outputs: tuple[ServedTensor, ...]

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Return outputs by name for a batch.

        Raises:
            RequestError: If they cannot be computed.
        """


class _OnnxRuntimeSession:
    """A session of ONNX Runtime.

    Args:
        session: The session.
        path: The file, for messages.
    """

    def __init__(self, session: Any, path: str) -> None:
        self._session = session
        self._path = path
        self.inputs = _tensors(session.get_inputs())
        self.outputs = _tensors(session.get_outputs())

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Return outputs by name for a batch.

        Raises:
            RequestError: If ONNX Runtime cannot compute them.
        """
        try:
            return dict(zip(outputs, self._session.run(outputs, {self.inputs[0].name: batch}), strict=True))
        except Exception as error:  # noqa: BLE001 - onnxruntime raises errors of many types
            raise RequestError(
                f"ONNX Runtime cannot run {self._path}: {_one_line(error)}",
                hint="Check how much memory is free, or use fewer threads: --concurrency 1",
            ) from None


def open_session(bundle: Bundle) -> BundleSession:
    """Open the ONNX file of a bundle, in the precision of its export.

    Args:
        bundle: The bundle.

    Raises:
        BundleError: If the bundle has no ONNX file, or it cannot be loaded.
        UsageError: If onnxruntime is not installed; of a bundle in bf16, if openvino is not, or this processor does not
            compute in bf16.
    """
    path = bundle.onnx_path
    if path is None:
        raise BundleError(
            f"{printable(bundle.path)} has no ONNX file, with which it could answer without a server",
            hint="Export the model again with --formats onnx,savedmodel, or serve the SavedModel: camserve publish "
            f"{shlex.quote(printable(bundle.path))} --repository DIR --backend tensorflow",
        )
    if bundle.report.get("precision") == "bf16":
        return open_bf16(path, _verified(path, bundle.files[path.name]))
    return _open_onnxruntime(path, bundle.files[path.name])


def runtime_of(folder: str | Path) -> str:
    """Return what computes a bundle, to be reported before it is opened, which refuses a folder that is no bundle."""
    from camserve.bundle import REPORT_NAME  # noqa: PLC0415  (clients of a server need no bundle)

    try:
        report = parse_json(read_regular_file(Path(folder).expanduser() / REPORT_NAME))
    except (OSError, JsonError):
        report = None
    in_bf16 = isinstance(report, dict) and report.get("precision") == "bf16"
    return "OpenVINO in bf16" if in_bf16 else "ONNX Runtime"


def _open_onnxruntime(path: Path, digest: str) -> BundleSession:
    onnxruntime = _import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the fastest if as many chunks are in progress as there are cores
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    for name, value in _SESSION_ENTRIES.items():
        options.add_session_config_entry(name, value)
    content = _verified(path, digest)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[_CPU], enable_fallback=0)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises errors of many types
        raise BundleError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {printable(path)}: {_one_line(error)}",
            hint="Export the model again, or install a newer version: pip install --upgrade onnxruntime",
        ) from None
    return _OnnxRuntimeSession(session, printable(path))


def _verified(path: Path, digest: str) -> bytes:
    """Read a file whose checksum was verified before, and verify what is read: it may have been replaced."""
    try:
        content = read_regular_file(path)
    except OSError as error:
        raise BundleError(f"cannot read {printable(path)}: {reason(error, path)}", hint="Try again") from None
    if hashlib.sha256(content).hexdigest() != digest:
        raise BundleError(f"{printable(path)} was changed while it was read", hint="Wait until the export has finished")
    return content


def _import_onnxruntime() -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # noqa: PLC0415  (required only for bundles)
    except ImportError as error:
        raise UsageError(
            f"onnxruntime, which --bundle requires, cannot be imported: {error}",
            hint=f"Install it: {install_command('bundle')}",
        ) from None
    return onnxruntime


def _tensors(described: Sequence[Any]) -> tuple[ServedTensor, ...]:
    """Return tensors as a server describes them: -1 is a dimension of any size."""
    return tuple(
        ServedTensor(
            each.name,
            _TRITON_TYPES.get(each.type, each.type),
            tuple(side if isinstance(side, int) else -1 for side in each.shape),
        )
        for each in described
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
