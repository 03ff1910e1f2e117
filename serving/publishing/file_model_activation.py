"""Loading the model that takes image files on a running server, and comparing its pixels with those of the client."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from camserve.contract import TensorSpec
from camserve.errors import ServerError
from camserve.images import load_image, prepare
from camserve.serving.config.image_files import file_model_name
from camserve.serving.config.message import CONFIG_NAME
from camserve.serving.live.server import LiveServer
from camserve.serving.publishing.draft import Draft
from camserve.tensors import PROBABILITIES

__all__ = ["activate_file_model", "restore_file_model"]

_SIDE_FACTOR = 2


def activate_file_model(server: LiveServer, draft: Draft, version: int, tolerance: float) -> None:
    """Load the model that takes image files if it is published, and unload it otherwise.

    Its probabilities for a PNG file must be those of the version for the pixels that the client makes of the file.

    Args:
        server: The server.
        draft: What was published.
        version: Its version, which the server has loaded.
        tolerance: The largest difference; the server may compute the two requests in different batches.

    Raises:
        ServerError: If it does not load, or gives other probabilities.
    """
    name = file_model_name(draft.model.name)
    if not draft.image_files:
        if name in server.served():
            server.unload(name)
        return
    _reload(server, draft.model.with_name(name))
    output = TensorSpec(name=PROBABILITIES, dtype="FP32", shape=(draft.contract.classes,))
    file = _drawn_file(draft)
    found = server.infer_file(name, file, output)
    if draft.contract.output(PROBABILITIES) is None:
        return
    pixels = prepare(load_image(file), draft.contract)[np.newaxis]
    expected = server.infer(draft.model.name, version, draft.contract, pixels)[PROBABILITIES]
    difference = float(np.abs(found - expected).max())
    if not difference <= tolerance:
        raise ServerError(
            f"{name} on {server.url} gives other probabilities than the client's pixels: the difference is "
            f"{difference:.2g}",
            hint="Check that the server has the versions of Pillow and NumPy that camserve requires",
        )


def restore_file_model(server: LiveServer, draft: Draft, before: Sequence[int]) -> None:
    """Load the model that takes image files again, from the restored files, or unload it if it was not loaded."""
    name = file_model_name(draft.model.name)
    with suppress(ServerError):
        if before:
            _reload(server, draft.model.with_name(name))
        elif name in server.served():
            server.unload(name)


def _reload(server: LiveServer, model: Path) -> None:
    """Load the model, also if none of its files changed: its code is in the new version, which Triton does not know."""
    os.utime(model / CONFIG_NAME)
    server.load(model.name)


def _drawn_file(draft: Draft) -> bytes:
    """Return a PNG file of noise, larger than the input, so that it is resized."""
    contract = draft.contract
    size = (_SIDE_FACTOR * contract.height + 1, _SIDE_FACTOR * contract.width + 1, 3)
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    return stream.getvalue()
