"""The ONNX file in OpenVINO, in bf16."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from camserve.errors import ConversionError
from camserve.export.formats.runner import Runner
from camserve.openvino_runtime import open_network
from camserve.text import count

__all__ = ["open_bf16"]

_HINT = "Choose another precision: --precision fp32"


def open_bf16(path: Path) -> Runner:
    """Load an ONNX file in float32 in OpenVINO, which computes it in bf16.

    Raises:
        UsageError: If OpenVINO cannot be imported, or does not compute in bf16 on this processor.
        ConversionError: If OpenVINO cannot load the file. The runner raises it if OpenVINO cannot run it.
    """
    try:
        network = open_network(path, "bf16", purpose="--precision bf16")
    except RuntimeError as error:
        raise ConversionError(f"OpenVINO cannot load {path.name}: {error}", hint=_HINT) from None
    names = tuple(network.outputs)

    def run(images: npt.NDArray[Any]) -> Mapping[str, npt.NDArray[Any]]:
        try:
            return network.run(images, names)
        except RuntimeError as error:
            raise ConversionError(
                f"OpenVINO cannot run {path.name} on {count(len(images), 'image')}: {error}", hint=_HINT
            ) from None

    return run
