"""The images that the gate measures on: spread over the folder, deterministic, and not used for calibration."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from support.contracts import contract_of_input
from support.networks import enliven, small_network

from camserve.contract import PRESETS, ModelContract
from camserve.errors import ParityError
from camserve.export import export_model
from camserve.export.gate.calibration import Calibration, read_calibration
from camserve.export.gate.calibration_files import MIN_IMAGES
from camserve.export.gate.measurement_images import measurement_images
from camserve.export.gate.parity import BATCHES
from camserve.export.gate.samples import sample_images
from camserve.export.gate.tolerances import Tolerances
from camserve.export.graph.prepare import Prepared, prepare

SIDE = 16
UNIT = PRESETS["unit"]


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(enliven(small_network(), UNIT), cam=True, top_k=2, all_classes=False)


@pytest.fixture(scope="module")
def contract(prepared: Prepared) -> ModelContract:
    served = prepared.served
    return ModelContract(
        name="small",
        input=served.input,
        outputs=served.outputs,
        preprocessing=UNIT,
        activation=served.activation,
        classes=6,
        cam=served.cam,
    )


def calibration(count: int) -> Calibration:
    """Return images that differ in their first pixel."""
    pixels = np.zeros((count, SIDE, SIDE, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(count)
    held_out = np.arange(count) % 4 == 3
    return Calibration(pixels[~held_out], pixels[held_out], tuple(f"{number:03}" for number in range(count)))


@pytest.mark.parametrize("classes", [2, 3, 4, 10])
def test_first_images_of_a_sorted_folder_are_of_every_class(classes: int, contract: ModelContract) -> None:
    held_out = calibration(240).held_out_names
    share = len(held_out) // classes
    kind = {name: place // share for place, name in enumerate(held_out)}
    found = measurement_images(contract, calibration(240), "int8").names
    for first in (12, 16):
        shown = Counter(kind[name] for name in found[:first])
        assert set(shown) == set(range(classes))
        assert max(shown.values()) <= first / classes + 2
        assert {kind[name] for name in held_out[:first]} != set(range(classes))  # in their original order they are not


@pytest.mark.parametrize("count", [12, 48, 100, 255])
def test_every_held_out_image_is_measured_once(count: int, contract: ModelContract) -> None:
    found, expected = measurement_images(contract, calibration(count), "int8"), calibration(count)
    assert sorted(found.names[found.fillers :]) == sorted(expected.held_out_names)
    assert [int(name) for name in found.names[found.fillers :]] == found.pixels[found.fillers :, 0, 0, 0].tolist()
    assert measurement_images(contract, calibration(count), "int8").names == found.names


def test_few_held_out_images_are_completed_with_synthetic_ones(contract: ModelContract) -> None:
    found = measurement_images(contract, calibration(MIN_IMAGES), "int8")
    assert len(found.pixels) == len(set(found.names)) == sum(BATCHES)
    assert found.names == (*(f"sample {number}" for number in range(1, 10)), *found.names[9:])
    assert found.fillers == 9
    np.testing.assert_array_equal(found.pixels[:9], sample_images(9, SIDE, SIDE, 3))
    assert measurement_images(contract, calibration(48), "int8").fillers == 0


def write(folder: Path, images: Any) -> Path:
    for number, pixels in enumerate(images):
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return folder


@pytest.mark.parametrize(("count", "measured"), [(MIN_IMAGES, 3), (20, 5), (52, 13), (None, 64)])
def test_lower_precision_is_measured_on_held_out_images(
    count: int | None, measured: int, prepared: Prepared, tmp_path: Path
) -> None:
    images = None if count is None else write(tmp_path, sample_images(count, SIDE, SIDE, 3))
    report = export_model(
        prepared.model,
        tmp_path / "bundle",
        preprocessing="unit",
        resize="nearest",
        precision="fp16",
        calibration=images,
        tolerances=Tolerances(top1_disagreement=1),
    ).report
    batches = {name: [f["batch"] for f in report["parity"] if f["format"] == name] for name in ("onnx", "savedmodel")}
    assert set(batches["onnx"]) == {measured, 0}
    assert set(batches["savedmodel"]) == set(BATCHES)
    shown = {example["picture"] for example in report["examples"]}
    assert len(shown) == min(4, measured)
    held_out = (
        None if count is None else read_calibration(tmp_path, contract_of_input(UNIT, (SIDE, SIDE))).held_out_names
    )
    assert all(name.startswith("sample ") if held_out is None else name in held_out for name in shown)


def hot_where_bright() -> keras.Model:
    """Build a network whose first activations exceed half precision on bright pixels only."""
    image = layers.Input((SIDE, SIDE, 3))
    hot = layers.Conv2D(4, 1, activation="relu", name="hot")
    cool = layers.Conv2D(4, 1, activation="relu", name="cool")
    pooled = layers.GlobalAveragePooling2D()(cool(hot(image)))
    model = keras.Model(image, layers.Dense(3, "softmax")(pooled))
    hot.set_weights([np.full((1, 1, 3, 4), 100.0), np.zeros(4)])
    cool.set_weights([np.eye(4)[np.newaxis, np.newaxis] * 1e-4, np.zeros(4)])
    return model


@pytest.mark.parametrize("bright", [80, 0])
def test_half_precision_range_is_measured_on_the_whole_folder(bright: int, tmp_path: Path) -> None:
    images = np.concatenate([sample_images(80, SIDE, SIDE, 3) // 50, np.full((bright, SIDE, SIDE, 3), 255, np.uint8)])
    folder = tmp_path / "images"
    folder.mkdir()
    options: dict[str, Any] = {
        "preprocessing": "raw-rgb",
        "resize": "nearest",
        "precision": "fp16",
        "calibration": write(folder, images if bright else np.concatenate([images, images])),
        "formats": "onnx",
    }
    if not bright:
        export_model(hot_where_bright(), tmp_path / "bundle", **options)
        return
    with pytest.raises(ParityError, match="half_range"):
        export_model(hot_where_bright(), tmp_path / "bundle", **options)


def test_synthetic_images_are_as_few_as_needed(contract: ModelContract) -> None:
    assert len(measurement_images(contract, None, "fp32").pixels) == sum(BATCHES)
    assert len(measurement_images(contract, None, "fp16").pixels) > sum(BATCHES)
