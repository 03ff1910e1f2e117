"""The five residual networks that camserve builds by name."""

from __future__ import annotations

from typing import Any

from camserve.export.frameworks import keras

from keras import layers

from camserve.export.source import residual
from camserve.export.source.applications import Size, build_application

__all__ = ["resnet50", "resnet50_camera", "resnet50_signs", "resnet50_signs_126", "resnet_mini"]


def resnet50(**options: Any) -> keras.Model:
    """Build Keras's ResNet50; for the options see `build_application`."""
    return build_application("ResNet50", **options)


def resnet_mini(size: Size = (28, 28), classes: int = 10) -> keras.Model:
    """Build ResNet50 up to its third stage, for 28×28 gray images."""
    image = layers.Input((*size, 1))
    x = residual.stem(image)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = residual.stage(x, (64, 64, 256), blocks=3, stride=1, name="stage2")
    x = residual.stage(x, (128, 128, 512), blocks=4, stride=2, name="stage3")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.Model(image, layers.Dense(classes, "softmax", name="fc10")(x), name="resnet-mini")


def resnet50_signs(
    name: str = "resnet50-signs",
    *,
    size: Size = (64, 64),
    classes: int = 6,
    third: int = 128,
    last_stride: int = 2,
    training: bool | None = None,
) -> keras.Model:
    """Build ResNet50 for 64×64 images of six hand signs.

    Args:
        name: Name of the model.
        size: Height and width of the images.
        classes: Number of classes.
        third: Filters of the first two convolutions in each block of stage 3.
        last_stride: Stride of stage 5.
        training: The `training` with which each block's BatchNorm is called while the network is built.
    """
    image = layers.Input((*size, 3))
    x = residual.stem(image)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = residual.stage(x, (64, 64, 256), blocks=3, stride=1, name="stage2", training=training)
    x = residual.stage(x, (third, third, 512), blocks=4, stride=2, name="stage3", training=training)
    x = residual.stage(x, (256, 256, 1024), blocks=6, stride=2, name="stage4", training=training)
    x = residual.stage(x, (512, 512, 2048), blocks=3, stride=last_stride, name="stage5", training=training)
    x = layers.AveragePooling2D(2, name="avg_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(classes, "softmax", name="fc6")(x), name=name)


def resnet50_signs_126(**options: Any) -> keras.Model:
    """Build the variant with 126 filters in stage 3 and stride 1 in stage 5: 4×4 features, pooled into 2×2 cells."""
    return resnet50_signs("resnet50-signs-126", third=126, last_stride=1, **options)


def resnet50_camera(size: Size = (224, 224), classes: int = 10) -> keras.Model:
    """Build a residual network for 224×224 crops of ten camera models, without biases in its blocks."""
    image = layers.Input((*size, 3))
    x = layers.Conv2D(64, 7, strides=2, padding="same", name="conv1")(image)
    x = layers.BatchNormalization(name="bn_conv1")(x)
    x = layers.Activation("relu", name="relu1")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same", name="pool1")(x)
    x = residual.wide_stage(x, first=64, out=256, blocks=3, stride=1, name="stage2")
    x = residual.wide_stage(x, first=256, out=512, blocks=4, stride=2, name="stage3")
    x = residual.wide_stage(x, first=512, out=1024, blocks=6, stride=2, name="stage4")
    x = residual.wide_stage(x, first=1024, out=2048, blocks=3, stride=2, name="stage5")
    x = layers.AveragePooling2D(7, name="avg_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    return keras.Model(image, layers.Dense(classes, "softmax", name="fc10")(x), name="resnet50-camera")
