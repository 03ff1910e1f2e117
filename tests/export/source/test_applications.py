"""The classifiers of `keras.applications`: one small member of each family."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import enliven

from camserve.bundle import Bundle
from camserve.errors import SourceError
from camserve.export import export_model
from camserve.export.source.application_names import check_application_name
from camserve.export.source.applications import application, application_names
from camserve.pixels import normalize

PIXELS = np.random.default_rng(6).integers(0, 256, (2, 5, 7, 3), np.uint8)

GRIDS = {
    "DenseNet121": (32, (1, 1)),
    "EfficientNetB0": (64, (2, 2)),
    "EfficientNetV2B0": (64, (2, 2)),
    "InceptionResNetV2": (75, (1, 1)),
    "InceptionV3": (75, (1, 1)),
    "MobileNet": (64, (2, 2)),
    "MobileNetV2": (64, (2, 2)),
    "NASNetMobile": (32, (1, 1)),
    "ResNet50": (64, (2, 2)),
    "ResNet50V2": (64, (2, 2)),
    "Xception": (71, (3, 3)),
}
SHORT_GRIDS = {
    "EfficientNetB0": (32, (8, 8)),
    "EfficientNetV2B0": (32, (4, 4)),
    "InceptionResNetV2": (63, (3, 3)),
    "MobileNetV2": (32, (8, 8)),
    "NASNetMobile": (32, (8, 8)),
    "ResNet50V2": (64, (4, 4)),
}
GRADIENT_GRIDS = {
    "ConvNeXtTiny": (64, (2, 2)),
    "MobileNetV3Small": (64, (8, 8)),
    "VGG16": (64, (2, 2)),
}


def preprocess_input(name: str) -> Any:
    """Return Keras's own preprocessing function of a classifier."""
    return family_of(name).preprocess_input


@pytest.mark.parametrize("name", application_names())
def test_preprocessing_equals_keras(name: str) -> None:
    expected = preprocess_input(name)(PIXELS.astype(np.float32))
    np.testing.assert_array_equal(normalize(PIXELS, application(name).preprocessing), expected)


def test_names_are_known_without_keras() -> None:
    for name in application_names():
        check_application_name(name)
        check_application_name(name.lower())
    with pytest.raises(SourceError, match="no classifier 'mobilnetv2'") as refused:
        check_application_name("mobilnetv2")
    assert refused.value.hint == "Did you mean 'MobileNetV2'?"


def test_network_with_internal_rescaling_takes_raw_pixels() -> None:
    for name in ("EfficientNetB0", "EfficientNetV2B0", "MobileNetV3Small", "ConvNeXtTiny"):
        preprocessing = application(name).preprocessing
        assert (preprocessing.scale, preprocessing.mean) == ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


FEWER_BLOCKS: dict[str, tuple[str, dict[str, Any]]] = {
    "ConvNeXtTiny": (
        "ConvNeXt",
        {"depths": [1, 1, 1, 1], "projection_dims": [24, 48, 96, 192], "name": "convnext_tiny"},
    ),
    "DenseNet121": ("DenseNet", {"blocks": [2, 2, 2, 2]}),
}
"""For families whose smallest member is slow: the function with which Keras builds every member, and its options."""


def family_of(name: str) -> Any:
    """Return the module with Keras's blocks of a classifier."""
    return importlib.import_module(getattr(keras.applications, name).__module__)


def inception_resnet_of_three_blocks(input_shape: tuple[int, int, int], classes: int, weights: None) -> keras.Model:
    """Build one block of each kind of Keras's InceptionResNetV2, after the pooling branch of its first block."""
    family = family_of("InceptionResNetV2")
    image = layers.Input(input_shape)
    x = family.conv2d_bn(image, 32, 3, strides=2, padding="valid")
    pooled = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    x = layers.Concatenate()([family.conv2d_bn(x, 32, 1), family.conv2d_bn(pooled, 32, 1)])
    for kind in ("block35", "block17", "block8"):
        x = family.inception_resnet_block(x, scale=0.17, block_type=kind, block_idx=1)
        x = layers.MaxPooling2D(3, strides=2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(classes, "softmax")(x))


