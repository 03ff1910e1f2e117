"""Clients that ask one model without pause while its versions are swapped, and hold every answer to its version."""

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

__all__ = ["Askers", "bundles_that_differ"]

Array = npt.NDArray[Any]

_TOLERANCE = 1e-5
_OUTPUT = "logits"
_SECONDS = 10.0
_INTERVAL = 0.02


def bundles_that_differ(folder: Path, count: int) -> list[Bundle]:
    """Bundles of one contract whose answers to every image differ by far more than rounding."""
    return [write_toy_bundle(folder / f"bundle-{seed}", seed=seed) for seed in range(1, count + 1)]


class Askers:
    """So many clients, each with a connection of its own, as a context manager; they ask until the end of it.

    Args:
        url: `host:port` of gRPC.
        bundles: By the version that each is published under.
        clients: How many.

    Attributes:
        answers: Right answers, by version.
        failures: What went wrong instead of an answer, and how often.
        strangers: Answers that are not those of the version that they say they are of.
    """

    def __init__(self, url: str, bundles: Mapping[int, Bundle], clients: int) -> None:
        self._url = url
        self._image = toy_images(bundles[1])
        self._expected = {
            version: expected_outputs(bundle, self._image)[_OUTPUT] for version, bundle in bundles.items()
        }
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(clients)]
        self.answers: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.strangers = 0

    def __enter__(self) -> Askers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, version: int, *, answers: int = 50, seconds: float = 60.0) -> None:
        """Waits until a version has answered so often.

        Raises:
            TimeoutError: If it does not.
        """
        deadline = time.monotonic() + seconds
        while self.answers[version] < answers:
            if time.monotonic() > deadline:
                raise TimeoutError(f"version {version} answered {self.answers[version]} times in {seconds:g} s")
            time.sleep(_INTERVAL)

    def _ask_on(self) -> None:
        tensor = triton.InferInput("image", self._image.shape, "FP32")
        tensor.set_data_from_numpy(self._image)
        with triton.InferenceServerClient(self._url) as client:
            while not self._over.is_set():
                try:
                    answer = client.infer("toy", [tensor], client_timeout=_SECONDS)
                except InferenceServerException as error:
                    self._note_failure(str(error))
                else:
                    self._note(int(answer.get_response().model_version), answer.as_numpy(_OUTPUT))

    def _note_failure(self, error: str) -> None:
        with self._lock:
            self.failures[error] += 1

    def _note(self, version: int, logits: Array) -> None:
        expected = self._expected.get(version)
        right = expected is not None and bool(np.abs(logits - expected).max() <= _TOLERANCE)
        with self._lock:
            self.answers[version] += right
            self.strangers += not right
