"""Bottleneck residual blocks.

Source: He et al. 2015, "Deep Residual Learning for Image Recognition", figure 5.
"""

from __future__ import annotations

from typing import Any

import camserve.export.frameworks  # noqa: F401  sets up TensorFlow before it is imported below

from keras import layers

__all__ = ["stage", "stem", "wide_stage"]


def stem(image: Any) -> Any:
    """Add the first convolution: zero padding of 3 pixels, 64 filters of 7×7, stride 2."""
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = layers.Conv2D(64, 7, strides=2, kernel_initializer="he_normal", name="conv1")(x)
    x = layers.BatchNormalization(name="bn_conv1")(x)
    return layers.Activation("relu", name="relu1")(x)


def stage(
    x: Any, filters: tuple[int, int, int], *, blocks: int, stride: int, name: str, training: bool | None = None
) -> Any:
    """Add one block with a projection shortcut, then blocks with identity shortcuts; convolutions have biases.

    Args:
        x: Features, NHWC.
        filters: Filters of the 1×1, 3×3 and 1×1 convolution of each block.
        blocks: Number of blocks.
        stride: Stride of the first block's first convolution and of its shortcut.
        name: Prefix of the layers' names.
        training: The `training` with which BatchNorm is called; None to follow the model's mode.
    """
    for index in range(blocks):
        block = f"{name}_block{index + 1}"
        entry = index == 0
        y = _bottleneck(x, filters, stride if entry else 1, block, bias=True, training=training)
        shortcut = _conv_norm(x, filters[2], 1, stride, f"{block}_0", bias=True, training=training) if entry else x
        x = _add_shortcut(y, shortcut, block)
    return x


def wide_stage(x: Any, *, first: int, out: int, blocks: int, stride: int, name: str) -> Any:
    """Add blocks without biases whose first convolution keeps the number of its input channels.

    Args:
        x: Features, NHWC.
        first: Filters of the first block's first convolution; `out` in the later blocks.
        out: Filters of every block's last convolution; its 3×3 convolution has a quarter of that.
        blocks: Number of blocks.
        stride: Stride of the first block.
        name: Prefix of the layers' names.
    """
    for index in range(blocks):
        block = f"{name}_block{index + 1}"
        entry = index == 0
        y = _bottleneck(x, (first if entry else out, out // 4, out), stride if entry else 1, block, bias=False)
        shortcut = _conv_norm(x, out, 1, stride, f"{block}_0", bias=False) if entry else x
        x = _add_shortcut(y, shortcut, block)
    return x


def _bottleneck(
    x: Any, filters: tuple[int, int, int], stride: int, name: str, *, bias: bool, training: bool | None = None
) -> Any:
    y = _conv_norm(x, filters[0], 1, stride, f"{name}_1", bias=bias, training=training)
    y = layers.Activation("relu", name=f"{name}_1_relu")(y)
    y = _conv_norm(y, filters[1], 3, 1, f"{name}_2", bias=bias, training=training)
    y = layers.Activation("relu", name=f"{name}_2_relu")(y)
    return _conv_norm(y, filters[2], 1, 1, f"{name}_3", bias=bias, training=training)


def _conv_norm(
    x: Any, filters: int, size: int, stride: int, name: str, *, bias: bool, training: bool | None = None
) -> Any:
    padding = "valid" if size == 1 else "same"
    y = layers.Conv2D(filters, size, strides=stride, padding=padding, use_bias=bias, name=f"{name}_conv")(x)
    # Keras saves even training=None with the model.
    mode = {} if training is None else {"training": training}
    return layers.BatchNormalization(name=f"{name}_bn")(y, **mode)


def _add_shortcut(y: Any, shortcut: Any, name: str) -> Any:
    return layers.Activation("relu", name=f"{name}_out")(layers.Add(name=f"{name}_add")([y, shortcut]))
