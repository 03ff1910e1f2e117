"""Provenance of an export: source, weights and package versions, equal on every machine for the same export."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import import_module
from typing import Any

from camserve.export.frameworks import keras

from camserve import __version__
from camserve.export.formats.onnx_settings import OnnxSettings
from camserve.export.source.load import Source

__all__ = ["PROVENANCE", "collect_provenance", "weights_digest"]

PROVENANCE = "camserve.provenance"
"""Name of the ONNX metadata property that contains it as JSON."""

_PACKAGES = ("keras", "numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx")


def collect_provenance(source: Source, settings: OnnxSettings) -> dict[str, Any]:
    """Return what was loaded, SHA-256 of its file and weights, the precision, and the versions of the packages."""
    packages = (*_PACKAGES, "openvino") if settings.precision == "bf16" else _PACKAGES
    return {
        "source": source.title,
        "source_sha256": source.sha256,
        "weights_sha256": weights_digest(source.model),
        "precision": settings.label,
        "packages": {
            "camserve": __version__,
            "python": platform.python_version(),
            **{name: str(import_module(name).__version__) for name in sorted(packages)},
        },
    }


def weights_digest(model: keras.Model) -> str:
    """Return the SHA-256 of the model's weights.

    For each weight, its path, shape and dtype as a line of JSON, then its bytes.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        path = getattr(weight, "path", weight.name)  # a weight of tf_keras has no path
        digest.update(json.dumps([path, list(values.shape), str(values.dtype)]).encode() + b"\n")
        digest.update(values.tobytes())
    return digest.hexdigest()
