"""Copies of Keras layers with changed settings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from camserve.errors import SourceError
from camserve.export.framework_errors import reason

__all__ = ["rebuild_layer"]


def rebuild_layer(
    layer: Any,
    weights: Sequence[Any] | None = None,
    *,
    build: Callable[[Any], object] | None = None,
    **changes: Any,
) -> Any:
    """Return a copy of a layer with some settings changed.

    Args:
        layer: The layer, which is not changed.
        weights: The copy's weights (default: those of the layer, rounded to the copy's precision).
        build: Creates the copy's weights if its `build_from_config` does not create all of them.
        changes: The changed settings.

    Raises:
        SourceError: If the layer's class cannot be rebuilt from its configuration.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a layer without build, which `build` takes care of
            copy = type(layer).from_config({**layer.get_config(), **changes})
            if layer.built:
                copy.build_from_config(layer.get_build_config() or {})
                if build is not None and len(copy.weights) != len(layer.weights):
                    build(copy)
                copy.set_weights(layer.get_weights() if weights is None else list(weights))
    except Exception as error:  # a custom layer may raise anything
        raise SourceError(
            f"cannot rebuild layer {layer.name!r} ({type(layer).__name__}) with "
            f"{', '.join(f'{name}={value!r}' for name, value in changes.items())}: {reason(error)}",
            hint="Return every argument of __init__ from the get_config of its class, and pass **kwargs, including "
            "dtype, to super().__init__ and to the inner layers",
        ) from error
    if hasattr(copy, "finalize_state"):  # Normalization computes its constants from its weights once
        copy.finalize_state()
    return copy
