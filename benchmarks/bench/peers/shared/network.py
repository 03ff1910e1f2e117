"""What the servers that are compared share: their settings, and the network in ONNX Runtime.

It is imported by programs of other environments, which have numpy and ONNX Runtime.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
from typing import Any

import numpy as np

__all__ = ["DTYPE", "HOST", "MAX_BATCH", "PORT", "SHAPE", "Network", "decode", "free_port"]

HOST = "127.0.0.1"
PORT = int(os.environ["PEER_PORT"])
MAX_BATCH = int(os.environ["PEER_MAX_BATCH"])
SHAPE = tuple(map(int, os.environ["PEER_SHAPE"].split(",")))
DTYPE = np.dtype(os.environ["PEER_DTYPE"])

_PR_SET_PDEATHSIG = 1


class Network:
    """An ONNX file on the CPU, with as many threads as every server gets; it computes float32 logits."""

    def __init__(self) -> None:
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["PEER_THREADS"])
        options.log_severity_level = 3
        model = os.environ["PEER_MODEL"]
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def logits(self, images: Any) -> Any:
        """Return the logits `[N, classes]` of images `[N, H, W, C]`."""
        return self._session.run(["logits"], {"image": images})[0]


def decode(content: bytes) -> Any:
    """Return the image `[1, H, W, C]` that a request contains as raw bytes."""
    return np.frombuffer(content, DTYPE).reshape(1, *SHAPE)


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def end_with_the_benchmark() -> None:
    """Have the server's first process killed when the benchmark ends, however it does."""
    if os.getppid() == int(os.environ["PEER_PARENT"]):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


end_with_the_benchmark()
