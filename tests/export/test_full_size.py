"""The recipes and two Keras applications at full size, through the parity gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import pytest
from support.networks import enliven

from camserve.bundle import Bundle
from camserve.contract import PRESETS
from camserve.errors import HeadError
from camserve.export import RECIPES, export_model
from camserve.export.source import networks

pytestmark = pytest.mark.slow

GRIDS = {
    "resnet50": ("global-average", (7, 7)),
    "resnet-mini": ("global-average", (4, 4)),
    "resnet50-signs": ("average", (2, 2)),
    "resnet50-signs-126": ("average", (4, 4)),
    "resnet50-camera": ("average", (7, 7)),
}


def passes_the_gate(bundle: Bundle) -> bool:
    metrics = bundle.report["parity"]
    measured = {(metric["format"], metric["batch"]) for metric in metrics if metric["format"] != "network"}
    assert measured == {(name, batch) for name in ("onnx", "savedmodel") for batch in (1, 3, 8)}
    return all(metric["passed"] for metric in metrics)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_passes_the_gate(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    model = enliven(recipe.build(), recipe.preprocessing)
    bundle = export_model(model, tmp_path / "bundle", name=name, preprocessing=recipe.preprocessing)
    assert passes_the_gate(bundle)
    assert bundle.contract.cam is not None
    assert (bundle.contract.cam.kind, bundle.contract.cam.grid) == GRIDS[name]
    assert bundle.report["folding"]["kept"] == []
    assert bundle.report["graph"]["operators"]["Conv"] == len(bundle.report["folding"]["folded"])


@pytest.mark.parametrize("name", ["mobilenet", "efficientnetb0"])
def test_keras_application_passes_the_gate(name: str, tmp_path: Path) -> None:
    bundle = export_model(f"keras:{name}", tmp_path / "bundle", weights="none")
    assert passes_the_gate(bundle)
    assert bundle.contract.cam is not None


def test_application_with_a_nonlinear_head_exports_without_maps(tmp_path: Path) -> None:
    with pytest.raises(HeadError, match="the head is not linear"):
        export_model("keras:mobilenetv3small", tmp_path / "bundle", weights="none")
    assert passes_the_gate(export_model("keras:mobilenetv3small", tmp_path / "bundle", weights="none", cam=False))


def test_batchnorm_in_training_mode_passes_with_a_warning(tmp_path: Path) -> None:
    model = enliven(networks.resnet50_signs(training=True), PRESETS["unit"])
    model.save(tmp_path / "signs.h5")
    bundle = export_model(tmp_path / "signs.h5", tmp_path / "bundle", preprocessing="unit", resize="nearest")
    assert passes_the_gate(bundle)
    (warning,) = bundle.report["warnings"]
    assert "52 BatchNorm layers called with training=True" in warning


def test_float64_model_passes_against_a_float64_reference(tmp_path: Path) -> None:
    keras.config.set_dtype_policy("float64")
    try:
        model: Any = enliven(RECIPES["resnet50-signs-126"].build(), PRESETS["unit"])
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "signs.keras")
    bundle = export_model(tmp_path / "signs.keras", tmp_path / "bundle", preprocessing="unit", resize="nearest")
    assert passes_the_gate(bundle)
    assert bundle.report["source"]["dtype"] == "float64"
