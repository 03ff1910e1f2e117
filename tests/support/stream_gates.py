"""For tests of streams: answers that are held back, and a count of images decoded at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.stub_server import correct_answer

from camserve.contract import ModelContract
from camserve.images import loading
from camserve.images.files import read_bytes
from camserve.images.loading import OpenedImage

__all__ = ["Decoding", "Gate"]

_SECONDS = 30.0
_DECODING = 0.02


class Gate:
    """Correct answers for a `StubServer`, held back until the gate is opened.

    Attributes:
        most: Maximum number of requests that waited at once.
    """

    def __init__(self, contract: ModelContract) -> None:
        self._contract = contract
        self._opened = threading.Event()
        self._lock = threading.Lock()
        self._waiting = 0
        self.most = 0

    def __call__(self, names: Sequence[str], count: int) -> dict[str, np.ndarray[Any, Any]]:
        with self._lock:
            self._waiting += 1
            self.most = max(self.most, self._waiting)
        self._opened.wait(_SECONDS)
        with self._lock:
            self._waiting -= 1
        return {name: correct_answer(self._contract, count)[name] for name in names}

    def open(self) -> None:
        """Release all answers, now and later."""
        self._opened.set()


class Decoding:
    """Decodes slowly and counts the images decoded at once. Files must be valid and given as `Path`.

    Attributes:
        most: Maximum number of images decoded at once.
        most_bytes: Maximum of their size together with that of the files read but not decoded yet.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = self.most_bytes = 0
        self._now = self._bytes = 0
        self._lock = threading.Lock()
        self._load, self._read = OpenedImage.load, read_bytes

        def load(opened: OpenedImage) -> Image.Image:
            return self._counted(opened)

        monkeypatch.setattr(OpenedImage, "load", load)
        monkeypatch.setattr(loading, "read_bytes", self._reading)

    def _reading(self, source: Path, max_bytes: int, name: str | None = None) -> tuple[bytes, str]:
        self._count(files=source.stat().st_size)
        return self._read(source, max_bytes, name)

    def _counted(self, opened: OpenedImage) -> Image.Image:
        file = len(opened._data)
        self._count(images=1, pixels=opened.decoded_bytes - file)
        try:
            time.sleep(_DECODING)
            return self._load(opened)
        finally:
            self._count(images=-1, pixels=file - opened.decoded_bytes, files=-file)

    def _count(self, *, images: int = 0, pixels: int = 0, files: int = 0) -> None:
        with self._lock:
            self._now += images
            self._bytes += pixels + files
            self.most = max(self.most, self._now)
            self.most_bytes = max(self.most_bytes, self._bytes)
