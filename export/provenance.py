"""Where an export comes from: source, weights and tools, in values that are the same on every machine."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import import_module
from typing import Any

from camserve.export.frameworks import keras

from camserve import __version__
from camserve.export.source.load import Source

__all__ = ["PROVENANCE", "collect_provenance", "weights_digest"]

PROVENANCE = "camserve.provenance"
"""Name of the ONNX metadata property that holds it as JSON."""


_PACKAGES = ("keras", "numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx")


def collect_provenance(source: Source) -> dict[str, Any]:
    """What was loaded, the hashes of its file and of its weights, and the versions of the tools."""
    return {
        "source": source.title,
        "source_sha256": source.sha256,
        "weights_sha256": weights_digest(source.model),
        "packages": {
            "camserve": __version__,
            "python": platform.python_version(),
            **{name: str(import_module(name).__version__) for name in _PACKAGES},
        },
    }


def weights_digest(model: keras.Model) -> str:
    """SHA-256 of the model's weights: of each its path, shape and data type as a line of JSON, and its bytes."""
    digest = hashlib.sha256()
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        digest.update(json.dumps([weight.path, list(values.shape), str(values.dtype)]).encode() + b"\n")
        digest.update(values.tobytes())
    return digest.hexdigest()
