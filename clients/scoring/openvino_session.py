"""The ONNX file of a bundle in bf16, opened with OpenVINO in this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from camserve.clients.wire.values import ServedTensor
from camserve.cores import host_cores
from camserve.errors import BundleError, RequestError
from camserve.external_data import check_self_contained
from camserve.openvino_runtime import NetworkTensor, OpenVinoNetwork, open_network
from camserve.tensors import DATA_TYPES
from camserve.text import printable

__all__ = ["OpenVinoSession", "open_bf16"]

Array = np.ndarray[Any, Any]

_TRITON_TYPES = {np.dtype(each.numpy): name for name, each in DATA_TYPES.items()}


class OpenVinoSession:
    """A session of OpenVINO on the CPU. May be used from several threads, each of which computes its own batch.

    Args:
        network: The network.
        path: The file, for messages.
    """

    def __init__(self, network: OpenVinoNetwork, path: str) -> None:
        self._network = network
        self._path = path
        self.inputs: tuple[ServedTensor, ...] = (_described(network.input),)
        self.outputs = tuple(_described(each) for each in network.outputs.values())

    def run(self, batch: Array, outputs: Sequence[str]) -> dict[str, Array]:
        """Return outputs by name for a batch.

        Raises:
            RequestError: If OpenVINO cannot compute them.
        """
        try:
            return self._network.run(batch, outputs)
        except RuntimeError as error:
            raise RequestError(
                f"OpenVINO cannot run {self._path}: {error}",
                hint="Check how much memory is free, or use fewer threads: --concurrency 1",
            ) from None


def open_bf16(path: Path, content: bytes) -> OpenVinoSession:
    """Open an ONNX file in float32, which OpenVINO computes in bf16.

    Args:
        path: The file, for messages.
        content: Its content.

    Raises:
        BundleError: If weights are in other files, whose checksums nobody verified, or OpenVINO cannot load it.
        UsageError: If openvino is not installed, or this processor does not compute in bf16.
    """
    check_self_contained(path, content)
    cores = host_cores()  # one thread for each batch: the fastest if as many chunks are in progress as there are cores
    try:
        network = open_network(content, "bf16", purpose="a bundle in bf16", threads=cores, streams=cores)
    except RuntimeError as error:
        raise BundleError(
            f"OpenVINO cannot load {printable(path)}: {error}",
            hint="Export the model again, or install a newer version: pip install --upgrade openvino",
        ) from None
    return OpenVinoSession(network, printable(path))


def _described(tensor: NetworkTensor) -> ServedTensor:
    """Return a tensor as a server describes it."""
    return ServedTensor(tensor.name, _TRITON_TYPES.get(tensor.dtype, str(tensor.dtype)), tensor.shape)
