"""Recording golden answers at export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from support.networks import enliven, small_network

from camserve.contract import PRESETS, ModelContract
from camserve.contract.maps import version_for
from camserve.export import Tolerances, export_model
from camserve.export.formats.writing import open_format
from camserve.export.gate.golden_answers import record_golden
from camserve.export.gate.samples import sample_images
from camserve.export.graph.exact import find_truth
from camserve.export.graph.prepare import prepare
from camserve.golden import Golden, compare, read_golden, tolerance_of
from camserve.pixels import normalize
from camserve.serving import publish

IMAGES = normalize(sample_images(3, 16, 16, 3), PRESETS["unit"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"input_dtype": "uint8"},
        {"precision": "fp16"},
        {"precision": "int8", "input_dtype": "uint8"},
        {"formats": "savedmodel", "cam_all": True},
    ],
    ids=lambda options: " ".join(map(str, options.values())) or "float32",
)
def test_export_matches_its_golden_answers_and_can_be_published(options: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number, pixels in enumerate(sample_images(12, 16, 16, 3)):
        keras.utils.save_img(tmp_path / "images" / f"{number}.png", pixels[..., ::-1])
    calibration = {"calibration": tmp_path / "images", "tolerances": Tolerances(top1_disagreement=1, cam_distance=1)}
    settings = {"formats": "onnx", **options, **(calibration if "precision" in options else {})}
    model = enliven(small_network("average"), PRESETS["unit"])
    bundle = export_model(model, tmp_path / "bundle", preprocessing="unit", resize="nearest", **settings)
    assert bundle.golden_path is not None
    golden = read_golden(bundle.golden_path, bundle.contract)
    # Calibration images are private and must not be stored.
    np.testing.assert_array_equal(golden.pixels, sample_images(3, 16, 16, 3))
    format_name = options.get("formats", "onnx")
    answers = dict(open_format(bundle.path, format_name)(golden.image(bundle.contract)))
    assert compare(golden, bundle.contract, answers, tolerance=tolerance_of(bundle.report["precision"])) == ()
    backend: Any = "onnxruntime" if format_name == "onnx" else "tensorflow"
    assert publish(bundle, tmp_path / "repository", backend=backend).version == 1


def near_a_jump() -> keras.Model:
    """Build a network whose only hidden unit reads nearly 0 for the first golden image."""
    image = layers.Input((16, 16, 3))
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(image))
    unit = layers.Dense(1, "relu", name="unit")
    keras.utils.set_random_seed(0)
    model = keras.Model(image, layers.Dense(3)(layers.Concatenate()([unit(pooled), pooled])))
    reads = np.asarray(keras.Model(image, pooled)(IMAGES)) @ np.asarray(unit.kernel)
    unit.bias.assign([1e-6 - float(reads[0, 0])])
    return model


def test_maps_may_jump_where_the_export_recorded_it() -> None:
    model = near_a_jump()
    prepared = prepare(model, cam=True, top_k=2, all_classes=False)
    contract = ModelContract(
        version=version_for(prepared.served.cam),
        name="jump",
        input=prepared.served.input,
        outputs=prepared.served.outputs,
        preprocessing=PRESETS["unit"],
        activation=prepared.served.activation,
        classes=3,
        cam=prepared.served.cam,
    )
    golden = record_golden(prepared.served.function, contract, find_truth(prepared.reference, IMAGES[:1]).exact)
    assert golden.map_changes is not None
    largest = np.abs(golden.answers["cam"]).max()
    assert golden.map_change(1e-4)[0] > 0.01 * largest  # the image at the jump, and none of the others
    for rounding in (1e-4, 2e-4):  # ONNX and SavedModel
        assert (golden.map_change(rounding)[1:] < 3 * rounding * largest).all()

    def faults(known: Golden, tolerance: float = 1e-4, **changes: Any) -> tuple[str, ...]:
        return compare(known, contract, {**answers, **changes}, tolerance=tolerance)

    unit = model.get_layer("unit")
    unit.bias.assign(unit.bias - 2e-6)  # the rounding of another processor
    moved = prepare(model, cam=True, top_k=2, all_classes=False).served.function(IMAGES)
    answers = {name: np.asarray(value) for name, value in moved.items()}
    assert faults(golden) == ()
    (fault,) = faults(replace(golden, map_changes=None))
    assert fault.startswith("cam of image 1 differs by")
    wrong = answers["cam"] + np.array([0, 0, 0.01 * largest], np.float32)[:, None, None, None]
    (fault,) = faults(golden, cam=wrong)
    assert fault.startswith("cam of image 3 differs by")