def resnet_v2_of_four_blocks(input_shape: tuple[int, int, int], classes: int, weights: None) -> keras.Model:
    """Build two stages of two of the blocks of Keras's ResNet50V2, in which BatchNorm precedes the convolution."""
    family = family_of("ResNet50")

    def stages(x: Any) -> Any:
        x = family.stack_residual_blocks_v2(x, 64, 2, name="conv2")
        return family.stack_residual_blocks_v2(x, 128, 2, name="conv3")

    return family.ResNet(stages, True, True, weights=weights, input_shape=input_shape, classes=classes)


def efficientnet_of_three_blocks(**options: Any) -> keras.Model:
    """Build the first block of Keras's EfficientNetB0, one with stride 2, and one with a shortcut."""
    family = family_of("EfficientNetB0")
    blocks = family.DEFAULT_BLOCKS_ARGS[:2]
    return family.EfficientNet(0.25, 1.0, 32, blocks_args=blocks, name="efficientnetb0", **options)


def efficientnet_v2_of_five_blocks(**options: Any) -> keras.Model:
    """Build three fused blocks of Keras's EfficientNetV2B0, then two with depthwise convolutions."""
    family = family_of("EfficientNetV2B0")
    blocks = family.DEFAULT_BLOCKS_ARGS["efficientnetv2-b0"]
    blocks = [*blocks[:2], {**blocks[3], "num_repeat": 2}]
    return family.EfficientNetV2(0.25, 1.0, 32, blocks_args=blocks, name="efficientnetv2-b0", **options)


def mobilenet_v2_of_three_blocks(input_shape: tuple[int, int, int], classes: int, weights: None) -> keras.Model:
    """Build the first block of Keras's MobileNetV2, one with stride 2, and one with a shortcut."""
    family = family_of("MobileNetV2")
    image = layers.Input(input_shape)
    x = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization(epsilon=1e-3)(x))
    for index, (filters, stride, expansion) in enumerate([(16, 1, 1), (24, 2, 6), (24, 1, 6)]):
        x = family._inverted_res_block(x, expansion, stride, 1.0, filters, block_id=index)
    return keras.Model(image, layers.Dense(classes, "softmax")(layers.GlobalAveragePooling2D()(x)))


def mobilenet_v3_of_three_blocks(**options: Any) -> keras.Model:
    """Build three blocks of Keras's MobileNetV3Small and its whole head."""
    family = family_of("MobileNetV3Small")

    def stack(x: Any, kernel: int, activation: Any, se_ratio: float) -> Any:
        x = family._inverted_res_block(x, 1, 16, 3, 2, se_ratio, family.relu, 0)
        x = family._inverted_res_block(x, 4, 24, kernel, 2, se_ratio, activation, 1)
        return family._inverted_res_block(x, 4, 24, kernel, 1, se_ratio, activation, 2)

    return family.MobileNetV3(stack, 64, **options)


def nasnet_of_two_cells(input_shape: tuple[int, int, int], classes: int, weights: None) -> keras.Model:
    """Build one cell of each kind of Keras's NASNetMobile; the second also takes the larger input of the first."""
    family = family_of("NASNetMobile")
    image = layers.Input(input_shape)
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(image)
    x, previous = family._reduction_a_cell(layers.BatchNormalization()(x), None, 16, block_id="1")
    x, _ = family._normal_a_cell(x, previous, 16, block_id="2")
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(image, layers.Dense(classes, "softmax")(x))


SHORT: dict[str, Callable[..., keras.Model]] = {
    "EfficientNetB0": efficientnet_of_three_blocks,
    "EfficientNetV2B0": efficientnet_v2_of_five_blocks,
    "InceptionResNetV2": inception_resnet_of_three_blocks,
    "MobileNetV2": mobilenet_v2_of_three_blocks,
    "MobileNetV3Small": mobilenet_v3_of_three_blocks,
    "NASNetMobile": nasnet_of_two_cells,
    "ResNet50V2": resnet_v2_of_four_blocks,
}
"""For families without such options: short networks of the same blocks."""

