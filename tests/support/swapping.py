"""Clients that send requests continuously while the versions of a model are swapped, and verify every answer."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
import tritonclient.grpc as triton
from support.toy import expected_outputs, toy_images, write_toy_bundle
from tritonclient.utils import InferenceServerException

from camserve.bundle import Bundle

__all__ = ["ContinuousClients", "different_bundles"]

Array = npt.NDArray[Any]

_TOLERANCE = 1e-5
_OUTPUT = "logits"
_TIMEOUT_SECONDS = 10.0
_POLL_SECONDS = 0.02


def different_bundles(folder: Path, count: int) -> list[Bundle]:
    """Write bundles with the same contract whose outputs differ by far more than rounding errors."""
    return [write_toy_bundle(folder / f"bundle-{seed}", seed=seed) for seed in range(1, count + 1)]


class ContinuousClients:
    """Clients with a connection each, as a context manager; they send requests until its end.

    Args:
        url: gRPC address, `host:port`.
        bundles: The bundle of each version.
        clients: Number of clients.

    Attributes:
        correct: Number of correct answers by version.
        failures: Number of failed requests by message.
        mismatches: Number of answers that are not those of their version.
    """

    def __init__(self, url: str, bundles: Mapping[int, Bundle], clients: int) -> None:
        self._url = url
        self._image = toy_images(bundles[1])
        self._expected = {
            version: expected_outputs(bundle, self._image)[_OUTPUT] for version, bundle in bundles.items()
        }
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send_requests) for _ in range(clients)]
        self.correct: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.mismatches = 0

    def __enter__(self) -> ContinuousClients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, version: int, *, answers: int = 50, seconds: float = 60.0) -> None:
        """Wait until a version has given a number of correct answers.

        Raises:
            TimeoutError: If it takes longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        while self.correct[version] < answers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"version {version} gave {self.correct[version]} answers in {seconds:g} s")
            time.sleep(_POLL_SECONDS)

    def wait_until(self, attribute: str, *, seconds: float = 60.0) -> None:
        """Wait until a counter is not zero: `failures` or `mismatches`.

        Raises:
            TimeoutError: If it takes longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not getattr(self, attribute):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {attribute} in {seconds:g} s")
            time.sleep(_POLL_SECONDS)

    def _send_requests(self) -> None:
        tensor = triton.InferInput("image", self._image.shape, "FP32")
        tensor.set_data_from_numpy(self._image)
        with triton.InferenceServerClient(self._url) as client:
            while not self._stop.is_set():
                try:
                    result = client.infer("toy", [tensor], client_timeout=_TIMEOUT_SECONDS)
                except InferenceServerException as error:
                    self._count_failure(str(error))
                else:
                    self._count(int(result.get_response().model_version), result.as_numpy(_OUTPUT))

    def _count_failure(self, message: str) -> None:
        with self._lock:
            self.failures[message] += 1

    def _count(self, version: int, logits: Array) -> None:
        expected = self._expected.get(version)
        correct = expected is not None and bool(np.abs(logits - expected).max() <= _TOLERANCE)
        with self._lock:
            self.correct[version] += correct
            self.mismatches += not correct
