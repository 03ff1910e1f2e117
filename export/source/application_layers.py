"""The layers that networks of `keras.applications` use besides Keras's public ones."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any

__all__ = ["APPLICATION_LAYERS", "application_layers"]

APPLICATION_LAYERS: Mapping[str, str] = {
    "CustomScaleLayer": "src.applications.inception_resnet_v2",
    "LayerScale": "src.applications.convnext",
    "StochasticDepth": "src.applications.convnext",
}
"""Module of each class, in Keras 3 as in tf_keras. A loader of files does not know them."""


def application_layers(library: ModuleType) -> dict[str, Any]:
    """Return the classes by name.

    Args:
        library: Keras or tf_keras.
    """
    return {
        name: getattr(importlib.import_module(f"{library.__name__}.{module}"), name)
        for name, module in APPLICATION_LAYERS.items()
    }
