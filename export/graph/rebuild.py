"""A Keras layer made again with one setting changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from camserve.errors import SourceError

__all__ = ["rebuild_layer"]


def rebuild_layer(
    layer: Any,
    weights: Sequence[Any] | None = None,
    *,
    build: Callable[[Any], object] | None = None,
    **changes: Any,
) -> Any:
    """A new layer like the given one, some settings changed.

    Args:
        layer: The layer; it stays as it is.
        weights: The new layer's weights; by default the given layer's, rounded to the new layer's precision.
        build: Makes the new layer's weights, where its `build_from_config` leaves some out.
        changes: What differs in its configuration.

    Raises:
        SourceError: If the layer's class does not make a layer again of the configuration that it gives.
    """
    try:
        copy = type(layer).from_config({**layer.get_config(), **changes})
        if layer.built:
            copy.build_from_config(layer.get_build_config() or {})
            if build is not None and len(copy.weights) != len(layer.weights):
                build(copy)
            copy.set_weights(layer.get_weights() if weights is None else list(weights))
    except Exception as error:  # a layer of the user's own may raise anything
        raise SourceError(
            f"layer {layer.name!r} ({type(layer).__name__}) cannot be made again with {_told(changes)}: "
            f"{(str(error) or type(error).__name__).splitlines()[0].rstrip('.')}",
            hint="Give its class a get_config that holds every argument of its __init__, and hand **kwargs on, dtype "
            "among them, to the layers inside",
        ) from error
    if hasattr(copy, "finalize_state"):  # Normalization computes what it subtracts from its weights once
        copy.finalize_state()
    return copy


def _told(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in changes.items())