WHOLE = (
    *("EfficientNetB0", "EfficientNetV2B0", "InceptionResNetV2", "InceptionV3", "MobileNetV2", "NASNetMobile"),
    *("ResNet50", "ResNet50V2", "Xception"),
)
"""Classifiers that only `make test-all` exports at their whole depth.

In every run, short networks have their operations: InceptionV3's are those of InceptionResNetV2, Xception's those of
NASNetMobile and ResNet50V2, and `test_end_to_end.py` exports ResNet50.
"""


def short(name: str, size: int) -> keras.Model:
    """Build a classifier with few blocks, or at its whole depth if that is quick."""
    build: Any = getattr(keras.applications, name)
    if name in FEWER_BLOCKS:
        function, options = FEWER_BLOCKS[name]
        build = partial(getattr(family_of(name), function), **options)
    return enlivened(SHORT.get(name, build), name, size)


def enlivened(build: Callable[..., keras.Model], name: str, size: int) -> keras.Model:
    return enliven(build(weights=None, input_shape=(size, size, 3), classes=10), application(name).preprocessing)


def exported(name: str, model: keras.Model, folder: Path, **options: Any) -> Bundle:
    return export_model(model, folder / "bundle", preprocessing=application(name).preprocessing, **options)


def exports_with_maps(name: str, model: keras.Model, grid: tuple[int, int], folder: Path) -> None:
    bundle = exported(name, model, folder)
    assert bundle.contract.cam is not None
    assert (bundle.contract.cam.kind, bundle.contract.cam.grid) == ("global-average", grid)
    assert all(metric["passed"] for metric in bundle.report["parity"])
    assert "BatchNormalization" not in bundle.report["graph"]["operators"]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in GRIDS if name in SHORT or name in FEWER_BLOCKS or name not in WHOLE])
def test_family_with_a_linear_head_exports_with_maps(name: str, tmp_path: Path) -> None:
    size, grid = SHORT_GRIDS.get(name, GRIDS[name])
    exports_with_maps(name, short(name, size), grid, tmp_path)


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", WHOLE)
def test_whole_classifier_exports_with_maps(name: str, tmp_path: Path) -> None:
    size, grid = GRIDS[name]
    exports_with_maps(name, enlivened(getattr(keras.applications, name), name, size), grid, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    # The head of VGG16 is that of `test_head.py`, with 4096 units.
    [pytest.param(name, marks=[pytest.mark.exhaustive] if name == "VGG16" else []) for name in GRADIENT_GRIDS],
)
def test_family_with_a_nonlinear_head_exports_with_gradient_maps(name: str, tmp_path: Path) -> None:
    size, grid = GRADIENT_GRIDS[name]
    bundle = exported(name, short(name, size), tmp_path)
    assert bundle.contract.cam is not None
    assert (bundle.contract.cam.kind, bundle.contract.cam.grid) == ("gradient", grid)
    assert all(metric["passed"] for metric in bundle.report["parity"])


@pytest.mark.slow
def test_family_with_a_nonlinear_head_exports_without_maps(tmp_path: Path) -> None:
    mobilenet_v3: Any = partial(family_of("MobileNetV3Small").MobileNetV3, lambda x, *_: x, 16)  # without blocks
    model = enlivened(mobilenet_v3, "MobileNetV3Small", 32)
    bundle = exported("MobileNetV3Small", model, tmp_path, cam=False, formats="onnx")
    assert bundle.contract.cam is None
    assert all(metric["passed"] for metric in bundle.report["parity"])


def family(name: str) -> str:
    return str(getattr(keras.applications, name).__module__).rstrip("0123456789")


def test_every_family_is_tested() -> None:
    assert {family(name) for name in (*GRIDS, *GRADIENT_GRIDS)} == {family(name) for name in application_names()}
