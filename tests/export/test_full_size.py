"""The recipes and Keras applications at full size, through the parity gate.

Where a smaller network has the same operations, every run exports that one, and `make test-all` the large one as well.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers
from support.networks import enliven

from camserve.bundle import Bundle
from camserve.contract import PRESETS
from camserve.export import RECIPES, export_model
from camserve.export.source import networks, residual

pytestmark = pytest.mark.slow

GRIDS = {
    "resnet50": ("global-average", (7, 7)),
    "resnet-mini": ("global-average", (4, 4)),
    "resnet50-signs": ("average", (2, 2)),
    "resnet50-signs-126": ("average", (4, 4)),
    "resnet50-camera": ("average", (7, 7)),
}


def exhaustive(*values: Any) -> Any:
    """Return parameters of a test that only `make test-all` runs."""
    return pytest.param(*values, marks=pytest.mark.exhaustive)


def wide_network() -> keras.Model:
    """Build a short variant of `resnet50-camera`: wide blocks without biases, and one cell."""
    image = layers.Input((32, 32, 3))
    x = residual.stem(image)
    x = residual.wide_stage(x, first=64, out=128, blocks=2, stride=2, name="stage2")
    x = residual.wide_stage(x, first=128, out=256, blocks=2, stride=2, name="stage3")
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(4, name="avg_pool")(x))
    return keras.Model(image, layers.Dense(10, "softmax", name="classes")(x), name="wide")


def network_with_cells() -> keras.Model:
    """Build a short variant of `resnet50-signs-126`: 4×4 features, pooled into 2×2 cells."""
    image = layers.Input((64, 64, 3))
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(residual.stem(image))
    x = residual.stage(x, (16, 16, 64), blocks=2, stride=2, name="stage2")
    x = residual.stage(x, (32, 32, 128), blocks=1, stride=2, name="stage3")
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(2, name="avg_pool")(x))
    return keras.Model(image, layers.Dense(6, "softmax", name="classes")(x), name="cells")


def network_for_training() -> keras.Model:
    """Build a short variant of `resnet50-signs` with 7 BatchNorm layers called with training=True."""
    image = layers.Input((32, 32, 3))
    x = residual.stage(residual.stem(image), (16, 16, 64), blocks=2, stride=2, name="stage2", training=True)
    x = layers.Flatten(name="flatten")(layers.AveragePooling2D(8, name="avg_pool")(x))
    return keras.Model(image, layers.Dense(6, "softmax", name="classes")(x), name="training")


def passes_the_gate(bundle: Bundle) -> bool:
    metrics = bundle.report["parity"]
    measured = {(metric["format"], metric["batch"]) for metric in metrics if metric["format"] != "network"}
    assert measured == {(name, batch) for name in ("onnx", "savedmodel") for batch in (1, 3, 8)}
    return all(metric["passed"] for metric in metrics)


@pytest.mark.parametrize(
    "name",
    [
        "resnet-mini",
        exhaustive("resnet50-signs"),  # as the next one
        exhaustive("resnet50-signs-126"),  # `test_average_pooled_cells_pass_the_gate` exports a short variant
        exhaustive("resnet50"),  # `test_end_to_end.py` exports it in every run
        exhaustive("resnet50-camera"),
    ],
)
def test_recipe_passes_the_gate(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    model = enliven(recipe.build(), recipe.preprocessing)
    bundle = export_model(model, tmp_path / "bundle", name=name, preprocessing=recipe.preprocessing)
    assert passes_the_gate(bundle)
    assert bundle.contract.cam is not None
    assert (bundle.contract.cam.kind, bundle.contract.cam.grid) == GRIDS[name]
    assert bundle.report["folding"]["kept"] == []
    assert bundle.report["graph"]["operators"]["Conv"] == len(bundle.report["folding"]["folded"])


def test_every_recipe_has_a_grid() -> None:
    assert GRIDS.keys() == RECIPES.keys()


def test_wide_blocks_without_biases_pass_the_gate(tmp_path: Path) -> None:
    bundle = export_model(
        enliven(wide_network(), PRESETS["caffe"]), tmp_path / "bundle", preprocessing="caffe", resize="nearest"
    )
    assert passes_the_gate(bundle)
    assert bundle.contract.cam is not None
    assert (bundle.contract.cam.kind, bundle.contract.cam.grid) == ("average", (4, 4))
    assert bundle.report["folding"]["kept"] == []


def test_average_pooled_cells_pass_the_gate(tmp_path: Path) -> None:
    bundle = export_model(
        enliven(network_with_cells(), PRESETS["unit"]), tmp_path / "bundle", preprocessing="unit", resize="nearest"
    )
    assert passes_the_gate(bundle)
    assert bundle.contract.cam is not None
    assert (bundle.contract.cam.kind, bundle.contract.cam.grid) == ("average", (4, 4))
    assert bundle.report["folding"]["kept"] == []
    assert bundle.report["graph"]["operators"]["Conv"] == len(bundle.report["folding"]["folded"])


@pytest.mark.parametrize("name", ["mobilenet", exhaustive("efficientnetb0")])
def test_keras_application_passes_the_gate(name: str, tmp_path: Path) -> None:
    bundle = export_model(f"keras:{name}", tmp_path / "bundle", weights="none")
    assert passes_the_gate(bundle)
    assert bundle.contract.cam is not None


@pytest.mark.exhaustive  # `test_applications.py` exports a short variant
@pytest.mark.parametrize("cam", [True, False])
def test_application_with_a_nonlinear_head_passes_the_gate(cam: bool, tmp_path: Path) -> None:
    bundle = export_model("keras:mobilenetv3small", tmp_path / "bundle", weights="none", cam=cam)
    assert passes_the_gate(bundle)
    assert (bundle.contract.cam is not None) == cam


@pytest.mark.parametrize(
    ("build", "count"),
    [(network_for_training, 7), exhaustive(partial(networks.resnet50_signs, training=True), 52)],
    ids=["short", "resnet50-signs"],
)
def test_batchnorm_in_training_mode_passes_with_a_warning(
    build: Callable[[], keras.Model], count: int, tmp_path: Path
) -> None:
    model = enliven(build(), PRESETS["unit"])
    model.save(tmp_path / "signs.h5")
    bundle = export_model(tmp_path / "signs.h5", tmp_path / "bundle", preprocessing="unit", resize="nearest")
    assert passes_the_gate(bundle)
    (warning,) = bundle.report["warnings"]
    assert f"{count} BatchNorm layers called with training=True" in warning


@pytest.mark.parametrize("name", ["resnet-mini", exhaustive("resnet50-signs-126")])
def test_float64_model_passes_against_a_float64_reference(name: str, tmp_path: Path) -> None:
    keras.config.set_dtype_policy("float64")
    try:
        model: Any = enliven(RECIPES[name].build(), RECIPES[name].preprocessing)
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "model.keras")
    bundle = export_model(tmp_path / "model.keras", tmp_path / "bundle", preprocessing="unit", resize="nearest")
    assert passes_the_gate(bundle)
    assert bundle.report["source"]["dtype"] == "float64"
