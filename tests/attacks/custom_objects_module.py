"""A trusted module, passed with `--custom-objects`."""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["Squeeze"]


class Squeeze(keras.layers.Layer):  # type: ignore[misc]
    """A layer that Keras does not define."""

    def call(self, x: Any) -> Any:
        return x * keras.ops.sigmoid(x)
