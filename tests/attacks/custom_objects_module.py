"""A module that a user names with `--custom-objects`, in good faith."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["Squeeze"]


class Squeeze(keras.layers.Layer):  # type: ignore[misc]
    """A layer that Keras does not know."""

    def call(self, x: Any) -> Any:
        return x * keras.ops.sigmoid(x)
